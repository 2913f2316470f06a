"""Redactions: what an image loses before the regeneration module has to give it back.

After the paper's description (Borse et al., CVPR 2023: sparse sampling or selective frequency
removal); the definitions and their parameters are this project's. Images are B x C x H x W floats,
normalised, so that zero, their mean grey, fills the pixels that a spatial redaction removes. It
hands on a keep mask too, since a fill value alone cannot be told from a pixel that has it.

Random draws are made on the generator's device (the CPU when there is none) and moved to the
image's, so that a CPU generator gives the same masks on every device. Every image of a batch has
draws of its own.
"""

import difflib
import math
from abc import ABC, abstractmethod
from dataclasses import dataclass, fields
from typing import Any, ClassVar, Literal, NamedTuple

import torch
from torch import Generator, Tensor

MAX_FREQUENCY = math.sqrt(0.5)
"""Largest radial frequency of a sampled image, in cycles per pixel: the corner of the spectrum."""


class Redacted(NamedTuple):
    """A redacted batch, of the dtype and on the device of what was redacted.

    Attributes:
        image: B x C x H x W.
        keep: B x 1 x H x W, 1 where a pixel was kept and 0 where it was removed; None for a
            spectral redaction, which changes every pixel.
    """

    image: Tensor
    keep: Tensor | None


@dataclass(frozen=True)
class Redaction(ABC):
    """A rule that takes information from images.

    Attributes:
        name: its name in `REDACTIONS` and in params.
        kind: what it removes: pixels (``spatial``), frequencies (``spectral``) or ``none``.
    """

    name: ClassVar[str]
    kind: ClassVar[Literal["spatial", "spectral", "none"]]

    @property
    def hole(self) -> int:
        """Side in pixels of the largest hole by definition (blocks that touch count singly)."""
        return 0

    def __call__(self, image: Tensor, generator: Generator | None = None) -> Redacted:
        """Redact a batch of B x C x H x W images.

        Raises:
            ValueError: the images are no finite floating-point batch, or too small to redact.
        """
        check_images("image", image)
        return self._redact(image, generator)

    @abstractmethod
    def _redact(self, image: Tensor, generator: Generator | None) -> Redacted:
        """Redact a batch that was checked."""


@dataclass(frozen=True)
class SpatialRedaction(Redaction):
    """A redaction that removes pixels and leaves the others as they are."""

    kind = "spatial"

    def _redact(self, image: Tensor, generator: Generator | None) -> Redacted:
        batch, _, height, width = image.shape
        keep = self._keep(batch, height, width, generator).to(image.device).unsqueeze(1)
        return Redacted(image.masked_fill(~keep, 0), keep.to(image.dtype))

    @abstractmethod
    def _keep(self, batch: int, height: int, width: int, generator: Generator | None) -> Tensor:
        """Draw the mask of kept pixels: B x H x W, bool, on the generator's device."""


@dataclass(frozen=True)
class Checkerboard(SpatialRedaction):
    """Every other block of a checkerboard is removed; each image's board is shifted at random.

    The shift is uniform over the board's period, so every pixel is kept with probability 1/2.

    Args:
        block: side of a block in pixels, at least 1; less than the image's shorter side.

    Example:
        >>> redacted = Checkerboard(block=1)(torch.ones(1, 3, 2, 4), torch.Generator())
        >>> redacted.image[0, 0].sum(), redacted.keep.shape
        (tensor(4.), torch.Size([1, 1, 2, 4]))
    """

    name = "checkerboard"
    block: int

    def __post_init__(self) -> None:
        _check_block(self.block)

    @property
    def hole(self) -> int:  # noqa: D102
        return self.block

    def _keep(self, batch: int, height: int, width: int, generator: Generator | None) -> Tensor:
        rows, columns = _grid(self.block, batch, height, width, generator)
        return (rows + columns) % 2 == 0


@dataclass(frozen=True)
class RandomBlocks(SpatialRedaction):
    """A random choice of the blocks of a grid is kept; each image's grid is shifted at random.

    Of the ceil(H / block) x ceil(W / block) blocks exactly round(keep x blocks) are kept in each
    image. The shift is cyclic: a block that leaves the image at one side goes on at the other, so
    that where ``block`` divides H and W the number of kept pixels is exact too.

    Args:
        block: side of a block in pixels, at least 1; less than the image's shorter side.
        keep: fraction of the blocks that is kept, in (0, 1); neither none nor all of them.

    Example:
        >>> redacted = RandomBlocks(block=8, keep=0.25)(torch.ones(2, 3, 32, 32))
        >>> redacted.keep.mean((1, 2, 3))
        tensor([0.2500, 0.2500])
    """

    name = "random_blocks"
    block: int
    keep: float

    def __post_init__(self) -> None:
        _check_block(self.block)
        _require(0 < self.keep < 1, "keep", self.keep, "above 0 and below 1")

    @property
    def hole(self) -> int:  # noqa: D102
        return self.block

    def _keep(self, batch: int, height: int, width: int, generator: Generator | None) -> Tensor:
        rows, columns = _grid(self.block, batch, height, width, generator)
        down, across = math.ceil(height / self.block), math.ceil(width / self.block)
        kept = _choose(batch, down * across, self.keep, "blocks", generator)
        numbers = rows % down * across + columns % across
        return kept.gather(1, numbers.flatten(1)).view(batch, height, width)


@dataclass(frozen=True)
class SparsePixels(SpatialRedaction):
    """A random choice of the pixels is kept: exactly round(keep x H x W) in each image.

    Args:
        keep: fraction of the pixels that is kept, in (0, 1); neither none nor all of them.

    Example:
        >>> SparsePixels(keep=0.02)(torch.ones(2, 3, 50, 20)).keep.sum((1, 2, 3))
        tensor([20., 20.])
    """

    name = "sparse_pixels"
    keep: float

    def __post_init__(self) -> None:
        _require(0 < self.keep < 1, "keep", self.keep, "above 0 and below 1")

    @property
    def hole(self) -> int:
        """Side of the square that holds one kept pixel in the mean: ceil(1 / sqrt(keep))."""
        return math.ceil(1 / math.sqrt(self.keep))

    def _keep(self, batch: int, height: int, width: int, generator: Generator | None) -> Tensor:
        kept = _choose(batch, height * width, self.keep, "pixels", generator)
        return kept.view(batch, height, width)


@dataclass(frozen=True)
class Blank(SpatialRedaction):
    """Everything is removed: the control in which the prediction is all that is left.

    Its `hole` is 0 by definition: there is nothing to inpaint from, however far one sees.

    Example:
        >>> Blank()(torch.ones(1, 3, 4, 4)).image.abs().max()
        tensor(0.)
    """

    name = "blank"

    def _keep(self, batch: int, height: int, width: int, generator: Generator | None) -> Tensor:
        return torch.zeros(batch, height, width, dtype=torch.bool, device="cpu")


@dataclass(frozen=True)
class Identity(Redaction):
    """Nothing is removed: the control in which the prediction is not needed.

    Example:
        >>> image = torch.ones(1, 3, 4, 4)
        >>> Identity()(image).image is image
        True
    """

    name = "identity"
    kind = "none"

    def _redact(self, image: Tensor, generator: Generator | None) -> Redacted:
        return Redacted(image, torch.ones_like(image[:, :1]))


@dataclass(frozen=True)
class SpectralRedaction(Redaction):
    """A redaction that removes frequencies: an ideal filter on the discrete Fourier transform.

    The frequency of a coefficient is radial, sqrt(f_y^2 + f_x^2) in cycles per pixel, from 0 to
    `MAX_FREQUENCY`; the image continues periodically. Computed in float32 and cast back.
    """

    kind = "spectral"

    def __post_init__(self) -> None:
        rule = f"above 0 and at most {MAX_FREQUENCY:.4f} cycles per pixel"
        for setting, frequency in vars(self).items():
            _require(0 < frequency <= MAX_FREQUENCY, setting, frequency, rule)

    def _redact(self, image: Tensor, generator: Generator | None) -> Redacted:
        height, width = image.shape[-2:]
        # On the CPU in float64: which coefficients pass is then the same on every device.
        f_y = torch.fft.fftfreq(height, dtype=torch.float64, device="cpu")
        f_x = torch.fft.rfftfreq(width, dtype=torch.float64, device="cpu")
        passes = self._passes(torch.hypot(f_y[:, None], f_x)).to(image.device)
        spectrum = torch.fft.rfft2(image.float()) * passes
        filtered = torch.fft.irfft2(spectrum, s=(height, width))
        return Redacted(filtered.to(image.dtype), None)

    @abstractmethod
    def _passes(self, frequency: Tensor) -> Tensor:
        """Tell for each radial frequency whether it is kept (bool)."""


@dataclass(frozen=True)
class LowPass(SpectralRedaction):
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
class HighPass(SpectralRedaction):
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
class BandStop(SpectralRedaction):
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
        _require(self.low < self.high, "low", self.low, f"below high={self.high}")

    def _passes(self, frequency: Tensor) -> Tensor:
        return (frequency <= self.low) | (frequency > self.high)


_ALL = (Checkerboard, RandomBlocks, SparsePixels, LowPass, HighPass, BandStop, Identity, Blank)

REDACTIONS: dict[str, type[Redaction]] = {redaction.name: redaction for redaction in _ALL}
"""All redactions by name."""


def create_redaction(name: str, **settings: Any) -> Redaction:
    """Make a redaction from its name and all of its settings.

    Raises:
        ValueError: the name or a setting is unknown, or a setting is missing or impossible.

    Example:
        >>> create_redaction("random_blocks", block=8, keep=0.3)
        RandomBlocks(block=8, keep=0.3)
    """
    if name not in REDACTIONS:
        near = difflib.get_close_matches(name, REDACTIONS, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(REDACTIONS)}"
        raise ValueError(f"name={name!r}: no such redaction; {hint}")
    redaction = REDACTIONS[name]
    wanted = [field.name for field in fields(redaction)]
    if set(settings) != set(wanted):
        raise ValueError(
            f"redaction {name!r} takes the settings ({', '.join(wanted)}), "
            f"but was given ({', '.join(settings)})"
        )
    return redaction(**settings)


def check_images(argument: str, images: Tensor) -> None:
    """Refuse what is not a batch of finite floating-point maps, B x C x H x W.

    Raises:
        ValueError: wrong rank, an empty dimension, not floating point, or NaN or infinity in it;
            the message calls the tensor ``argument``.
    """
    if images.dim() != 4 or 0 in images.shape:
        shape = tuple(images.shape)
        raise ValueError(f"{argument} has shape {shape}; it must be B x C x H x W, none of them 0")
    if not images.is_floating_point():
        raise ValueError(f"{argument} has dtype {images.dtype}; it must be floating point")
    # A sum is far cheaper than a test of each value, and NaN and infinity show in it.
    if images.detach().sum(dtype=torch.float32).isfinite():
        return
    for place in (~images.isfinite()).nonzero()[:1].tolist():
        raise ValueError(
            f"{argument} must be finite, but is {images[tuple(place)].item()} at "
            f"(sample, channel, row, column) = {tuple(place)}"
        )


def _require(allowed: bool, setting: str, value: object, rule: str) -> None:
    if not allowed:
        raise ValueError(f"{setting}={value!r}: must be {rule}")


def _check_block(block: int) -> None:
    whole = isinstance(block, int) and block >= 1
    _require(whole, "block", block, "a whole number of pixels, at least 1")


def _choose(
    batch: int, count: int, fraction: float, things: str, generator: Generator | None
) -> Tensor:
    """Choose exactly round(fraction x count) of ``count`` in each image: B x count, bool."""
    chosen = round(fraction * count)
    rule = f"such that some but not all {count} {things} of the image are kept, not {chosen}"
    _require(0 < chosen < count, "keep", fraction, rule)
    device = generator.device if generator else "cpu"
    scores = torch.rand(batch, count, generator=generator, device=device)
    best = scores.topk(chosen, dim=1, sorted=False).indices
    return torch.zeros_like(scores, dtype=torch.bool).scatter_(1, best, True)


def _grid(
    block: int, batch: int, height: int, width: int, generator: Generator | None
) -> tuple[Tensor, Tensor]:
    """Number the blocks of randomly shifted grids, down (B x H x 1) and across (B x 1 x W)."""
    # One block over the whole image would leave all of it or nothing.
    rule = f"less than the sides of the image, which is {height} x {width}"
    _require(block < min(height, width), "block", block, rule)
    device = generator.device if generator else "cpu"
    # Two blocks are the period of a checkerboard; for a cyclic grid, one would do.
    offset = torch.randint(2 * block, (2, batch, 1), generator=generator, device=device)
    rows = (offset[0] + torch.arange(height, device=device)) // block
    columns = (offset[1] + torch.arange(width, device=device)) // block
    return rows.unsqueeze(2), columns.unsqueeze(1)
