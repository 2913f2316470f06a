"""Redactions in params: a section each, derived from the redaction itself.

Names, settings, defaults, bounds and what they mean are those of the classes in
`dejavu.method.redaction`, whose own checks refuse what is impossible.
"""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal, Union

from pydantic import Field, create_model, model_validator

from dejavu.config.base import Section
from dejavu.method.redaction.base import Redaction, Setting, number_kept, settings_of
from dejavu.method.redaction.combined import Combination
from dejavu.method.redaction.random_blocks import RandomBlocks
from dejavu.method.redaction.registry import REDACTIONS, create_redaction
from dejavu.method.redaction.sparse_pixels import SparsePixels


class RedactionSection(Section):
    """A redaction: its name and its settings."""

    name: str

    def create(self) -> Redaction:
        """Make the redaction."""
        return create_redaction(**self.model_dump())

    @model_validator(mode="after")
    def _can_be_made(self) -> "RedactionSection":
        self.create()
        return self


def check_size(redaction: Redaction, height: int, width: int) -> None:
    """Refuse images that a redaction cannot redact.

    Raises:
        ValueError: they are too small for it, or it would keep all of them or nothing.

    Example:
        >>> check_size(create_redaction("sparse_pixels", keep=0.02), 16, 16)
        >>> check_size(create_redaction("sparse_pixels", keep=0.02), 4, 4)
        Traceback (most recent call last):
        ValueError: keep=0.02: must be such that some but not all 16 pixels of the image are kept, \
not 0
    """
    if min(height, width) < redaction.smallest_side:
        raise ValueError(
            f"needs images of at least {redaction.smallest_side} x {redaction.smallest_side} "
            f"pixels, but they are {height} x {width}"
        )
    if isinstance(redaction, Combination):
        for part in redaction.redactions:
            check_size(part, height, width)
    elif isinstance(redaction, RandomBlocks):
        blocks = math.ceil(height / redaction.block) * math.ceil(width / redaction.block)
        number_kept(redaction.keep, blocks, "blocks of the image")
    elif isinstance(redaction, SparsePixels):
        number_kept(redaction.keep, height * width, "pixels of the image")


def _section(redaction: type[Redaction]) -> type[RedactionSection]:
    settings = {name: _field(setting) for name, setting in settings_of(redaction).items()}
    fields: dict[str, Any] = {"name": (Literal[redaction.name], ...), **settings}
    return create_model(
        f"{redaction.__name__}Params",
        __base__=RedactionSection,
        __module__=__name__,
        __doc__=(redaction.__doc__ or "").partition("\n")[0],
        **fields,
    )


def _field(setting: Setting) -> tuple[Any, Any]:
    """Return the type of a setting in params, and its description to pydantic."""
    kind = list["RedactionParams"] if setting.type == Sequence[Redaction] else setting.type
    described: dict[str, Any] = {"description": setting.description, **setting.bounds}
    if setting.required:
        return kind, Field(examples=[setting.example], **described)
    return kind, Field(setting.default, **described)


if TYPE_CHECKING:  # what the sections have in common: they are made at run time
    RedactionParams = RedactionSection
else:
    _SECTIONS = {kind.__name__ + "Params": _section(kind) for kind in REDACTIONS.values()}
    RedactionParams = Annotated[Union[(*_SECTIONS.values(),)], Field(discriminator="name")]
    globals().update(_SECTIONS)  # where pickle looks for them
    for _one in _SECTIONS.values():
        _one.model_rebuild()  # the parts of a combination now have a type
