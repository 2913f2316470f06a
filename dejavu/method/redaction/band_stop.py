"""A band of frequencies is removed."""

from __future__ import annotations

from dataclasses import dataclass, field

from dejavu.method.redaction.base import require
from dejavu.method.redaction.spectral import FourierRedaction, frequency
from dejavu.runtime.lazy_imports import torch


@dataclass(frozen=True)
class BandStop(FourierRedaction):
    """Frequencies above ``low`` and up to ``high`` are removed, the rest is kept.

    Args:
        low: highest radial frequency kept below the band, in cycles per pixel, above 0.
        high: highest radial frequency removed, above ``low``, at most `MAX_FREQUENCY`.

    Example:
        >>> image = torch.tensor([1.0, -1.0]).repeat(1, 1, 8, 4) + 3
        >>> BandStop(low=0.1, high=0.6)(image).image.unique()
        tensor([3.])
    """

    name = "band_stop"
    low: float = field(metadata=frequency("highest radial frequency kept below the band", 0.05))
    high: float = field(metadata=frequency("highest radial frequency removed", 0.2))

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.low < self.high, "low", self.low, f"below high={self.high}")

    def _passes(self, frequency: torch.Tensor) -> torch.Tensor:
        return (frequency <= self.low) | (frequency > self.high)
