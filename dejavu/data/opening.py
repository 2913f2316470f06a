"""Opening a split, whichever way its data set is stored."""

from collections.abc import Sequence
from pathlib import Path

from dejavu.config import DataParams
from dejavu.data.split import Split
from dejavu.data.store import PreparedSplit
from dejavu.datasets.reading.manifest import MEND, read_manifest
from dejavu.runtime.errors import DataError


def open_split(directory: Path, data: DataParams, split: str, tasks: Sequence[str]) -> Split:
    """Open one split of a study's data.

    Args:
        directory: folder of the prepared data.
        data: what the study says of it.
        split: train, val or test.
        tasks: whose ground truth is needed; of data that is read in place, no other is read.

    Raises:
        DataError: the data is missing or damaged, or another study prepared it.
    """
    manifest = read_manifest(directory)
    if data.is_rooms and manifest.name == data.name:
        return PreparedSplit(directory, split)
    found = {"name": manifest.name, **manifest.spec}
    if data.is_rooms or found != data.identity():
        raise DataError(f"{directory}: holds {found}, and the params say {data.identity()}; {MEND}")
    from dejavu.data.indexed import IndexedSplit  # imports torchvision, which takes seconds

    return IndexedSplit(directory, split, tasks)
