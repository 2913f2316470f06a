"""The base class of redactions, their settings, and shared checks."""

from __future__ import annotations

import operator
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, Field, dataclass, fields, is_dataclass
from functools import cache
from typing import (
    Any,
    ClassVar,
    Literal,
    NamedTuple,
    TypedDict,
    Unpack,
    get_args,
    get_origin,
    get_type_hints,
)

from dejavu.runtime.lazy_imports import torch

Kind = Literal["spatial", "spectral", "mixed", "none"]


class Redacted(NamedTuple):
    """A redacted batch, of the dtype and on the device of the original.

    Attributes:
        image: B x C x H x W.
        keep: B x 1 x H x W, 1 where a pixel was kept and 0 where it was removed; None for a
            spectral redaction, which changes every pixel.
    """

    image: torch.Tensor
    keep: torch.Tensor | None


@dataclass(frozen=True)
class Redaction(ABC):
    """A rule that removes information from images.

    Its settings are the fields that `setting` describes; invalid values are refused.

    Attributes:
        name: its name in `REDACTIONS` and in params, which is also the name of its file.
    """

    name: ClassVar[str]

    def __post_init__(self) -> None:
        for name, described in settings_of(type(self)).items():
            described.check(name, getattr(self, name))

    @property
    @abstractmethod
    def kind(self) -> Kind:
        """What it removes: pixels (``spatial``), frequencies (``spectral``) or nothing (``none``).

        A combination has the kind of its parts, or ``mixed`` where they differ.
        """

    @property
    def hole(self) -> int:
        """Side in pixels of the largest hole by definition (blocks that touch count singly)."""
        return 0

    @property
    def smallest_side(self) -> int:
        """Smallest height and width in pixels of the images that it can redact."""
        return 1

    def __call__(self, image: torch.Tensor, generator: torch.Generator | None = None) -> Redacted:
        """Redact a batch of B x C x H x W images.

        Args:
            image: B x C x H x W, floating point, normalised.
            generator: source of random draws; torch's global CPU generator if None.

        Raises:
            ValueError: the images are not a finite floating-point batch, or are too small.
        """
        check_images("image", image)
        height, width = image.shape[-2:]
        if min(height, width) < self.smallest_side:
            raise ValueError(
                f"image is {height} x {width} pixels; {self} needs at least "
                f"{self.smallest_side} x {self.smallest_side}"
            )
        return self._redact(image, generator)

    @abstractmethod
    def _redact(self, image: torch.Tensor, generator: torch.Generator | None) -> Redacted:
        """Redact a checked batch."""


class Bounds(TypedDict, total=False):
    """Bounds of a setting's value: above, at least, below, at most; a sequence's least length."""

    gt: float
    ge: float
    lt: float
    le: float
    min_length: int


def setting(description: str, example: Any = None, **bounds: Unpack[Bounds]) -> dict[str, Any]:
    """Describe a setting of a redaction, as metadata of its field.

    This and the field's type (``int``, ``float``, a ``Literal``) define the check of its values,
    its entry in params, and an example of the redaction.

    Args:
        description: meaning and unit.
        example: a typical value; required if the field has no default.
        bounds: bounds of its values.

    Example:
        >>> from dataclasses import field
        >>> @dataclass(frozen=True)
        ... class Crop(Redaction):
        ...     kind = "spatial"
        ...     side: int = field(metadata=setting("side of the crop, in pixels", 8, ge=1))
        ...     def _redact(self, image, generator):
        ...         return Redacted(image[..., : self.side, : self.side], None)
        >>> Crop(side=0)
        Traceback (most recent call last):
        ValueError: side=0: must be a whole number and at least 1 (side of the crop, in pixels)
    """
    return {"description": description, "example": example, "bounds": bounds}


_RULES: dict[str, tuple[Callable[[Any, Any], bool], str]] = {
    "gt": (operator.gt, "above"),
    "ge": (operator.ge, "at least"),
    "lt": (operator.lt, "below"),
    "le": (operator.le, "at most"),
    "min_length": (
        lambda value, length: isinstance(value, Sequence) and len(value) >= length,
        "a sequence of at least",
    ),
}


class Setting(NamedTuple):
    """A setting of a redaction.

    Attributes:
        type: type of its values; a ``Literal`` lists them.
        description: meaning and unit.
        example: a typical value.
        bounds: bounds of its values, as in `Bounds`.
        default: its default; `dataclasses.MISSING` if there is none.
    """

    type: Any
    description: str
    example: Any
    bounds: Mapping[str, Any]
    default: Any

    @property
    def required(self) -> bool:
        """Whether the setting has no default."""
        return self.default is MISSING

    def check(self, name: str, value: object) -> None:
        """Refuse an invalid value.

        Raises:
            ValueError: the message names the setting, the value and the rule.
        """
        choices = get_args(self.type) if get_origin(self.type) is Literal else ()
        rules = [f"{_RULES[key][1]} {bound:.4g}" for key, bound in self.bounds.items()]
        if choices:
            allowed, rules = value in choices, [" or ".join(map(repr, choices))]
        elif self.type is int:
            allowed = isinstance(value, int) and self._within_bounds(value)
            rules.insert(0, "a whole number")
        else:
            allowed = self._within_bounds(value)
        require(allowed, name, value, f"{' and '.join(rules)} ({self.description})")

    def _within_bounds(self, value: object) -> bool:
        return all(_RULES[key][0](value, bound) for key, bound in self.bounds.items())


@cache
def settings_of(redaction: type[Redaction]) -> dict[str, Setting]:
    """Return the settings of a redaction by name, with keyword-only settings last.

    Fields that `setting` does not describe are left out.
    """
    described = [field for field in fields(redaction) if "description" in field.metadata]
    return {
        field.name: Setting(_type(redaction, field), default=field.default, **field.metadata)
        for field in sorted(described, key=lambda field: bool(field.kw_only))
    }


def _type(redaction: type[Redaction], field: Field[Any]) -> Any:
    """Read a field's annotation in the class that declares it; subclasses are not read."""
    lineage = [one for one in reversed(redaction.__mro__) if is_dataclass(one)]
    home = next(one for one in lineage if field in fields(one))
    return get_type_hints(home)[field.name]


def check_images(argument: str, images: torch.Tensor) -> None:
    """Refuse tensors other than batches of finite floating-point maps, B x C x H x W.

    Raises:
        ValueError: wrong rank, an empty dimension, not floating point, or a NaN or infinite value;
            the message calls the tensor ``argument``.
    """
    if images.dim() != 4 or 0 in images.shape:
        shape = tuple(images.shape)
        raise ValueError(f"{argument} has shape {shape}; it must be B x C x H x W, none of them 0")
    if not images.is_floating_point():
        raise ValueError(f"{argument} has dtype {images.dtype}; it must be floating point")
    # A sum is far cheaper than a test of each value; NaN and infinity propagate into it.
    if images.detach().sum(dtype=torch.float32).isfinite():
        return
    for place in (~images.isfinite()).nonzero()[:1].tolist():
        raise ValueError(
            f"{argument} must be finite, but is {images[tuple(place)].item()} at "
            f"(sample, channel, row, column) = {tuple(place)}"
        )


def require(allowed: bool, setting: str, value: object, rule: str) -> None:
    """Refuse an invalid value of a setting.

    Raises:
        ValueError: ``allowed`` is False; the message names the setting, its value and the rule.
    """
    if not allowed:
        raise ValueError(f"{setting}={value!r}: must be {rule}")


def number_kept(keep: float, count: int, things: str) -> int:
    """Return round(keep x count) of ``count`` things; refuse 0 and ``count`` itself."""
    kept = round(keep * count)
    rule = f"such that some but not all {count} {things} are kept, not {kept}"
    require(0 < kept < count, "keep", keep, rule)
    return kept


def draw_device(generator: torch.Generator | None) -> torch.device:
    """Return the device of random draws: the generator's, or the CPU without a generator."""
    return generator.device if generator else torch.device("cpu")
