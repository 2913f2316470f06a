"""Evaluation in params: the protocol of the numbers."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from dejavu.config.base import FROM_LIST, Count, Fraction, Section
from dejavu.runtime.declarations import declarations

Scale = Annotated[float, Field(gt=0, le=100)]  # larger images would not fit in memory


class EvaluationParams(Section):
    """What is scored and how; it is saved in every metrics file."""

    split: Literal["val", "test"] = Field(
        "test", description="val while anything is being chosen; test for frozen params"
    )
    batch_size: Count = Field(32, description="images per forward pass")
    flip: bool = Field(False, description="average with the prediction for the mirrored image")
    scales: list[Scale] = Field(
        [1.0], min_length=1, description="sizes of the image whose predictions are averaged"
    )
    window: Annotated[tuple[Count, Count], FROM_LIST] | None = Field(
        None, description="height and width in pixels of a sliding window; null: the whole image"
    )
    overlap: float = Field(
        0.5, ge=0, lt=1, description="fraction of a window that the next one shares (with window)"
    )
    boundary_ratio: Fraction = Field(
        0.02, description="boundary IoU band, as a fraction of the image diagonal"
    )
    boundary_tolerance: Count = Field(1, description="boundary F tolerance in pixels")
    trimap_widths: list[Count] = Field(
        [1, 2, 4, 8, 16], description="trimap half-widths in pixels", min_length=1
    )
    edge_width: Count = Field(2, description="half-width of depth and normal edge bands in pixels")
    min_depth: float = Field(1e-3, gt=0, description="nearest depth scored, metres")
    max_depth: float = Field(20.0, gt=0, description="farthest depth scored, metres")
    depth_crop: Literal["none", "eigen", "garg"] = Field(
        "none", description="pixels scored: all, Eigen's crop of NYUv2, or Garg's of KITTI"
    )
    depth_alignment: Literal["none", "median"] = Field(
        "none", description="whether each predicted depth map is first scaled to the true median"
    )
    depth_reduction: Literal["images", "pixels"] = Field(
        "images", description="mean over images, or over the pixels of the whole split"
    )

    @model_validator(mode="after")
    def _consistent(self) -> "EvaluationParams":
        if self.min_depth >= self.max_depth:
            raise ValueError(
                f"min_depth ({self.min_depth}) must be below max_depth ({self.max_depth})"
            )
        for key in ("scales", "trimap_widths"):
            values = getattr(self, key)
            if len(set(values)) < len(values):
                raise ValueError(f"{key}: {values} names one twice; remove the repetition")
        return self

    def smallest_view(self, height: int, width: int) -> tuple[int, int]:
        """Return the size of the smallest view of an image that the network sees.

        Example:
            >>> EvaluationParams(scales=[0.5, 1], window=(24, 99)).smallest_view(64, 48)
            (24, 24)
        """
        scale = min(self.scales)
        sides = [max(1, round(side * scale)) for side in (height, width)]
        limits = self.window or sides
        return min(sides[0], limits[0]), min(sides[1], limits[1])


def metric_modules(task: str) -> list[str]:
    """Name the modules, below the package, whose metrics score a task: their ``TASK`` says so.

    Example:
        >>> metric_modules("normals")
        ['metrics.normals']
    """
    declared = declarations("metrics", "TASK")
    return [f"metrics.{module}" for module, scored in declared.items() if scored == task]
