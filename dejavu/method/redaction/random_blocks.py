"""A random choice of the blocks of a grid is kept."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from dejavu.method.redaction.base import setting
from dejavu.method.redaction.spatial import SpatialRedaction, choose, number_blocks
from dejavu.runtime.lazy_imports import torch


@dataclass(frozen=True)
class RandomBlocks(SpatialRedaction):
    """A random choice of the blocks of a grid is kept; each image's grid is shifted at random.

    Of the ceil(H / block) x ceil(W / block) blocks exactly round(keep x blocks) are kept in each
    image. The shift is cyclic: a block that leaves the image on one side continues on the other,
    so that if ``block`` divides H and W, the number of kept pixels is exact too.

    Args:
        block: side of a block in pixels, at least 1; less than the image's shorter side.
        keep: fraction of the blocks to keep, in (0, 1); at least one, and not all.
        fill: fill of the removed pixels, ``zero``, ``mean`` or ``noise`` (`SpatialRedaction`).

    Example:
        >>> redacted = RandomBlocks(block=8, keep=0.25)(torch.ones(2, 3, 32, 32))
        >>> redacted.keep.mean((1, 2, 3))
        tensor([0.2500, 0.2500])
    """

    name = "random_blocks"
    block: int = field(metadata=setting("side of a block in pixels", 8, ge=1))
    keep: float = field(metadata=setting("fraction of the blocks that is kept", 0.3, gt=0, lt=1))

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
        down, across = math.ceil(height / self.block), math.ceil(width / self.block)
        kept = choose(batch, down * across, self.keep, "blocks", generator)
        numbers = rows % down * across + columns % across
        return kept.gather(1, numbers.flatten(1)).view(batch, height, width)
