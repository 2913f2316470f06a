"""Every other block of a checkerboard is removed."""

from __future__ import annotations

from dataclasses import dataclass, field

from dejavu.method.redaction.base import setting
from dejavu.method.redaction.spatial import SpatialRedaction, number_blocks
from dejavu.runtime.lazy_imports import torch


@dataclass(frozen=True)
class Checkerboard(SpatialRedaction):
    """Every other block of a checkerboard is removed; each image's board is shifted at random.

    The shift is uniform over the board's period, so every pixel is kept with probability 1/2.

    Args:
        block: side of a block in pixels, at least 1; less than the image's shorter side.
        fill: fill of the removed pixels, ``zero``, ``mean`` or ``noise`` (`SpatialRedaction`).

    Example:
        >>> redacted = Checkerboard(block=1)(torch.ones(1, 3, 2, 4), torch.Generator())
        >>> redacted.image[0, 0].sum(), redacted.keep.shape
        (tensor(4.), torch.Size([1, 1, 2, 4]))
    """

    name = "checkerboard"
    block: int = field(metadata=setting("side of a block in pixels", 8, ge=1))

    @property
    def hole(self) -> int:  # noqa: D102
        return self.block

    @property
    def smallest_side(self) -> int:
        """More than a block: a block over the whole image would keep all of it or nothing."""
        return self.block + 1

    def _keep(
        self, batch: int, height: int, width: int, generator: torch.Generator | None
    ) -> torch.Tensor:
        rows, columns = number_blocks(self.block, batch, height, width, generator)
        return (rows + columns) % 2 == 0
