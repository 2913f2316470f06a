"""Prepared splits: memory-mapped arrays in, batches out."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from dejavu.data.sample import Batch, Sample, normalise
from dejavu.data.split import Size, Split
from dejavu.datasets.reading.manifest import MEND, record_dtype
from dejavu.runtime.errors import DataError

Records = np.ndarray[tuple[int, ...], np.dtype[np.void]]
"""N stored scenes; see `record_dtype`."""


class PreparedSplit(Split):
    """One split of rendered data.

    The file is memory-mapped: opening is quick, and worker processes share its pages.

    Args:
        directory: folder with ``manifest.json`` and the splits' files.
        split: name of the split.

    Raises:
        DataError: the manifest or the file is missing or damaged, or they do not match.

    Attributes:
        records: the stored scenes, read-only.
    """

    def __init__(self, directory: Path, split: str) -> None:
        super().__init__(directory, split)
        self.records: Records = _open(self.path)
        height, width = self.manifest.height, self.manifest.width
        assert height is not None
        assert width is not None
        self._size = height, width
        expected = (self.record.count,), record_dtype(height, width)
        found = self.records.shape, self.records.dtype
        if found != expected:
            raise DataError(
                f"{self.path}: holds {found[0]} of {found[1]}, but the manifest says "
                f"{expected[0]} of {expected[1]}; {MEND}"
            )

    def size(self, index: int) -> Size:  # noqa: D102
        return self._size

    def sample(self, index: int) -> Sample:  # noqa: D102
        from dejavu.data.augmentation import KINDS  # imports torchvision, which takes a second

        parts = zip(KINDS.items(), self._read([index]), strict=True)
        return {role: kind(part[0]) for (role, kind), part in parts}

    def batch(self, indices: Sequence[int] | Tensor, crop: Size | None = None) -> Batch:  # noqa: D102
        if crop:
            return super().batch(indices, crop)
        image, label, depth, normals = self._read([int(index) for index in indices])
        return Batch(normalise(image), label, depth, normals)

    def _read(self, indices: list[int]) -> list[Tensor]:
        self._check(indices)
        scenes = self.records[np.array(indices, np.int64)]
        parts = (
            scenes["image"].transpose(0, 3, 1, 2),
            scenes["label"].astype(np.int64),
            scenes["depth"][:, None],
            scenes["normals"].transpose(0, 3, 1, 2),
        )
        return [torch.from_numpy(np.ascontiguousarray(part)) for part in parts]

    def caption(self, index: int) -> str:  # noqa: D102
        return bytes(self.records["caption"][index]).decode("ascii")


def _open(path: Path) -> Records:
    try:
        scenes: Records = np.lib.format.open_memmap(path, mode="r")
    except FileNotFoundError:
        raise DataError(f"{path}: the manifest names it, but it is missing; {MEND}") from None
    except (OSError, ValueError, EOFError) as error:
        raise DataError(f"{path}: cannot be read ({error}); {MEND}") from None
    return scenes
