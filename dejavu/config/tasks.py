"""Tasks in params: a section each, with its head and its loss."""

from typing import Literal

from pydantic import Field, model_validator

from dejavu.config.base import Fraction, Section


class SegmentationParams(Section):
    """Semantic segmentation: cross entropy, of all pixels or of the hard ones (OHEM)."""

    loss: Literal["cross_entropy", "ohem"] = Field(
        "cross_entropy", description="cross entropy of all pixels, or of the hard ones alone"
    )
    ohem_threshold: Fraction = Field(
        0.7, description="a pixel is hard below this probability of its class (ohem only)"
    )
    ohem_min_kept: Fraction = Field(
        0.0625, description="fraction of the batch's labelled pixels kept at least (ohem only)"
    )


class DepthParams(Section):
    """Metric depth: how the network's output becomes metres, and what it is trained by.

    The output is a position between near and far, on a ``log`` or a ``linear`` scale, or one
    logit for each of ``bins`` fixed depths, whose expectation is the prediction.
    """

    head: Literal["log", "linear", "bins"] = Field("log", description="from output to metres")
    near: float = Field(0.1, gt=0, description="nearest depth that can be predicted, metres")
    far: float = Field(
        20.0, gt=0, allow_inf_nan=False, description="farthest depth that can be predicted, metres"
    )
    bins: int = Field(
        64, ge=2, description="depths from near to far, even on a log scale (bins only)"
    )
    loss: Literal["silog", "berhu", "l1"] = Field(
        "silog", description="scale-invariant log error, or a reversed Huber or L1 loss in metres"
    )

    @model_validator(mode="after")
    def _ordered(self) -> "DepthParams":
        if self.near >= self.far:
            raise ValueError(f"near ({self.near}) must be below far ({self.far})")
        return self


class NormalsParams(Section):
    """Surface normals: what unit vectors are trained by."""

    loss: Literal["cosine", "angular", "l1"] = Field(
        "cosine", description="1 - cosine, the angle itself, or L1 between the unit vectors"
    )
