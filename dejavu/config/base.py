"""Base class of the params sections, and common field types."""

import difflib
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

TaskName = Literal["segmentation", "depth", "normals"]
Label = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]*$")]
Fraction = Annotated[float, Field(gt=0, lt=1)]
Count = Annotated[int, Field(ge=1)]
Weight = Annotated[float, Field(gt=0)]


def _by_task(gamma: Any) -> Any:
    """Expand one number to all tasks."""
    is_number = isinstance(gamma, int | float) and not isinstance(gamma, bool)
    return dict.fromkeys(get_args(TaskName), gamma) if is_number else gamma


Gamma = Annotated[
    dict[TaskName, Weight],
    BeforeValidator(_by_task, json_schema_input_type=Weight | dict[TaskName, Weight]),
]
"""Weight of a loss by task; a single number applies to every task."""


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
