"""Augmentation params: crop, zoom, rotation and photometric jitter."""

from typing import Annotated

from pydantic import Field, model_validator

from dejavu.config.base import FROM_LIST, Count, Section

Index = Annotated[int, Field(ge=0)]
Factor = Annotated[float, Field(gt=0)]
Strength = Annotated[float, Field(ge=0, le=1)]


class AugmentationParams(Section):
    """Augmentation of training images, applied in the order of the keys; off by default.

    Geometric changes apply to the targets too. A jitter of strength s multiplies by a factor
    drawn uniformly from [1 - s, 1 + s].
    """

    border: Annotated[tuple[Index, Index, Index, Index], FROM_LIST] | None = Field(
        None,
        description="fixed crop [top, bottom, left, right] in pixels; bottom and right excluded",
    )
    scale: Annotated[tuple[Factor, Factor], FROM_LIST] | None = Field(
        None, description="range of the zoom factor, drawn uniformly"
    )
    scale_depth: bool = Field(
        True, description="divide depth by the zoom factor, as if the camera moved closer"
    )
    rotate: float = Field(
        0.0,
        ge=0,
        le=180,
        description="maximum rotation in either direction, degrees, drawn uniformly",
    )
    crop: Annotated[tuple[Count, Count], FROM_LIST] | None = Field(
        None, description="height and width of a random crop; smaller images are padded"
    )
    brightness: Strength = Field(0.0, description="strength of the brightness jitter")
    contrast: Strength = Field(0.0, description="strength of the contrast jitter")
    saturation: Strength = Field(0.0, description="strength of the saturation jitter")
    hue: float = Field(
        0.0, ge=0, le=0.5, description="maximum hue shift, as a fraction of the circle"
    )
    gamma: Annotated[tuple[Factor, Factor], FROM_LIST] | None = Field(
        None, description="range of the gamma-correction exponent, drawn uniformly"
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
    def size(self) -> tuple[int, int] | None:
        """Height and width that the crops leave of an image; None if they do not fix it.

        Example:
            >>> AugmentationParams(border=(8, 40, 0, 64)).size
            (32, 64)
        """
        if self.crop is not None or self.border is None:
            return self.crop
        top, bottom, left, right = self.border
        return None if self.scale else (bottom - top, right - left)

    @property
    def changes_nothing(self) -> bool:
        """Whether all augmentation is off.

        Example:
            >>> AugmentationParams().changes_nothing, AugmentationParams(rotate=2).changes_nothing
            (True, False)
        """
        geometry = (self.border, self.scale, self.rotate, self.crop)
        colours = (self.brightness, self.contrast, self.saturation, self.hue, self.gamma)
        return not any(geometry + colours)
