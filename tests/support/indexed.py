"""Tiny data sets that are read in place, and what their readers give."""

from pathlib import Path

from dejavu.data.indexed import IndexedSplit
from dejavu.datasets.reading.raw import Array
from dejavu.datasets.reading.registry import dataset_class
from dejavu.datasets.reading.roots import data_root
from tests.support.studies import ON_DISK, disk_params

SPLITS = ("train", "val", "test")
QUICK = {name: disk_params(name).tasks[:2] for name in ON_DISK}
"""Tasks by data set, less those whose ground truth takes long to compute."""


def opened(folder: Path, name: str, split: str = "train", *tasks: str) -> IndexedSplit:
    return IndexedSplit(folder, split, tasks or QUICK[name])


def truth(name: str, split: IndexedSplit, index: int, role: str) -> Array:
    """What the data set itself reads for an image of that name."""
    dataset = dataset_class(name)(data_root(name), disk_params(name).data.variant_name)
    official = "test" if split.path.stem == "test" else "train"
    entry = next(e for e in dataset.entries(official) if e.name == split.name(index))
    return dataset.read(entry, role)
