"""The base classes of spectral redactions: frequencies are removed, every pixel changes."""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import Any

from dejavu.method.redaction.base import Redacted, Redaction, setting
from dejavu.runtime.lazy_imports import torch

MAX_FREQUENCY = math.sqrt(0.5)
"""Largest radial frequency of a sampled image, in cycles per pixel: the corner of the spectrum."""


class SpectralRedaction(Redaction):
    """A redaction that removes frequencies, by a linear filter; it has no keep mask.

    It is computed in float32, even under autocast, and cast back.
    """

    kind = "spectral"

    def _redact(self, image: torch.Tensor, generator: torch.Generator | None) -> Redacted:
        with torch.autocast(image.device.type, enabled=False):
            return Redacted(self._filter(image.float()).to(image.dtype), None)

    @abstractmethod
    def _filter(self, image: torch.Tensor) -> torch.Tensor:
        """Filter a float32 batch."""


class FourierRedaction(SpectralRedaction):
    """An ideal filter on the discrete Fourier transform.

    The frequency of a coefficient is radial, sqrt(f_y^2 + f_x^2) in cycles per pixel, from 0 to
    `MAX_FREQUENCY`; the image continues periodically.
    """

    def _filter(self, image: torch.Tensor) -> torch.Tensor:
        height, width = image.shape[-2:]
        # On the CPU in float64, so that the same coefficients pass on every device.
        f_y = torch.fft.fftfreq(height, dtype=torch.float64, device="cpu")
        f_x = torch.fft.rfftfreq(width, dtype=torch.float64, device="cpu")
        passes = self._passes(torch.hypot(f_y[:, None], f_x)).to(image.device)
        spectrum = torch.fft.rfft2(image) * passes
        filtered: torch.Tensor = torch.fft.irfft2(spectrum, s=(height, width))
        return filtered

    @abstractmethod
    def _passes(self, frequency: torch.Tensor) -> torch.Tensor:
        """Return for each radial frequency whether it is kept (bool)."""


def frequency(description: str, example: float) -> dict[str, Any]:
    """Describe a setting that is a radial frequency, as metadata of its field."""
    unit = "in cycles per pixel"
    return setting(f"{description}, {unit}", example, gt=0, le=MAX_FREQUENCY)
