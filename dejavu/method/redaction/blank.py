"""Everything is removed: a control."""

from __future__ import annotations

from dejavu.method.redaction.spatial import SpatialRedaction
from dejavu.runtime.lazy_imports import torch


class Blank(SpatialRedaction):
    """Everything is removed: the control in which only the prediction is left.

    Its `hole` is 0 by definition: no receptive field, however large, holds pixels to inpaint from.

    Args:
        fill: fill of the image, ``zero`` or ``noise``; ``mean`` equals ``zero``, since no pixel
            is kept.

    Example:
        >>> Blank()(torch.ones(1, 3, 4, 4)).image.abs().max()
        tensor(0.)
    """

    name = "blank"

    def _keep(
        self, batch: int, height: int, width: int, generator: torch.Generator | None
    ) -> torch.Tensor:
        return torch.zeros(batch, height, width, dtype=torch.bool, device="cpu")
