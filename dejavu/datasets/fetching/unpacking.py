"""Unpacking of zip archives, once, with the archives nested in them."""

import lzma
import shutil
import stat
import struct
import zipfile
import zlib
from pathlib import Path, PurePosixPath, PureWindowsPath

from dejavu.runtime.errors import DataError
from dejavu.runtime.files import whole_file, write_text
from dejavu.runtime.progress import Progress, silent

_DAMAGED = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    struct.error,
    EOFError,
    RuntimeError,
    ValueError,
)
"""Errors of `zipfile` about an archive that is damaged, encrypted or packed in an unknown way."""


def is_unpacked(archive: Path, root: Path) -> bool:
    """Tell whether `unpack` has finished an archive, and its files still exist.

    The archive itself may have been deleted, and so may the archives nested in it.

    Args:
        archive: path of the archive.
        root: folder of the unpacked files.
    """
    try:
        names = _receipt(archive).read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return False
    return all(_is_in_place(root / name) for name in names)


def unpack(archive: Path, root: Path, progress: Progress = silent) -> None:
    """Unpack a zip archive below ``root``, unless it already is, and write a receipt.

    Existing files of the right size are kept, so that an interrupted unpacking resumes, and files
    that were unpacked by hand are accepted. Nested archives are unpacked into their own folder.

    Args:
        archive: path of the archive; the receipt is ``.NAME.unpacked`` beside it.
        root: folder for the unpacked files.
        progress: called after each file, with the number of files.

    Raises:
        DataError: the archive is damaged; it has links, devices or paths outside ``root``, and
            nothing is unpacked; an existing file has another size than in the archive; or the
            disk is full.
    """
    if is_unpacked(archive, root):
        return
    try:
        with zipfile.ZipFile(archive) as opened:
            _unpack_all(opened, archive, root, progress)
    except _DAMAGED as error:
        raise DataError(
            f"{archive}: is damaged or not a zip archive ({error}); delete it and download it again"
        ) from None
    except OSError as error:
        raise DataError(
            f"{archive}: cannot be unpacked ({error}); fix this and run the command again"
        ) from None


def _unpack_all(opened: zipfile.ZipFile, archive: Path, root: Path, progress: Progress) -> None:
    for info in opened.infolist():
        _require_plain(info, archive)
    files = [f for f in opened.infolist() if not (f.is_dir() or _is_shadow(f.filename))]
    missing = [info for info in files if not _is_there(root / info.filename, info)]
    needed = sum(info.file_size for info in missing)
    free = shutil.disk_usage(root).free
    if needed > free:
        raise DataError(
            f"{archive}: holds {needed:,} bytes, but the disk has {free:,} free; free some space"
        )
    for index, info in enumerate(missing):
        # Reading to the end verifies the CRC-32, before the file is renamed.
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


def _require_plain(info: zipfile.ZipInfo, archive: Path) -> None:
    """Refuse a member that no publisher packs: a path out of the folder, a link, a device."""
    name = info.orig_filename  # `filename` ends at a NUL
    path = PurePosixPath(name)
    kind = stat.S_IFMT(info.external_attr >> 16)  # 0 from a system other than Unix
    if path.is_absolute() or ".." in path.parts or "\\" in name or PureWindowsPath(name).drive:
        problem = "would be written outside the folder"
    elif not path.parts or not name.isprintable():
        problem = "has no name that a file can have"
    elif kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        problem = "is a link or a device"
    else:
        return
    raise DataError(
        f"{archive}: its file {name!r} {problem}; this is not the publisher's archive: delete it"
    )


def _is_shadow(name: str) -> bool:
    """Tell whether macOS added a file: it packs one for every file, with the same suffix."""
    return name.startswith("__MACOSX/") or PurePosixPath(name).name.startswith("._")


def _is_in_place(path: Path) -> bool:
    return is_unpacked(path, path.parent) if path.suffix == ".zip" else path.exists()


def _is_there(path: Path, info: zipfile.ZipInfo) -> bool:
    if not path.exists():
        return _is_in_place(path)
    size = path.stat().st_size
    if size != info.file_size:
        raise DataError(
            f"{path}: has {size:,} bytes, but {info.file_size:,} in the archive; move it away to "
            "unpack it again"
        )
    return True


def _receipt(archive: Path) -> Path:
    return archive.with_name(f".{archive.name}.unpacked")
