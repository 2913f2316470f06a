"""Registry of the data sets that are read in place: one module each, with a class `Dataset`."""

import importlib
import pkgutil

import dejavu.datasets
from dejavu.datasets.reading.raw import RawDataset

_OTHERS = {"fetching", "reading", "rooms"}
"""Packages beside the data sets: shared code, and the rendered rooms."""


def dataset_names() -> list[str]:
    """Return the names of all data sets with a module here.

    Example:
        >>> "cityscapes" in dataset_names()
        True
    """
    modules = pkgutil.iter_modules(dejavu.datasets.__path__)
    return sorted(module.name for module in modules if module.name not in _OTHERS)


def dataset_class(name: str) -> type[RawDataset]:
    """Return the class of a data set, by one of `dataset_names`."""
    found: type[RawDataset] = importlib.import_module(f"dejavu.datasets.{name}").Dataset
    return found
