"""A random choice of the pixels is kept."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from dejavu.method.redaction.base import setting
from dejavu.method.redaction.spatial import SpatialRedaction, choose
from dejavu.runtime.lazy_imports import torch


@dataclass(frozen=True)
class SparsePixels(SpatialRedaction):
    """A random choice of the pixels is kept: exactly round(keep x H x W) in each image.

    Args:
        keep: fraction of the pixels to keep, in (0, 1); at least one, and not all.
        fill: fill of the removed pixels, ``zero``, ``mean`` or ``noise`` (`SpatialRedaction`).

    Example:
        >>> SparsePixels(keep=0.02)(torch.ones(2, 3, 50, 20)).keep.sum((1, 2, 3))
        tensor([20., 20.])
    """

    name = "sparse_pixels"
    keep: float = field(metadata=setting("fraction of the pixels that is kept", 0.05, gt=0, lt=1))

    @property
    def hole(self) -> int:
        """Side of the square that holds one kept pixel on average: ceil(1 / sqrt(keep))."""
        return math.ceil(1 / math.sqrt(self.keep))

    def _keep(
        self, batch: int, height: int, width: int, generator: torch.Generator | None
    ) -> torch.Tensor:
        kept = choose(batch, height * width, self.keep, "pixels", generator)
        return kept.view(batch, height, width)
