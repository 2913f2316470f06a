"""Data sets read in place, exactly as downloaded: one module each, whose `Dataset` is the set."""

import importlib
import pkgutil

import dejavu.datasets
from dejavu.datasets.reading.raw import RawDataset

_OTHERS = {"fetching", "reading", "rooms"}
"""What stands beside the data sets: what they share, and the rooms, which are rendered."""


def dataset_names() -> list[str]:
    """Name every data set that has a module here.

    Example:
        >>> "cityscapes" in dataset_names()
        True
    """
    modules = pkgutil.iter_modules(dejavu.datasets.__path__)
    return sorted(module.name for module in modules if module.name not in _OTHERS)


def dataset_class(name: str) -> type[RawDataset]:
    """Return the data set of a name among `dataset_names`."""
    found: type[RawDataset] = importlib.import_module(f"dejavu.datasets.{name}").Dataset
    return found
