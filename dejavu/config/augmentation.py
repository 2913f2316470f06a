"""The training recipe of images in params: crops, zoom, rotation and photometric changes."""

from typing import Annotated

from pydantic import Field, model_validator

from dejavu.config.base import Count, Section

Index = Annotated[int, Field(ge=0)]
Factor = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Strength = Annotated[float, Field(ge=0, le=1)]


class AugmentationParams(Section):
    """How training images are varied, in the order of the keys; nothing is, by default.

    Targets follow the geometry of their image. A jitter of strength s multiplies by a factor
    drawn uniformly from 1 - s to 1 + s.
    """

    border: tuple[Index, Index, Index, Index] | None = Field(
        None,
        description="top, bottom, left, right: rows and columns that are kept, the ends excluded",
    )
    scale: tuple[Factor, Factor] | None = Field(
        None, description="smallest and largest zoom, drawn uniformly"
    )
    scale_depth: bool = Field(
        True, description="divide depth by the zoom, as if the camera came nearer"
    )
    rotate: float = Field(
        0.0, ge=0, le=180, description="largest rotation either way, degrees, drawn uniformly"
    )
    crop: tuple[Count, Count] | None = Field(
        None, description="height and width of a random crop; smaller images are padded"
    )
    brightness: Strength = Field(0.0, description="strength of the brightness jitter")
    contrast: Strength = Field(0.0, description="strength of the contrast jitter")
    saturation: Strength = Field(0.0, description="strength of the saturation jitter")
    hue: float = Field(0.0, ge=0, le=0.5, description="largest hue shift, as a part of its circle")
    gamma: tuple[Factor, Factor] | None = Field(
        None, description="smallest and largest exponent of the intensities, drawn uniformly"
    )

    @model_validator(mode="after")
    def _possible(self) -> "AugmentationParams":
        if self.border is not None:
            top, bottom, left, right = self.border
            if top >= bottom or left >= right:
                raise ValueError(
                    f"border {list(self.border)}: must be [top, bottom, left, right] with top "
                    "below bottom and left below right, in pixels from the top left corner"
                )
        for key in ("scale", "gamma"):
            limits = getattr(self, key)
            if limits is not None and limits[0] > limits[1]:
                raise ValueError(f"{key} {list(limits)}: must be [smallest, largest]")
        return self

    @property
    def changes_nothing(self) -> bool:
        """Whether examples stay exactly as they are.

        Example:
            >>> AugmentationParams().changes_nothing, AugmentationParams(rotate=2).changes_nothing
            (True, False)
        """
        geometry = (self.border, self.scale, self.rotate, self.crop)
        colours = (self.brightness, self.contrast, self.saturation, self.hue, self.gamma)
        return not any(geometry + colours)
