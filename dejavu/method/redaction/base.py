"""What a redaction is, the checks that all of them share, and the one that removes nothing."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar, Literal, NamedTuple

import torch
from torch import Generator, Tensor

Kind = Literal["spatial", "spectral", "mixed", "none"]


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
    """

    name: ClassVar[str]

    @property
    @abstractmethod
    def kind(self) -> Kind:
        """What it removes: pixels (``spatial``), frequencies (``spectral``) or ``none``.

        A combination has the kind of its parts, or ``mixed`` where they differ.
        """

    @property
    def hole(self) -> int:
        """Side in pixels of the largest hole by definition (blocks that touch count singly)."""
        return 0

    def __call__(self, image: Tensor, generator: Generator | None = None) -> Redacted:
        """Redact a batch of B x C x H x W images.

        Args:
            image: B x C x H x W, floating point, normalised.
            generator: source of the draws; torch's global CPU generator if None.

        Raises:
            ValueError: the images are no finite floating-point batch, or too small to redact.
        """
        check_images("image", image)
        return self._redact(image, generator)

    @abstractmethod
    def _redact(self, image: Tensor, generator: Generator | None) -> Redacted:
        """Redact a batch that was checked."""


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


def require(allowed: bool, setting: str, value: object, rule: str) -> None:
    """Refuse a setting's value that is not allowed.

    Raises:
        ValueError: ``allowed`` is False; the message names the setting, its value and the rule.
    """
    if not allowed:
        raise ValueError(f"{setting}={value!r}: must be {rule}")


def check_side(setting: str, side: int, smallest: int) -> None:
    """Refuse what is not a whole number of pixels, at least ``smallest``."""
    whole = isinstance(side, int) and side >= smallest
    require(whole, setting, side, f"a whole number of pixels, at least {smallest}")


def check_fraction(keep: float) -> None:
    """Refuse a fraction to keep that is not above 0 and below 1."""
    require(0 < keep < 1, "keep", keep, "above 0 and below 1")


def number_kept(keep: float, count: int, things: str) -> int:
    """Return round(keep x count), of ``count`` things; refuse none and all of them."""
    kept = round(keep * count)
    rule = f"such that some but not all {count} {things} are kept, not {kept}"
    require(0 < kept < count, "keep", keep, rule)
    return kept


def draw_device(generator: Generator | None) -> torch.device:
    """Return where draws are made: the generator's device, the CPU when there is none."""
    return generator.device if generator else torch.device("cpu")
