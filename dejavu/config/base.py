"""Base class of the params sections, and common field types."""

import difflib
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

Label = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]*$")]
Fraction = Annotated[float, Field(gt=0, lt=1)]
Count = Annotated[int, Field(ge=1)]
Weight = Annotated[float, Field(gt=0)]


class Section(BaseModel):
    """A section of the params: frozen; unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _known_keys(cls, tree: Any) -> Any:
        """Raise for an unknown key and name the nearest valid one (pydantic names none)."""
        for key in tree if isinstance(tree, dict) else ():
            if key not in cls.model_fields:
                near = difflib.get_close_matches(str(key), cls.model_fields, n=1)
                valid = f"valid keys: {', '.join(cls.model_fields)}"
                raise ValueError(
                    f"unknown key {key!r}; " + (f"did you mean {near[0]!r}?" if near else valid)
                )
        return tree
