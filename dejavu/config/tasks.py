"""Task params: one section per task, with its head and loss, and weights by task."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from dejavu.config.base import Fraction, Section, Weight
from dejavu.datasets.reading.conventions import ROLES
from dejavu.runtime.declarations import declarations


class SegmentationParams(Section):
    """Semantic segmentation: cross entropy over all pixels or over hard pixels (OHEM)."""

    loss: Literal["cross_entropy", "ohem"] = Field(
        "cross_entropy", description="cross entropy over all pixels, or over hard pixels only"
    )
    ohem_threshold: Fraction = Field(
        0.7, description="a pixel is hard if its class has a lower probability (ohem only)"
    )
    ohem_min_kept: Fraction = Field(
        0.0625, description="minimum fraction of the batch's labelled pixels kept (ohem only)"
    )


class DepthParams(Section):
    """Metric depth: mapping from the network's output to metres, and loss.

    The output is a position between near and far, on a ``log`` or ``linear`` scale, or one logit
    for each of ``bins`` fixed depths, whose expectation is the prediction.
    """

    head: Literal["log", "linear", "bins"] = Field(
        "log", description="mapping from output to metres"
    )
    near: float = Field(0.1, gt=0, description="smallest depth that can be predicted, metres")
    far: float = Field(20.0, gt=0, description="largest depth that can be predicted, metres")
    bins: int = Field(
        64, ge=2, description="number of depths from near to far, log-spaced (bins only)"
    )
    loss: Literal["silog", "berhu", "l1"] = Field(
        "silog", description="scale-invariant log error, or reversed Huber or L1 loss in metres"
    )

    @model_validator(mode="after")
    def _ordered(self) -> "DepthParams":
        if self.near >= self.far:
            raise ValueError(f"near ({self.near}) must be below far ({self.far})")
        return self


class NormalsParams(Section):
    """Surface normals: loss between unit vectors."""

    loss: Literal["cosine", "angular", "l1"] = Field(
        "cosine", description="1 - cosine, the angle, or L1 between unit vectors"
    )


class TaskSections(Section):
    """One section per task, named like its module in ``dejavu/tasks``."""

    segmentation: SegmentationParams = Field(default_factory=SegmentationParams)
    depth: DepthParams = Field(default_factory=DepthParams)
    normals: NormalsParams = Field(default_factory=NormalsParams)


TASKS = tuple(TaskSections.model_fields)
"""The names of all tasks."""
if TYPE_CHECKING:
    TaskName = str
else:
    TaskName = Literal[TASKS]


def truth_of(task: str) -> str:
    """Return the ground truth that a task's targets are computed from: its module's ``TRUTH``.

    Example:
        >>> truth_of("depth")
        'depth'
    """
    return str(declarations("tasks", "TRUTH")[task])


def roles_of(tasks: Iterable[str]) -> list[str]:
    """Return the parts of a sample that tasks need: the image and their ground truths.

    Example:
        >>> roles_of(["depth", "segmentation"])
        ['image', 'depth', 'label']
    """
    return [*dict.fromkeys(["image", *(ROLES[truth_of(task)] for task in tasks)])]


def _by_task(gamma: Any) -> Any:
    """Expand one number to all tasks."""
    is_number = isinstance(gamma, int | float) and not isinstance(gamma, bool)
    return dict.fromkeys(TASKS, gamma) if is_number else gamma


Gamma = Annotated[
    dict[TaskName, Weight],
    BeforeValidator(_by_task, json_schema_input_type=Weight | dict[TaskName, Weight]),
]
"""Weight of a loss by task; a single number applies to every task."""
