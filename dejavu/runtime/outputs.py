"""Outputs at paths that a user gives: none replaces a file that is read, no two share a place."""

import os
from collections.abc import Iterable
from pathlib import Path

from dejavu.runtime.errors import DejaVuError


def require_apart(outputs: Iterable[Path], inputs: Iterable[Path]) -> None:
    """Refuse outputs of which one is an input, an existing folder, or another output.

    Paths are compared by the files that they lead to: through links, or in another spelling.

    Args:
        outputs: every file that will be written.
        inputs: every file that is read.

    Raises:
        DejaVuError: an output is not a place of its own.

    Example:
        >>> require_apart([Path("b.onnx")], [Path("a.safetensors")])
        >>> require_apart([Path("./a.safetensors")], [Path("a.safetensors")])
        Traceback (most recent call last):
            ...
        dejavu.runtime.errors.DejaVuError: a.safetensors: is read by this command, which would \
write over it; name another output
    """
    read = {place(path) for path in inputs}
    written: dict[object, Path] = {}
    for path in outputs:
        here = place(path)
        if path.is_dir():
            raise DejaVuError(f"{path}: is a folder; name a file that is none")
        if here in read:
            raise DejaVuError(
                f"{path}: is read by this command, which would write over it; name another output"
            )
        if here in written:
            raise DejaVuError(
                f"{path}: is the same file as {written[here]}, and both would be written; undo the "
                "link, or name another output"
            )
        written[here] = path


def place(path: Path) -> object:
    """Return what a path leads to: the file or folder itself or, if there is none, where it is.

    Example:
        >>> place(Path("new/../file")) == place(Path("file"))
        True
    """
    try:
        found = path.stat()
    except OSError:
        return os.path.realpath(path)
    return found.st_dev, found.st_ino
