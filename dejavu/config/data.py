"""Data sets in params: the rendered one, and those that are read in place."""

import difflib
from typing import Any

from pydantic import Field, model_validator

from dejavu.config.base import Count, Label, Section
from dejavu.datasets.reading.raw import Variant
from dejavu.datasets.reading.registry import dataset_class, dataset_names

ROOMS = "rooms"
"""The one data set that is made, not read."""


class RoomsParams(Section):
    """Procedural rooms: what is rendered and how many scenes each split holds."""

    height: int = Field(64, ge=64, le=512, description="image height in pixels")
    width: int = Field(64, ge=64, le=512, description="image width in pixels")
    coupling: float = Field(
        0.7, ge=0, le=1, description="how strongly materials depend on the class (0: not at all)"
    )
    noise: float = Field(
        0.02, ge=0, le=0.5, description="standard deviation of sensor noise, in units of white"
    )
    varied_intrinsics: bool = Field(
        False, description="draw the focal length per scene instead of one camera for all"
    )
    seed: int = Field(0, ge=0, description="seed of all scenes")
    train: Count = Field(512, description="scenes in the training pool")
    val: Count = Field(128, description="scenes for choosing anything")
    test: Count = Field(256, description="scenes read once, by the evaluation")


class DataParams(Section):
    """Which data set: procedural rooms, or one that is read where it was unpacked.

    The folder of a downloaded data set is no param: it differs from machine to machine, and
    what is in it is known by its checksums (docs/raw-data.md).
    """

    name: Label = Field(ROOMS, description="data set: rooms, or a module of dejavu/datasets")
    variant: str | None = Field(
        None, description="which of its lists and ground truths; null: its first (not for rooms)"
    )
    val: Count = Field(
        100, description="training images held out for choosing anything, at least (not for rooms)"
    )
    cache: bool = Field(
        False, description="keep a decoded copy of the images; changes no result (not for rooms)"
    )
    rooms: RoomsParams | None = Field(None, description="what is rendered (rooms only)")

    @model_validator(mode="before")
    @classmethod
    def _rooms_by_default(cls, tree: Any) -> Any:
        if isinstance(tree, dict) and tree.get("name", ROOMS) == ROOMS and not tree.get("rooms"):
            return tree | {"rooms": {}}
        return tree

    @model_validator(mode="after")
    def _known(self) -> "DataParams":
        names = [ROOMS, *dataset_names()]
        if self.name not in names:
            near = difflib.get_close_matches(self.name, names, n=1)
            hint = f"did you mean {near[0]!r}?" if near else "choose one of them"
            raise ValueError(f"name: {self.name!r} is none of {', '.join(names)}; {hint}")
        if self.rooms and not self.is_rooms:
            raise ValueError(f"rooms: {self.name} is not rendered; leave it out")
        variants = [] if self.is_rooms else [*dataset_class(self.name).variants]
        if self.variant is not None and self.variant not in variants:
            known = ", ".join(variants) or "none, leave it out"
            raise ValueError(f"variant: {self.name} has no {self.variant!r}; it has: {known}")
        return self

    @property
    def is_rooms(self) -> bool:
        """Whether the data is rendered."""
        return self.name == ROOMS

    @property
    def variant_name(self) -> str:
        """The variant of a data set that is read in place."""
        return self.variant or next(iter(dataset_class(self.name).variants))

    @property
    def tasks(self) -> tuple[str, ...] | None:
        """The tasks that the data has a ground truth for; None for all."""
        if self.is_rooms:
            return None
        variant: Variant = dataset_class(self.name).variants[self.variant_name]
        return tuple(variant.truth)

    def identity(self) -> dict[str, Any]:
        """Return the fields that decide what the data is."""
        if self.rooms:
            return {"name": self.name, "rooms": self.rooms.model_dump()}
        return {"name": self.name, "variant": self.variant_name, "val": self.val}
