"""Kernel locks of files, which end with their process, even if it is killed."""

import errno
import fcntl
import os
import stat
from pathlib import Path
from typing import IO, Any

from dejavu.runtime.errors import DejaVuError

_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)
"""What file systems without locks answer: NFS without its lock service, Lustre without -o flock,
some of those in user space."""


def lock(file: IO[Any], shared: bool = False, wait: bool = False) -> bool:
    """Lock an open file until it is closed, or its process ends.

    Args:
        file: the file.
        shared: whether others may hold a shared lock at the same time.
        wait: whether to wait for the process that holds the lock.

    Returns:
        False if another process holds the lock, and this one does not wait.

    Raises:
        DejaVuError: the file system has no locks; the message names the file.

    Example:
        >>> from tempfile import TemporaryFile
        >>> with TemporaryFile() as file:
        ...     lock(file)
        True
    """
    kind = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
    try:
        fcntl.flock(file, kind if wait else kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
        raise DejaVuError(
            f"{file.name}: its file system has no locks (flock: {error.strerror}), which keep two "
            "processes from writing one file at once; mount it with locks (Lustre: -o flock, NFS: "
            "with its lock service), or work in a folder, and with a TMPDIR, on a local disk"
        ) from None
    return True


def open_by_name(path: Path, mode: str = "a+") -> IO[Any]:
    """Open a file whose name can be guessed; it is created if missing.

    Whoever can write into the folder, such as /tmp, can plant a link at the name; through it, the
    target would be overwritten.

    Args:
        path: the file.
        mode: as of `open`.

    Raises:
        DejaVuError: there is a link, or no plain file; the message names it.
    """
    encoding = None if "b" in mode else "utf-8"
    return open(path, mode, encoding=encoding, opener=_refusing_links)


def _refusing_links(path: str, flags: int) -> int:
    try:
        # Not blocking, or opening a named pipe would wait for its other end.
        handle = os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK, 0o666)
    except OSError as error:
        if error.errno not in (errno.ELOOP, errno.ENXIO):
            raise
        raise _no_plain_file(path) from None
    found = os.fstat(handle)
    if not stat.S_ISREG(found.st_mode) or found.st_nlink > 1:
        os.close(handle)
        raise _no_plain_file(path)
    return handle


def _no_plain_file(path: str) -> DejaVuError:
    return DejaVuError(
        f"{path}: is a link, has a second name (hard link) or is no plain file: writing there "
        "would change another file; remove it"
    )
