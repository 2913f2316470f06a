"""Data params: rendered rooms, or a data set read from disk."""

import difflib
from typing import Any

from pydantic import Field, model_validator

from dejavu.config.base import Count, Label, Section
from dejavu.config.tasks import TASKS, truth_of
from dejavu.datasets.reading.raw import Variant
from dejavu.datasets.reading.registry import dataset_class, dataset_names

ROOMS = "rooms"
"""Name of the rendered data set; all others are read from disk."""


class RoomsParams(Section):
    """Procedural rooms: rendering options, and number of scenes per split."""

    height: int = Field(64, ge=64, le=512, description="image height in pixels")
    width: int = Field(64, ge=64, le=512, description="image width in pixels")
    coupling: float = Field(
        0.7, ge=0, le=1, description="how strongly materials depend on the class (0: not at all)"
    )
    noise: float = Field(
        0.02, ge=0, le=0.5, description="standard deviation of sensor noise; white is 1"
    )
    varied_intrinsics: bool = Field(
        False, description="draw a focal length for each scene, instead of one for all"
    )
    seed: int = Field(0, ge=0, description="seed of all scenes")
    train: Count = Field(512, description="number of scenes in the training pool")
    val: Count = Field(128, description="number of val scenes, for all choices of settings")
    test: Count = Field(256, description="number of test scenes, read only by the evaluation")


class DataParams(Section):
    """The data set: procedural rooms, or one read from the folder where it was unpacked.

    That folder is not a param: it differs between machines, and checksums identify its contents
    (docs/raw-data.md).
    """

    name: Label = Field(ROOMS, description="data set: rooms, or a module of dejavu/datasets")
    variant: str | None = Field(
        None,
        description="variant of its split lists and ground truth; null: the first (not for rooms)",
    )
    val: Count = Field(
        100, description="minimum number of training images held out as val (not for rooms)"
    )
    cache: bool = Field(
        False, description="cache decoded images; does not change the result (not for rooms)"
    )
    rooms: RoomsParams | None = Field(None, description="rendering options (rooms only)")

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
        """Name of the variant, with the default filled in (not for rooms)."""
        return self.variant or next(iter(dataset_class(self.name).variants))

    @property
    def tasks(self) -> tuple[str, ...] | None:
        """Tasks with ground truth in the data; None for all."""
        if self.is_rooms:
            return None
        variant: Variant = dataset_class(self.name).variants[self.variant_name]
        return tuple(t for truth in variant.truth for t in TASKS if truth_of(t) == truth)

    def identity(self) -> dict[str, Any]:
        """Return the fields that determine the data."""
        if self.rooms:
            return {"name": self.name, "rooms": self.rooms.model_dump()}
        return {"name": self.name, "variant": self.variant_name, "val": self.val}
