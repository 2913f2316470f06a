"""Opening a split, however its data set is stored."""

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
        data: the study's params of its data.
        split: train, val or test.
        tasks: tasks whose ground truth is needed; data read in place is read for these only.

    Raises:
        DataError: the data is missing or damaged, or was prepared for another study.
    """
    manifest = read_manifest(directory)
    if data.is_rooms and manifest.name == data.name:
        return PreparedSplit(directory, split)
    found = {"name": manifest.name, **manifest.spec}
    if data.is_rooms or found != data.identity():
        raise DataError(f"{directory}: holds {found}, but the params say {data.identity()}; {MEND}")
    from dejavu.data.indexed import IndexedSplit  # imports torchvision, which takes seconds

    return IndexedSplit(directory, split, tasks)
