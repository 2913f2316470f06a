"""One of several redactions, drawn for each batch."""

from __future__ import annotations

from dejavu.method.redaction.base import Redacted, draw_device
from dejavu.method.redaction.combined import Combination
from dejavu.runtime.lazy_imports import torch


class RandomChoice(Combination):
    """One of several redactions is drawn for the whole batch, all with equal probability.

    Args:
        redactions: at least two redactions; stored as a tuple.

    Example:
        >>> from dejavu.method.redaction import Blank, Identity
        >>> either = RandomChoice([Blank(), Identity()])
        >>> generator = torch.Generator().manual_seed(0)
        >>> image = torch.ones(1, 3, 4, 4)
        >>> [either(image, generator).keep.mean().item() for _ in range(4)]
        [0.0, 1.0, 1.0, 0.0]
    """

    name = "random_choice"

    def _redact(self, image: torch.Tensor, generator: torch.Generator | None) -> Redacted:
        count, device = len(self.redactions), draw_device(generator)
        index = torch.randint(count, (), generator=generator, device=device)
        return self.redactions[int(index)]._redact(image, generator)
