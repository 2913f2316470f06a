"""One split of a data set, however it is stored: samples and batches by index."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path

from torch import Tensor

from dejavu.data.sample import Batch, Sample, collate
from dejavu.datasets.reading.manifest import MEND, Manifest, SplitRecord, file_sha256, read_manifest
from dejavu.runtime.errors import DataError

Size = tuple[int, int]


class Split(ABC):
    """One split of a prepared data set.

    Args:
        directory: folder with ``manifest.json`` and the splits' files.
        split: name of the split.

    Raises:
        DataError: the manifest is missing or damaged, or has no such split.

    Attributes:
        manifest: the folder's manifest.
        record: the split's record in the manifest.
        path: the split's file.
    """

    def __init__(self, directory: Path, split: str) -> None:
        self.manifest: Manifest = read_manifest(directory)
        if split not in self.manifest.splits:
            known = ", ".join(self.manifest.splits)
            raise DataError(f"{directory}: has no split {split!r}; it has: {known}")
        self.record: SplitRecord = self.manifest.splits[split]
        self.path = directory / self.record.file

    def __len__(self) -> int:
        return self.record.count

    @abstractmethod
    def sample(self, index: int) -> Sample:
        """Return one image with its targets, at its own size.

        Raises:
            DataError: a file is missing or damaged.
        """

    @abstractmethod
    def size(self, index: int) -> Size:
        """Return height and width of an image in pixels, without reading it."""

    def batch(self, indices: Sequence[int] | Tensor, crop: Size | None = None) -> Batch:
        """Return the images at ``indices`` (0 to length - 1, in any order), normalised.

        Args:
            indices: positions in the split.
            crop: height and width of a centre crop, padded where an image is smaller; None for
                whole images, which must be of one size.

        Raises:
            IndexError: an index is outside the split.
            DataError: the images differ in size, or a file is missing or damaged.
        """
        positions = [int(index) for index in indices]
        self._check(positions)
        samples = [self.sample(index) for index in positions]
        if crop:
            from dejavu.data.augmentation import (
                centre_crop,  # imports torchvision, which takes a second
            )

            samples = [centre_crop(one, *crop) for one in samples]
        return collate(samples)

    def batches(self, batch_size: int) -> Iterator[range]:
        """Yield the split in order, in runs of at most ``batch_size`` images of one size."""
        start = 0
        for index in range(1, len(self) + 1):
            full = index - start == batch_size
            if index == len(self) or full or self.size(index) != self.size(start):
                yield range(start, index)
                start = index

    def name(self, index: int) -> str:
        """Return the name of an image in its data set."""
        return f"{self.path.stem}_{index:05d}"

    def caption(self, index: int) -> str:
        """Return the caption of one image; empty where the data set has none."""
        return ""

    def verify(self) -> None:
        """Compare the file's checksum with the manifest's.

        Raises:
            DataError: they differ.
        """
        found = file_sha256(self.path)
        if found != self.record.sha256:
            raise DataError(
                f"{self.path}: its SHA-256 is {found}, but the manifest says "
                f"{self.record.sha256}; {MEND}"
            )

    def _check(self, indices: Sequence[int]) -> None:
        outside = [index for index in indices if not 0 <= index < len(self)]
        if outside:
            raise IndexError(
                f"indices must be in [0, {len(self)}) for {self.path}, not {outside[0]}"
            )
