"""The base class of redactions made of other redactions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from dejavu.method.redaction.base import Kind, Redaction, require, setting

_EXAMPLE = [{"name": "identity"}, {"name": "blank"}]


@dataclass(frozen=True)
class Combination(Redaction):
    """A redaction made of two or more others.

    Args:
        redactions: its parts, which may be combinations; stored as a tuple.
    """

    redactions: Sequence[Redaction] = field(
        metadata=setting("its parts, from first to last", _EXAMPLE, min_length=2)
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        for index, part in enumerate(self.redactions):
            require(isinstance(part, Redaction), f"redactions[{index}]", part, "a redaction")
        object.__setattr__(self, "redactions", tuple(self.redactions))

    @property
    def kind(self) -> Kind:
        """The kind of the parts; ``mixed`` if they differ."""
        kinds = {part.kind for part in self.redactions}
        return kinds.pop() if len(kinds) == 1 else "mixed"

    @property
    def hole(self) -> int:
        """Side in pixels of the largest hole of the parts."""
        return max(part.hole for part in self.redactions)

    @property
    def smallest_side(self) -> int:
        """The largest smallest side of the parts, so that every part can redact the image."""
        return max(part.smallest_side for part in self.redactions)
