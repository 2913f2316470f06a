"""Redactions made of others."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from dejavu.method.redaction.base import Kind, Redacted, Redaction, draw_device, require


@dataclass(frozen=True)
class Combination(Redaction):
    """A redaction made of two or more others.

    Args:
        redactions: its parts, combinations among them if need be; kept as a tuple.
    """

    redactions: Sequence[Redaction]

    def __post_init__(self) -> None:
        several = isinstance(self.redactions, Sequence) and len(self.redactions) > 1
        require(several, "redactions", self.redactions, "a sequence of at least two redactions")
        for index, part in enumerate(self.redactions):
            require(isinstance(part, Redaction), f"redactions[{index}]", part, "a redaction")
        object.__setattr__(self, "redactions", tuple(self.redactions))

    @property
    def kind(self) -> Kind:
        """The kind of the parts, ``mixed`` where they differ."""
        kinds = {part.kind for part in self.redactions}
        return kinds.pop() if len(kinds) == 1 else "mixed"

    @property
    def hole(self) -> int:
        """Side in pixels of the largest hole of the parts."""
        return max(part.hole for part in self.redactions)


@dataclass(frozen=True)
class Compose(Combination):
    """Redactions are applied one after the other, from left to right.

    A pixel is kept if no part removes it: the keep mask is the product of the parts' masks, None
    where no part has one. A spectral part changes the pixels that are kept, too.

    Args:
        redactions: at least two redactions; kept as a tuple.

    Example:
        >>> from dejavu.method.redaction import GridSample, LowPass
        >>> both = Compose([LowPass(cutoff=0.1), GridSample(stride=4)])
        >>> both(torch.ones(1, 3, 8, 8)).keep.sum(), both.kind
        (tensor(4.), 'mixed')
    """

    name = "compose"

    def _redact(self, image: Tensor, generator: Generator | None) -> Redacted:
        mask: Tensor | None = None
        for part in self.redactions:
            image, keep = part._redact(image, generator)
            if keep is not None:
                mask = keep if mask is None else mask * keep
        return Redacted(image, mask)


@dataclass(frozen=True)
class RandomChoice(Combination):
    """One of several redactions is drawn for the whole batch, each as likely as the others.

    Args:
        redactions: at least two redactions; kept as a tuple.

    Example:
        >>> from dejavu.method.redaction import Blank, Identity
        >>> either = RandomChoice([Blank(), Identity()])
        >>> generator = torch.Generator().manual_seed(0)
        >>> image = torch.ones(1, 3, 4, 4)
        >>> [either(image, generator).keep.mean().item() for _ in range(4)]
        [0.0, 1.0, 1.0, 0.0]
    """

    name = "random_choice"

    def _redact(self, image: Tensor, generator: Generator | None) -> Redacted:
        count, device = len(self.redactions), draw_device(generator)
        index = torch.randint(count, (), generator=generator, device=device)
        return self.redactions[int(index)]._redact(image, generator)
