"""One pixel in each cell of a regular grid is kept."""

from __future__ import annotations

from dataclasses import dataclass, field

from dejavu.method.redaction.base import setting
from dejavu.method.redaction.spatial import SpatialRedaction, shift
from dejavu.runtime.lazy_imports import torch


@dataclass(frozen=True)
class GridSample(SpatialRedaction):
    """One pixel in each cell of a regular grid is kept; each image's grid is shifted at random.

    The shift is uniform over a cell, so every pixel is kept with probability 1 / stride^2.

    Args:
        stride: side of a cell in pixels, at least 2; less than the image's shorter side.
        fill: fill of the removed pixels, ``zero``, ``mean`` or ``noise`` (`SpatialRedaction`).

    Example:
        >>> GridSample(stride=4)(torch.ones(2, 3, 8, 16)).keep.sum((1, 2, 3))
        tensor([8., 8.])
    """

    name = "grid_sample"
    stride: int = field(metadata=setting("side of a cell in pixels", 4, ge=2))

    @property
    def hole(self) -> int:  # noqa: D102
        return self.stride

    @property
    def smallest_side(self) -> int:
        """More than a cell: a cell over the whole image would keep a single pixel."""
        return self.stride + 1

    def _keep(
        self, batch: int, height: int, width: int, generator: torch.Generator | None
    ) -> torch.Tensor:
        rows, columns = shift(self.stride, batch, height, width, generator)
        return (rows % self.stride == 0) & (columns % self.stride == 0)
