"""Where the downloaded data set is on this machine; it decides nothing about a result."""

import os
from pathlib import Path

from dejavu.datasets.reading.registry import dataset_class

ROOT_VARIABLE = "DEJAVU_ROOT"
"""Environment variable that names the folder of the study's data set."""


def data_root(name: str) -> Path:
    """Return the folder of a data set: what ``DEJAVU_ROOT`` names, or where a download puts it.

    That is ``data/raw/NAME``, or a folder in it where the archive has one.
    """
    if named := os.environ.get(ROOT_VARIABLE):
        return Path(named)
    folder = Path("data") / "raw" / name
    return dataset_class(name).find(folder) or folder


def use_root(root: Path | None) -> None:
    """Name the folder for the rest of this process, and for those that it starts."""
    if root is not None:
        os.environ[ROOT_VARIABLE] = str(root)
