"""Frequencies up to a cutoff are kept."""

from __future__ import annotations

from dataclasses import dataclass, field

from dejavu.method.redaction.spectral import FourierRedaction, frequency
from dejavu.runtime.lazy_imports import torch


@dataclass(frozen=True)
class LowPass(FourierRedaction):
    """Frequencies up to the cutoff are kept, including the mean.

    Args:
        cutoff: highest radial frequency kept, in cycles per pixel, in (0, `MAX_FREQUENCY`].

    Example:
        >>> image = torch.tensor([1.0, -1.0]).repeat(1, 1, 8, 4) + 3
        >>> LowPass(cutoff=0.25)(image).image[0, 0, 0, :3]
        tensor([3., 3., 3.])
    """

    name = "low_pass"
    cutoff: float = field(metadata=frequency("highest radial frequency kept", 0.06))

    def _passes(self, frequency: torch.Tensor) -> torch.Tensor:
        return frequency <= self.cutoff
