"""Everything is removed: a control."""

from __future__ import annotations

from dejavu.method.redaction.spatial import SpatialRedaction
from dejavu.runtime.lazy_imports import torch


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

    def _keep(
        self, batch: int, height: int, width: int, generator: torch.Generator | None
    ) -> torch.Tensor:
        return torch.zeros(batch, height, width, dtype=torch.bool, device="cpu")
