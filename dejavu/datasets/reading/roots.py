"""Location of the downloaded data set on this machine; it does not affect any result."""

import os
from pathlib import Path

from dejavu.datasets.reading.registry import dataset_class

ROOT_VARIABLE = "DEJAVU_ROOT"
"""Environment variable that names the folder of the study's data set."""


def data_root(name: str) -> Path:
    """Return the folder of a data set: ``DEJAVU_ROOT`` if set, else its download folder.

    The download folder is ``data/raw/NAME``, or a subfolder that the archive has created.
    """
    if named := os.environ.get(ROOT_VARIABLE):
        return Path(named)
    folder = Path("data") / "raw" / name
    return dataset_class(name).find(folder) or folder


def use_root(root: Path | None) -> None:
    """Set the root folder for the rest of this process and its child processes."""
    if root is not None:
        os.environ[ROOT_VARIABLE] = str(root)
