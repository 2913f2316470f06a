"""Frequencies above a cutoff are kept."""

from __future__ import annotations

from dataclasses import dataclass, field

from dejavu.method.redaction.spectral import FourierRedaction, frequency
from dejavu.runtime.lazy_imports import torch


@dataclass(frozen=True)
class HighPass(FourierRedaction):
    """Frequencies above the cutoff are kept, those that `LowPass` of the same cutoff removes.

    Args:
        cutoff: highest radial frequency removed, in cycles per pixel, in (0, `MAX_FREQUENCY`].

    Example:
        >>> image = torch.tensor([1.0, -1.0]).repeat(1, 1, 8, 4) + 3
        >>> HighPass(cutoff=0.25)(image).image[0, 0, 0, :3]
        tensor([ 1., -1.,  1.])
    """

    name = "high_pass"
    cutoff: float = field(metadata=frequency("highest radial frequency removed", 0.06))

    def _passes(self, frequency: torch.Tensor) -> torch.Tensor:
        return frequency > self.cutoff
