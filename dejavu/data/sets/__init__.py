"""Data sets read in place, exactly as downloaded: one module each, whose `Dataset` is the set."""

import importlib
import pkgutil
from pathlib import Path

from dejavu.data.raw import RawDataset


def dataset_names() -> list[str]:
    """Name every data set that has a module here.

    Example:
        >>> "cityscapes" in dataset_names()
        True
    """
    return sorted(module.name for module in pkgutil.iter_modules([str(Path(__file__).parent)]))


def dataset_class(name: str) -> type[RawDataset]:
    """Return the data set of a name among `dataset_names`."""
    found: type[RawDataset] = importlib.import_module(f"{__name__}.{name}").Dataset
    return found
