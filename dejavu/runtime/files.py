"""Whole files or none: everything is written to a temporary name and renamed.

The temporary of ``table.csv`` is ``.table.csv.tmp`` beside it. Git and DVC ignore such names
(.gitignore, .dvcignore): what a killed process leaves behind belongs to no result, and the next
process that writes the file writes over it. Locks are the kernel's: a kill lets go of them.
"""

import fcntl
import os
import platform
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

_PROBE = bytes(1 << 16)


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Yield a temporary name beside ``path`` that is renamed to it when the block succeeds.

    The bytes are on the disk before they have the name, so that a power cut leaves the old file
    or the new one. A second process that writes the same file waits for the first.

    Args:
        path: file to write; its folder is made.

    Raises:
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
        with _held(temporary):
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
    """Write a text file, whole or not at all."""
    with whole_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


def copy_file(source: Path, path: Path) -> None:
    """Copy a file, whole or not at all."""
    with whole_file(path) as temporary:
        shutil.copyfile(source, temporary)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold ``folder`` alone: wait for another process that does, and say which.

    Raises:
        OSError: the disk is full, the folder is read-only, ...; its ``filename`` is the file, or
            ``folder`` where the system names none.
    """
    with _naming(folder):
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / "lock").open("a+", encoding="utf-8") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                lock.seek(0)
                holder = lock.read().strip() or "another process"
                print(f"dejavu: {folder}: waiting for {holder}", file=sys.stderr, flush=True)
                fcntl.flock(lock, fcntl.LOCK_EX)
            lock.truncate(0)
            lock.write(f"process {os.getpid()} on {platform.node()}\n")
            lock.flush()
            yield


@contextmanager
def _held(temporary: Path) -> Iterator[None]:
    """Hold a temporary file alone; what a killed process left in it is dropped."""
    while True:
        with temporary.open("ab") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            if _has_its_name_still(file, temporary):
                file.truncate(0)
                yield
                return


def _has_its_name_still(file: IO[bytes], path: Path) -> bool:
    """Whether no other process renamed or removed the file while this one waited for it."""
    with suppress(FileNotFoundError):
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    return False


@contextmanager
def _naming(path: Path, *hidden: Path) -> Iterator[None]:
    """Let an error of the system that names no file, or a hidden one, name ``path``."""
    try:
        yield
    except OSError as error:
        if error.errno is not None and error.filename in (None, *map(str, hidden)):
            error.filename = str(path)
        raise


@contextmanager
def _asking_the_disk(temporary: Path) -> Iterator[None]:
    """Raise the system's own error where a library hides it: a full disk refuses more bytes.

    `torch.save` says "unexpected pos 704 vs 598", and `shutil.copyfile` names the wrong file.
    """
    try:
        yield
    except Exception:
        with temporary.open("ab") as file:
            file.write(_PROBE)
        raise
