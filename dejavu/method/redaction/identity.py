"""Nothing is removed: a control."""

from __future__ import annotations

from dejavu.method.redaction.base import Redacted, Redaction
from dejavu.runtime.lazy_imports import torch


class Identity(Redaction):
    """Nothing is removed: the control in which the prediction is not needed.

    Example:
        >>> image = torch.ones(1, 3, 4, 4)
        >>> Identity()(image).image is image
        True
    """

    name = "identity"
    kind = "none"

    def _redact(self, image: torch.Tensor, generator: torch.Generator | None) -> Redacted:
        return Redacted(image, torch.ones_like(image[:, :1]))
