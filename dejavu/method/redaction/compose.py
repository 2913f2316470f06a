"""Several redactions, one after the other."""

from __future__ import annotations

from dejavu.method.redaction.base import Redacted
from dejavu.method.redaction.combined import Combination
from dejavu.runtime.lazy_imports import torch


class Compose(Combination):
    """Redactions are applied one after the other, from left to right.

    A pixel is kept if no part removes it: the keep mask is the product of the parts' masks, None
    if no part has one. A spectral part changes the kept pixels too.

    Args:
        redactions: at least two redactions; stored as a tuple.

    Example:
        >>> from dejavu.method.redaction import GridSample, LowPass
        >>> both = Compose([LowPass(cutoff=0.1), GridSample(stride=4)])
        >>> both(torch.ones(1, 3, 8, 8)).keep.sum(), both.kind
        (tensor(4.), 'mixed')
    """

    name = "compose"

    def _redact(self, image: torch.Tensor, generator: torch.Generator | None) -> Redacted:
        mask: torch.Tensor | None = None
        for part in self.redactions:
            image, keep = part._redact(image, generator)
            if keep is not None:
                mask = keep if mask is None else mask * keep
        return Redacted(image, mask)
