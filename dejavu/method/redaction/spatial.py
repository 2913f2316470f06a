"""The base class of spatial redactions: pixels are removed and filled, others are kept."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass, field
from typing import Literal

from dejavu.method.redaction.base import Redacted, Redaction, draw_device, number_kept, setting
from dejavu.runtime.lazy_imports import torch

Fill = Literal["zero", "mean", "noise"]


@dataclass(frozen=True)
class SpatialRedaction(Redaction):
    """A redaction that removes pixels and leaves the others unchanged.

    The removed pixels are filled with ``zero``, the mean grey of normalised images; with the
    ``mean`` of each image's and channel's kept pixels, computed in float32 (0 if none is kept);
    or with ``noise``, standard normal values in float32, drawn after the mask, so that the fill
    does not change the mask.
    """

    kind = "spatial"
    fill: Fill = field(
        default="zero", kw_only=True, metadata=setting("what fills the removed pixels")
    )

    def _redact(self, image: torch.Tensor, generator: torch.Generator | None) -> Redacted:
        batch, _, height, width = image.shape
        keep = self._keep(batch, height, width, generator).to(image.device).unsqueeze(1)
        filling = self._filling(image, keep, generator).to(image)
        return Redacted(torch.where(keep, image, filling), keep.to(image.dtype))

    @abstractmethod
    def _keep(
        self, batch: int, height: int, width: int, generator: torch.Generator | None
    ) -> torch.Tensor:
        """Draw the mask of kept pixels: B x H x W, bool, on the generator's device."""

    def _filling(
        self, image: torch.Tensor, keep: torch.Tensor, generator: torch.Generator | None
    ) -> torch.Tensor:
        """Return the fill of the removed pixels, float32, of a shape that expands to image's."""
        if self.fill == "zero":
            return torch.zeros((), device=image.device)
        if self.fill == "mean":
            total = image.float().masked_fill(~keep, 0).sum((2, 3), keepdim=True)
            return total / keep.sum((2, 3), keepdim=True).clamp(min=1)
        device = draw_device(generator)
        return torch.randn(image.shape, generator=generator, dtype=torch.float32, device=device)


def choose(
    batch: int, count: int, fraction: float, things: str, generator: torch.Generator | None
) -> torch.Tensor:
    """Choose exactly round(fraction x count) of ``count`` in each image: B x count, bool."""
    chosen = number_kept(fraction, count, f"{things} of the image")
    scores = torch.rand(batch, count, generator=generator, device=draw_device(generator))
    best = scores.topk(chosen, dim=1, sorted=False).indices
    return torch.zeros_like(scores, dtype=torch.bool).scatter_(1, best, True)


def number_blocks(
    block: int, batch: int, height: int, width: int, generator: torch.Generator | None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Number the blocks of randomly shifted grids, down (B x H x 1) and across (B x 1 x W)."""
    # Two blocks are the period of a checkerboard; for a cyclic grid, one would do.
    rows, columns = shift(2 * block, batch, height, width, generator)
    return rows // block, columns // block


def shift(
    period: int, batch: int, height: int, width: int, generator: torch.Generator | None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Count rows (B x H x 1) and columns (B x 1 x W) from offsets drawn from 0 to period - 1."""
    device = draw_device(generator)
    offset = torch.randint(period, (2, batch, 1), generator=generator, device=device)
    rows = offset[0] + torch.arange(height, device=device)
    columns = offset[1] + torch.arange(width, device=device)
    return rows.unsqueeze(2), columns.unsqueeze(1)
