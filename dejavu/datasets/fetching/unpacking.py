"""Zip archives, unpacked once, with the archives in them."""

import shutil
import zipfile
import zlib
from pathlib import Path, PurePosixPath

from dejavu.runtime.errors import DataError
from dejavu.runtime.files import whole_file, write_text
from dejavu.runtime.progress import Progress, silent


def is_unpacked(archive: Path, root: Path) -> bool:
    """Tell whether `unpack` has finished with an archive, and what it wrote is still there.

    The archive itself may be gone, and so may archives that were in it.

    Args:
        archive: the archive.
        root: folder that its files went to.
    """
    try:
        names = _receipt(archive).read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return False
    return all(_is_in_place(root / name) for name in names)


def unpack(archive: Path, root: Path, progress: Progress = silent) -> None:
    """Unpack a zip archive below ``root``, unless that was done, and leave a receipt.

    A file that is there with its size in the archive is left alone, so that an interrupted
    unpacking goes on, and one that was done by hand is accepted. Archives in the archive are
    unpacked beside themselves.

    Args:
        archive: the archive; the receipt is ``.NAME.unpacked`` beside it.
        root: folder that its files go to.
        progress: called after each file, with their numbers.

    Raises:
        DataError: the archive is damaged, leads out of ``root``, or holds a file in whose place
            there is another one; or the disk is full.
    """
    if is_unpacked(archive, root):
        return
    try:
        with zipfile.ZipFile(archive) as opened:
            _unpack_all(opened, archive, root, progress)
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError) as error:
        raise DataError(
            f"{archive}: is damaged or no zip archive ({error}); delete it and download it again"
        ) from None
    except OSError as error:
        raise DataError(
            f"{archive}: cannot be unpacked ({error}); mend that and run the command again"
        ) from None


def _unpack_all(opened: zipfile.ZipFile, archive: Path, root: Path, progress: Progress) -> None:
    # macOS packs a shadow of every file, which holds no data and keeps its suffix.
    shadows = "__MACOSX/"
    files = [f for f in opened.infolist() if not (f.is_dir() or f.filename.startswith(shadows))]
    for info in files:
        _require_inside(info.filename, archive)
    missing = [info for info in files if not _is_there(root / info.filename, info)]
    needed = sum(info.file_size for info in missing)
    free = shutil.disk_usage(root).free
    if needed > free:
        raise DataError(
            f"{archive}: holds {needed:,} bytes, and the disk has {free:,} free; free some space"
        )
    for index, info in enumerate(missing):
        # Reading to the end compares the CRC-32, before the file gets its name.
        with (
            whole_file(root / info.filename) as temporary,
            opened.open(info) as source,
            temporary.open("wb") as target,
        ):
            shutil.copyfileobj(source, target)
        progress(index + 1, len(missing), archive.name)
    for inner in (root / info.filename for info in files):
        if inner.suffix == ".zip":
            unpack(inner, inner.parent, progress)
    write_text(_receipt(archive), "".join(f"{info.filename}\n" for info in files))


def _require_inside(name: str, archive: Path) -> None:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts:
        raise DataError(
            f"{archive}: its file {name!r} leads out of the folder; this is not the publisher's "
            "archive: delete it"
        )


def _is_in_place(path: Path) -> bool:
    return is_unpacked(path, path.parent) if path.suffix == ".zip" else path.exists()


def _is_there(path: Path, info: zipfile.ZipInfo) -> bool:
    if not path.exists():
        return _is_in_place(path)
    size = path.stat().st_size
    if size != info.file_size:
        raise DataError(
            f"{path}: is {size:,} bytes, and {info.file_size:,} in the archive; move it away, and "
            "it is unpacked again"
        )
    return True


def _receipt(archive: Path) -> Path:
    return archive.with_name(f".{archive.name}.unpacked")
