"""Base class of the params sections, and common field types."""

import difflib
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

from dejavu.config.scalars import shortened

Label = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]*$", max_length=100)]  # a file's name
Fraction = Annotated[float, Field(gt=0, lt=1)]
Count = Annotated[int, Field(ge=1)]
Weight = Annotated[float, Field(gt=0)]

FROM_LIST = Field(strict=False)
"""Marks a tuple, which a file gives as a list."""


class Section(BaseModel):
    """A section of the params: frozen; unknown keys are errors, and no value is converted.

    So 6.0, true and "6" are no integers and 1 is no boolean. An integer is a number, too: where a
    fraction may stand, 1 and 1.0 are the same.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _known_keys(cls, tree: Any) -> Any:
        """Raise for an unknown key and name the nearest valid one (pydantic names none)."""
        for key in tree if isinstance(tree, dict) else ():
            if key not in cls.model_fields:
                near = difflib.get_close_matches(str(key), cls.model_fields, n=1)
                valid = f"valid keys: {', '.join(cls.model_fields)}"
                raise ValueError(
                    f"unknown key {shortened(repr(key))}; "
                    + (f"did you mean {near[0]!r}?" if near else valid)
                )
        return tree
