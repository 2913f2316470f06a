"""Prepared splits: memory-mapped arrays in, batches of `Sample` out."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from dejavu.data.manifest import MEND, Manifest, file_sha256, read_manifest, record_dtype
from dejavu.data.sample import Sample, normalise
from dejavu.errors import DataError

Records = np.ndarray[tuple[int, ...], np.dtype[np.void]]
"""N stored scenes; see `record_dtype`."""


class PreparedSplit:
    """One split of prepared data.

    The file is mapped, not read: opening is quick, and worker processes share its pages.

    Args:
        directory: folder with ``manifest.json`` and the splits' files.
        split: name of the split.

    Raises:
        DataError: the manifest or the file is missing, damaged, or not what the other says.

    Attributes:
        manifest: what the folder holds.
        path: the split's file.
        records: its scenes as they are stored, read-only.
    """

    def __init__(self, directory: Path, split: str) -> None:
        self.manifest: Manifest = read_manifest(directory)
        if split not in self.manifest.splits:
            known = ", ".join(self.manifest.splits)
            raise DataError(f"{directory}: has no split {split!r}; it has: {known}")
        self._record = self.manifest.splits[split]
        self.path = directory / self._record.file
        self.records: Records = _open(self.path)
        expected = (self._record.count,), record_dtype(self.manifest.height, self.manifest.width)
        found = self.records.shape, self.records.dtype
        if found != expected:
            raise DataError(
                f"{self.path}: holds {found[0]} of {found[1]}, and the manifest says "
                f"{expected[0]} of {expected[1]}; {MEND}"
            )

    def __len__(self) -> int:
        return self._record.count

    def batch(self, indices: Sequence[int] | Tensor) -> Sample:
        """Return the scenes at ``indices`` (0 to length - 1, in any order), images normalised.

        Raises:
            IndexError: an index is outside the split.
        """
        chosen = np.asarray(indices, dtype=np.int64)
        outside = chosen[(chosen < 0) | (chosen >= len(self))]
        if len(outside):
            raise IndexError(
                f"indices must be in [0, {len(self)}) for {self.path}, not {outside[0]}"
            )
        scenes = self.records[chosen]
        image, depth, normals = (
            torch.from_numpy(np.ascontiguousarray(array))
            for array in (
                scenes["image"].transpose(0, 3, 1, 2),
                scenes["depth"][:, None],
                scenes["normals"].transpose(0, 3, 1, 2),
            )
        )
        label = torch.from_numpy(scenes["label"].astype(np.int64))
        return Sample(normalise(image), label, depth, normals)

    def caption(self, index: int) -> str:
        """Return the caption of one scene."""
        return bytes(self.records["caption"][index]).decode("ascii")

    def verify(self) -> None:
        """Compare the file's checksum with the manifest's.

        Raises:
            DataError: they differ.
        """
        found = file_sha256(self.path)
        if found != self._record.sha256:
            raise DataError(
                f"{self.path}: its SHA-256 is {found}, and the manifest says "
                f"{self._record.sha256}; {MEND}"
            )


def _open(path: Path) -> Records:
    try:
        scenes: Records = np.load(path, mmap_mode="r")
    except FileNotFoundError:
        raise DataError(f"{path}: the manifest names it, but it is missing; {MEND}") from None
    except (OSError, ValueError, EOFError) as error:
        raise DataError(f"{path}: cannot be read ({error}); {MEND}") from None
    return scenes
