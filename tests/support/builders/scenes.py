"""Rendered rooms, as the builders of tiny data sets write them in the official layouts."""

from functools import cache

from dejavu.datasets.rooms import Frame, render_scene
from dejavu.datasets.rooms.scenes import RoomsSpec


@cache
def scene(index: int, height: int = 64, width: int = 96) -> Frame:
    """A rendered scene with exact image, label (0 to 11), depth and normals; do not change it."""
    return render_scene(RoomsSpec(height=height, width=width), "train", index)
