"""Location of the downloaded data set on this machine; it does not affect any result."""

import os
from pathlib import Path

from dejavu.datasets.reading.registry import dataset_class
from dejavu.runtime.errors import DataError

ROOT_VARIABLE = "DEJAVU_ROOT"
"""Environment variable that names the folder of the study's data set."""


def data_root(name: str) -> Path:
    """Return the folder of a data set: ``DEJAVU_ROOT`` if set, else its download folder.

    A leading ``~`` and ``$NAME`` are replaced where no shell has done so, as in
    ``--config root=~/data``, unless the folder has this very name. The download folder is
    ``data/raw/NAME``, or a subfolder that the archive has created.
    """
    if named := os.environ.get(ROOT_VARIABLE):
        typed = Path(named)
        return typed if typed.exists() else Path(os.path.expandvars(named)).expanduser()
    folder = Path("data") / "raw" / name
    return dataset_class(name).find(folder) or folder


def use_root(root: str | None) -> None:
    """Set the root folder for the rest of this process and its child processes.

    Args:
        root: the folder as typed; None if none is given.

    Raises:
        DataError: it is empty, which is no folder.
    """
    if root is None:
        return
    if not root.strip():
        raise DataError(
            "the root is empty: name the folder of the data set, or leave --root (root=) out"
        )
    os.environ[ROOT_VARIABLE] = root
