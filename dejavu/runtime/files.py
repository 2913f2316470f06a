"""Atomic file writes: every file is written under a temporary name and renamed.

The temporary file of ``table.csv`` is ``.table.csv.tmp`` beside it. Git and DVC ignore such names
(.gitignore, .dvcignore): leftovers of a killed process belong to no result, and the next process
that writes the file overwrites them. Locks are kernel locks: they end with their process.
"""

import os
import platform
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from dejavu.runtime.locks import lock, open_by_name

_PROBE = bytes(1 << 16)


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path``, which is renamed to it if the block succeeds.

    The bytes are flushed to disk before the renaming, so that a power cut leaves the old file or
    the new one. A second process that writes the same file waits for the first.

    Args:
        path: file to write; its folder is created if missing.

    Raises:
        DejaVuError: the temporary name is taken by a link, or the file system has no locks.
        OSError: the disk is full, the folder is read-only, ...; its ``filename`` is ``path``.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     path = Path(folder, "new", "table.csv")
        ...     with whole_file(path) as temporary:
        ...         _ = temporary.write_text("whole")
        ...     path.read_text(), [file.name for file in path.parent.iterdir()]
        ('whole', ['table.csv'])
    """
    temporary = path.with_name(f".{path.name}.tmp")
    with _naming(path, temporary):
        path.parent.mkdir(parents=True, exist_ok=True)
        with _held(temporary, path):
            try:
                with _asking_the_disk(temporary):
                    yield temporary
                with temporary.open("rb+") as file:
                    os.fsync(file.fileno())
                temporary.replace(path)
            except BaseException:
                temporary.unlink(missing_ok=True)
                raise


def write_text(path: Path, text: str) -> None:
    """Write a text file atomically."""
    with whole_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


def copy_file(source: Path, path: Path) -> None:
    """Copy a file atomically."""
    with whole_file(path) as temporary:
        shutil.copyfile(source, temporary)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Lock ``folder``; if another process holds the lock, print which one and wait for it.

    Raises:
        DejaVuError: the file of the lock is a link, or its file system has no locks.
        OSError: the disk is full, the folder is read-only, ...; its ``filename`` is the file, or
            ``folder`` if the system names none.
    """
    with _naming(folder):
        folder.mkdir(parents=True, exist_ok=True)
        with open_by_name(folder / "lock") as file:
            if not lock(file):
                file.seek(0)
                _wait(file, folder, file.read().strip() or "another process")
            file.truncate(0)
            file.write(f"process {os.getpid()} on {platform.node()}\n")
            file.flush()
            yield


def _wait(file: IO[Any], path: Path, holder: str) -> None:
    print(f"dejavu: {path}: waiting for {holder}", file=sys.stderr, flush=True)
    lock(file, wait=True)


@contextmanager
def _held(temporary: Path, path: Path) -> Iterator[None]:
    """Lock a file's temporary one, and drop the leftovers of a killed process in it."""
    while True:
        with open_by_name(temporary) as file:
            if not lock(file):
                _wait(file, path, "the process that writes it")
            if _has_its_name_still(file, temporary):
                file.truncate(0)
                yield
                return


def _has_its_name_still(file: IO[Any], path: Path) -> bool:
    """Tell whether no other process renamed or removed the file while this one waited for it."""
    with suppress(FileNotFoundError):
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    return False


@contextmanager
def _naming(path: Path, *hidden: Path) -> Iterator[None]:
    """Set ``path`` as the filename of an `OSError` that names no file, or a hidden one."""
    try:
        yield
    except OSError as error:
        if error.errno is not None and error.filename in (None, *map(str, hidden)):
            error.filename = str(path)
        raise


@contextmanager
def _asking_the_disk(temporary: Path) -> Iterator[None]:
    """Raise the system's own error if a library hid it: writing more to a full disk fails.

    `torch.save` raises "unexpected pos 704 vs 598", and `shutil.copyfile` names the wrong file.
    """
    try:
        yield
    except Exception:
        with temporary.open("ab") as file:
            file.write(_PROBE)
        raise
