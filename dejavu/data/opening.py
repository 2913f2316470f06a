"""Opening a split, whichever way its data set is stored."""

from collections.abc import Sequence
from pathlib import Path

from dejavu.data.indexed import IndexedSplit
from dejavu.data.manifest import read_manifest
from dejavu.data.split import Split
from dejavu.data.store import PreparedSplit


def open_split(directory: Path, split: str, tasks: Sequence[str]) -> Split:
    """Open one split of a study's data.

    Args:
        directory: folder of the prepared data.
        split: train, val or test.
        tasks: whose ground truth is needed; of data that is read in place, no other is read.

    Raises:
        DataError: the data is missing or damaged.
    """
    if read_manifest(directory).name == "rooms":
        return PreparedSplit(directory, split)
    return IndexedSplit(directory, split, tasks)
