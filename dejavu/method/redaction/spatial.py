"""Spatial redactions: pixels are removed, the others stay as they are."""

import math
from abc import abstractmethod
from dataclasses import dataclass, field
from typing import Literal, get_args

import torch
from torch import Generator, Tensor

from dejavu.method.redaction.base import (
    Redacted,
    Redaction,
    check_fraction,
    check_side,
    draw_device,
    number_kept,
    require,
)

Fill = Literal["zero", "mean", "noise"]


@dataclass(frozen=True)
class SpatialRedaction(Redaction):
    """A redaction that removes pixels and leaves the others as they are.

    The removed ones are filled with ``zero``, the mean grey of normalised images; with the
    ``mean`` of each image's and channel's kept pixels, computed in float32 (0 where none is
    kept); or with ``noise``, standard normal draws in float32, made after those of the mask, so
    that the fill does not change the mask.
    """

    kind = "spatial"

    @property
    @abstractmethod
    def fill(self) -> Fill:
        """What the removed pixels are filled with."""

    def __post_init__(self) -> None:
        fills = get_args(Fill)
        require(self.fill in fills, "fill", self.fill, " or ".join(map(repr, fills)))

    def _redact(self, image: Tensor, generator: Generator | None) -> Redacted:
        batch, _, height, width = image.shape
        keep = self._keep(batch, height, width, generator).to(image.device).unsqueeze(1)
        filling = self._filling(image, keep, generator).to(image)
        return Redacted(torch.where(keep, image, filling), keep.to(image.dtype))

    @abstractmethod
    def _keep(self, batch: int, height: int, width: int, generator: Generator | None) -> Tensor:
        """Draw the mask of kept pixels: B x H x W, bool, on the generator's device."""

    def _filling(self, image: Tensor, keep: Tensor, generator: Generator | None) -> Tensor:
        """Make what the removed pixels become, in float32, of a shape that expands to image's."""
        if self.fill == "zero":
            return torch.zeros((), device=image.device)
        if self.fill == "mean":
            total = image.float().masked_fill(~keep, 0).sum((2, 3), keepdim=True)
            return total / keep.sum((2, 3), keepdim=True).clamp(min=1)
        device = draw_device(generator)
        return torch.randn(image.shape, generator=generator, dtype=torch.float32, device=device)


@dataclass(frozen=True)
class Checkerboard(SpatialRedaction):
    """Every other block of a checkerboard is removed; each image's board is shifted at random.

    The shift is uniform over the board's period, so every pixel is kept with probability 1/2.

    Args:
        block: side of a block in pixels, at least 1; less than the image's shorter side.
        fill: what fills the removed pixels, ``zero``, ``mean`` or ``noise`` (`SpatialRedaction`).

    Example:
        >>> redacted = Checkerboard(block=1)(torch.ones(1, 3, 2, 4), torch.Generator())
        >>> redacted.image[0, 0].sum(), redacted.keep.shape
        (tensor(4.), torch.Size([1, 1, 2, 4]))
    """

    name = "checkerboard"
    block: int
    fill: Fill = field(default="zero", kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_side("block", self.block, 1)

    @property
    def hole(self) -> int:  # noqa: D102
        return self.block

    def _keep(self, batch: int, height: int, width: int, generator: Generator | None) -> Tensor:
        rows, columns = _number_blocks(self.block, batch, height, width, generator)
        return (rows + columns) % 2 == 0


@dataclass(frozen=True)
class RandomBlocks(SpatialRedaction):
    """A random choice of the blocks of a grid is kept; each image's grid is shifted at random.

    Of the ceil(H / block) x ceil(W / block) blocks exactly round(keep x blocks) are kept in each
    image. The shift is cyclic: a block that leaves the image at one side goes on at the other, so
    that where ``block`` divides H and W the number of kept pixels is exact too.

    Args:
        block: side of a block in pixels, at least 1; less than the image's shorter side.
        keep: fraction of the blocks that is kept, in (0, 1); neither none nor all of them.
        fill: what fills the removed pixels, ``zero``, ``mean`` or ``noise`` (`SpatialRedaction`).

    Example:
        >>> redacted = RandomBlocks(block=8, keep=0.25)(torch.ones(2, 3, 32, 32))
        >>> redacted.keep.mean((1, 2, 3))
        tensor([0.2500, 0.2500])
    """

    name = "random_blocks"
    block: int
    keep: float
    fill: Fill = field(default="zero", kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_side("block", self.block, 1)
        check_fraction(self.keep)

    @property
    def hole(self) -> int:  # noqa: D102
        return self.block

    def _keep(self, batch: int, height: int, width: int, generator: Generator | None) -> Tensor:
        rows, columns = _number_blocks(self.block, batch, height, width, generator)
        down, across = math.ceil(height / self.block), math.ceil(width / self.block)
        kept = _choose(batch, down * across, self.keep, "blocks", generator)
        numbers = rows % down * across + columns % across
        return kept.gather(1, numbers.flatten(1)).view(batch, height, width)


@dataclass(frozen=True)
class SparsePixels(SpatialRedaction):
    """A random choice of the pixels is kept: exactly round(keep x H x W) in each image.

    Args:
        keep: fraction of the pixels that is kept, in (0, 1); neither none nor all of them.
        fill: what fills the removed pixels, ``zero``, ``mean`` or ``noise`` (`SpatialRedaction`).

    Example:
        >>> SparsePixels(keep=0.02)(torch.ones(2, 3, 50, 20)).keep.sum((1, 2, 3))
        tensor([20., 20.])
    """

    name = "sparse_pixels"
    keep: float
    fill: Fill = field(default="zero", kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_fraction(self.keep)

    @property
    def hole(self) -> int:
        """Side of the square that holds one kept pixel in the mean: ceil(1 / sqrt(keep))."""
        return math.ceil(1 / math.sqrt(self.keep))

    def _keep(self, batch: int, height: int, width: int, generator: Generator | None) -> Tensor:
        kept = _choose(batch, height * width, self.keep, "pixels", generator)
        return kept.view(batch, height, width)


@dataclass(frozen=True)
class GridSample(SpatialRedaction):
    """One pixel in each cell of a regular grid is kept; each image's grid is shifted at random.

    The shift is uniform over a cell, so every pixel is kept with probability 1 / stride^2.

    Args:
        stride: side of a cell in pixels, at least 2; less than the image's shorter side.
        fill: what fills the removed pixels, ``zero``, ``mean`` or ``noise`` (`SpatialRedaction`).

    Example:
        >>> GridSample(stride=4)(torch.ones(2, 3, 8, 16)).keep.sum((1, 2, 3))
        tensor([8., 8.])
    """

    name = "grid_sample"
    stride: int
    fill: Fill = field(default="zero", kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_side("stride", self.stride, 2)

    @property
    def hole(self) -> int:  # noqa: D102
        return self.stride

    def _keep(self, batch: int, height: int, width: int, generator: Generator | None) -> Tensor:
        _check_fits("stride", self.stride, height, width)
        rows, columns = _shift(self.stride, batch, height, width, generator)
        return (rows % self.stride == 0) & (columns % self.stride == 0)


@dataclass(frozen=True)
class Blank(SpatialRedaction):
    """Everything is removed: the control in which the prediction is all that is left.

    Its `hole` is 0 by definition: there is nothing to inpaint from, however far one sees.

    Args:
        fill: what fills the image, ``zero`` or ``noise``; there is nothing to take a ``mean`` of,
            which is ``zero`` therefore.

    Example:
        >>> Blank()(torch.ones(1, 3, 4, 4)).image.abs().max()
        tensor(0.)
    """

    name = "blank"
    fill: Fill = field(default="zero", kw_only=True)

    def _keep(self, batch: int, height: int, width: int, generator: Generator | None) -> Tensor:
        return torch.zeros(batch, height, width, dtype=torch.bool, device="cpu")


def _choose(
    batch: int, count: int, fraction: float, things: str, generator: Generator | None
) -> Tensor:
    """Choose exactly round(fraction x count) of ``count`` in each image: B x count, bool."""
    chosen = number_kept(fraction, count, f"{things} of the image")
    scores = torch.rand(batch, count, generator=generator, device=draw_device(generator))
    best = scores.topk(chosen, dim=1, sorted=False).indices
    return torch.zeros_like(scores, dtype=torch.bool).scatter_(1, best, True)


def _number_blocks(
    block: int, batch: int, height: int, width: int, generator: Generator | None
) -> tuple[Tensor, Tensor]:
    """Number the blocks of randomly shifted grids, down (B x H x 1) and across (B x 1 x W)."""
    # One block over the whole image would leave all of it or nothing.
    _check_fits("block", block, height, width)
    # Two blocks are the period of a checkerboard; for a cyclic grid, one would do.
    rows, columns = _shift(2 * block, batch, height, width, generator)
    return rows // block, columns // block


def _check_fits(setting: str, side: int, height: int, width: int) -> None:
    rule = f"less than the sides of the image, which is {height} x {width}"
    require(side < min(height, width), setting, side, rule)


def _shift(
    period: int, batch: int, height: int, width: int, generator: Generator | None
) -> tuple[Tensor, Tensor]:
    """Count rows (B x H x 1) and columns (B x 1 x W) from offsets drawn from 0 to period - 1."""
    device = draw_device(generator)
    offset = torch.randint(period, (2, batch, 1), generator=generator, device=device)
    rows = offset[0] + torch.arange(height, device=device)
    columns = offset[1] + torch.arange(width, device=device)
    return rows.unsqueeze(2), columns.unsqueeze(1)
