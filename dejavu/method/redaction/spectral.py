"""Spectral redactions: frequencies are removed, and every pixel changes."""

import math
from abc import abstractmethod
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from dejavu.method.redaction.base import (
    Redacted,
    Redaction,
    check_fraction,
    check_side,
    number_kept,
    require,
)

MAX_FREQUENCY = math.sqrt(0.5)
"""Largest radial frequency of a sampled image, in cycles per pixel: the corner of the spectrum."""


@dataclass(frozen=True)
class SpectralRedaction(Redaction):
    """A redaction that removes frequencies, by a linear filter; it has no keep mask.

    Computed in float32, under autocast too, and cast back.
    """

    kind = "spectral"

    def _redact(self, image: Tensor, generator: Generator | None) -> Redacted:
        with torch.autocast(image.device.type, enabled=False):
            return Redacted(self._filter(image.float()).to(image.dtype), None)

    @abstractmethod
    def _filter(self, image: Tensor) -> Tensor:
        """Filter a float32 batch."""


@dataclass(frozen=True)
class FourierRedaction(SpectralRedaction):
    """An ideal filter on the discrete Fourier transform.

    The frequency of a coefficient is radial, sqrt(f_y^2 + f_x^2) in cycles per pixel, from 0 to
    `MAX_FREQUENCY`; the image continues periodically.
    """

    def __post_init__(self) -> None:
        rule = f"above 0 and at most {MAX_FREQUENCY:.4f} cycles per pixel"
        for setting, frequency in vars(self).items():
            require(0 < frequency <= MAX_FREQUENCY, setting, frequency, rule)

    def _filter(self, image: Tensor) -> Tensor:
        height, width = image.shape[-2:]
        # On the CPU in float64: which coefficients pass is then the same on every device.
        f_y = torch.fft.fftfreq(height, dtype=torch.float64, device="cpu")
        f_x = torch.fft.rfftfreq(width, dtype=torch.float64, device="cpu")
        passes = self._passes(torch.hypot(f_y[:, None], f_x)).to(image.device)
        spectrum = torch.fft.rfft2(image) * passes
        filtered: Tensor = torch.fft.irfft2(spectrum, s=(height, width))
        return filtered

    @abstractmethod
    def _passes(self, frequency: Tensor) -> Tensor:
        """Tell for each radial frequency whether it is kept (bool)."""


@dataclass(frozen=True)
class LowPass(FourierRedaction):
    """Frequencies up to the cutoff are kept, the mean among them.

    Args:
        cutoff: highest radial frequency kept, in cycles per pixel, in (0, `MAX_FREQUENCY`].

    Example:
        >>> image = torch.tensor([1.0, -1.0]).repeat(1, 1, 8, 4) + 3
        >>> LowPass(cutoff=0.25)(image).image[0, 0, 0, :3]
        tensor([3., 3., 3.])
    """

    name = "low_pass"
    cutoff: float

    def _passes(self, frequency: Tensor) -> Tensor:
        return frequency <= self.cutoff


@dataclass(frozen=True)
class HighPass(FourierRedaction):
    """Frequencies above the cutoff are kept: all that `LowPass` of the same cutoff removes.

    Args:
        cutoff: highest radial frequency removed, in cycles per pixel, in (0, `MAX_FREQUENCY`].

    Example:
        >>> image = torch.tensor([1.0, -1.0]).repeat(1, 1, 8, 4) + 3
        >>> HighPass(cutoff=0.25)(image).image[0, 0, 0, :3]
        tensor([ 1., -1.,  1.])
    """

    name = "high_pass"
    cutoff: float

    def _passes(self, frequency: Tensor) -> Tensor:
        return frequency > self.cutoff


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
    low: float
    high: float

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.low < self.high, "low", self.low, f"below high={self.high}")

    def _passes(self, frequency: Tensor) -> Tensor:
        return (frequency <= self.low) | (frequency > self.high)


@dataclass(frozen=True)
class BlockDCT(SpectralRedaction):
    """The first cosine coefficients of each block are kept, in JPEG's zig-zag order.

    The image is cut into blocks, its last row and column repeated where they do not fit and the
    surplus cut off again. Of each block's orthonormal two-dimensional DCT-II (JPEG's transform,
    ISO/IEC 10918-1, at ``block=8``) the first round(keep x block^2) coefficients from the
    constant one on are kept.

    Args:
        block: side of a block in pixels, at least 2.
        keep: fraction of the coefficients that is kept, in (0, 1); neither none nor all of them.

    Example:
        >>> image = torch.tensor([[1.0, 3.0, 0.0, 2.0], [5.0, 7.0, 1.0, 1.0]]).view(1, 1, 2, 4)
        >>> BlockDCT(block=2, keep=0.25)(image).image[0, 0, 0]
        tensor([4.0000, 4.0000, 1.0000, 1.0000])
    """

    name = "block_dct"
    block: int
    keep: float

    def __post_init__(self) -> None:
        check_side("block", self.block, 2)
        check_fraction(self.keep)
        number_kept(self.keep, self.block**2, "coefficients of a block")

    def _filter(self, image: Tensor) -> Tensor:
        height, width = image.shape[-2:]
        padding = (0, -width % self.block, 0, -height % self.block)
        padded = F.pad(image, padding, mode="replicate")
        dct, passes = self._cosines().to(image), self._passes().to(image)
        blocks = padded.unflatten(3, (-1, self.block)).unflatten(2, (-1, self.block))
        # y, x: pixels; v, u: frequencies, down and across; h, w: blocks.
        spectrum = torch.einsum("vy,bchywx,ux->bchvwu", dct, blocks, dct)
        spectrum = spectrum * passes[:, None, :]
        blocks = torch.einsum("vy,bchvwu,ux->bchywx", dct, spectrum, dct)
        return blocks.flatten(4, 5).flatten(2, 3)[..., :height, :width]

    def _cosines(self) -> Tensor:
        """Make the orthonormal DCT-II, block x block in float64: frequencies by pixels."""
        pixel = torch.arange(self.block, dtype=torch.float64, device="cpu")
        cosines = torch.cos(math.pi / self.block * (pixel + 0.5) * pixel[:, None])
        cosines[0] = math.sqrt(0.5)
        return cosines * math.sqrt(2 / self.block)

    def _passes(self) -> Tensor:
        """Tell which coefficients are kept: block x block, bool."""
        row = torch.arange(self.block, device="cpu")[:, None]
        diagonal = row + row.T
        # Along odd diagonals the zig-zag runs downwards, along even ones upwards.
        step = torch.where(diagonal % 2 == 1, row, self.block - 1 - row)
        order = (diagonal * self.block + step).flatten().argsort()
        kept = order[: number_kept(self.keep, self.block**2, "coefficients of a block")]
        passes = torch.zeros(self.block**2, dtype=torch.bool, device="cpu")
        return passes.index_fill(0, kept, True).view(self.block, self.block)
