"""Redactions in params: a section each, with the names and settings of `dejavu.redaction`."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from dejavu.config.base import Count, Fraction, Section

Frequency = Annotated[float, Field(gt=0, le=0.7071)]
Fill = Annotated[
    Literal["zero", "mean", "noise"], Field(description="what fills the removed pixels")
]


class CheckerboardParams(Section):
    """Every other block is removed; the phase is random."""

    name: Literal["checkerboard"]
    block: Count = Field(description="side of a block in pixels")
    fill: Fill = "zero"


class RandomBlocksParams(Section):
    """A random fraction of the blocks of a grid is kept."""

    name: Literal["random_blocks"]
    block: Count = Field(description="side of a block in pixels")
    keep: Fraction = Field(description="fraction of the blocks that is kept")
    fill: Fill = "zero"


class SparsePixelsParams(Section):
    """A random fraction of the pixels is kept."""

    name: Literal["sparse_pixels"]
    keep: Fraction = Field(description="fraction of the pixels that is kept")
    fill: Fill = "zero"


class GridSampleParams(Section):
    """One pixel of each cell of a regular grid is kept; the phase is random."""

    name: Literal["grid_sample"]
    stride: int = Field(ge=2, description="side of a cell in pixels")
    fill: Fill = "zero"


class LowPassParams(Section):
    """Frequencies up to the cutoff are kept."""

    name: Literal["low_pass"]
    cutoff: Frequency = Field(description="radial frequency in cycles per pixel")


class HighPassParams(Section):
    """Frequencies above the cutoff are kept."""

    name: Literal["high_pass"]
    cutoff: Frequency = Field(description="radial frequency in cycles per pixel")


class BandStopParams(Section):
    """Frequencies between two cutoffs are removed."""

    name: Literal["band_stop"]
    low: Frequency = Field(description="lower cutoff in cycles per pixel")
    high: Frequency = Field(description="upper cutoff in cycles per pixel")

    @model_validator(mode="after")
    def _ordered(self) -> "BandStopParams":
        if self.low >= self.high:
            raise ValueError(f"low ({self.low}) must be below high ({self.high})")
        return self


class BlockDCTParams(Section):
    """The first cosine coefficients of each block, in zig-zag order, are kept (as in JPEG)."""

    name: Literal["block_dct"]
    block: int = Field(ge=2, description="side of a block in pixels")
    keep: Fraction = Field(description="fraction of the coefficients that is kept")


class IdentityParams(Section):
    """Nothing is removed (a control)."""

    name: Literal["identity"]


class BlankParams(Section):
    """Everything is removed (a control)."""

    name: Literal["blank"]
    fill: Fill = "zero"


class ComposeParams(Section):
    """Several redactions, one after the other."""

    name: Literal["compose"]
    redactions: "list[RedactionParams]" = Field(min_length=2, description="from first to last")


class RandomChoiceParams(Section):
    """One of several redactions, drawn anew for every step."""

    name: Literal["random_choice"]
    redactions: "list[RedactionParams]" = Field(min_length=2, description="equally likely ones")


RedactionParams = Annotated[
    CheckerboardParams
    | RandomBlocksParams
    | SparsePixelsParams
    | GridSampleParams
    | LowPassParams
    | HighPassParams
    | BandStopParams
    | BlockDCTParams
    | IdentityParams
    | BlankParams
    | ComposeParams
    | RandomChoiceParams,
    Field(discriminator="name"),
]

ComposeParams.model_rebuild()
RandomChoiceParams.model_rebuild()


def largest_block(redaction: RedactionParams) -> int:
    """Return the side of the largest block or cell that must fit an image; 0 without any."""
    if isinstance(redaction, ComposeParams | RandomChoiceParams):
        return max(map(largest_block, redaction.redactions))
    if isinstance(redaction, CheckerboardParams | RandomBlocksParams):
        return redaction.block
    return redaction.stride if isinstance(redaction, GridSampleParams) else 0
