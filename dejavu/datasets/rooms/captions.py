"""Captions of the visible objects in a room."""

from collections import defaultdict
from collections.abc import Iterator

import numpy as np

from dejavu.datasets.rooms.raycast import Array
from dejavu.datasets.rooms.scenes import Scene
from dejavu.datasets.rooms.tracing import Hits

MAX_LENGTH = 160
"""Longest caption that fits the prepared files, characters."""

SMALLEST_SHARE = 0.003
"""Smallest share of the image of an object that is mentioned."""

_NUMBERS = ("", "a", "two", "three", "four", "five", "six", "seven", "eight", "nine")

_NAMED = {
    "white": (240, 236, 228),
    "grey": (150, 150, 150),
    "black": (45, 45, 48),
    "red": (170, 50, 55),
    "orange": (220, 115, 45),
    "yellow": (225, 175, 60),
    "green": (90, 130, 70),
    "teal": (60, 120, 125),
    "blue": (65, 100, 150),
    "light blue": (160, 195, 215),
    "purple": (115, 85, 135),
    "pink": (225, 180, 180),
    "brown": (150, 100, 65),
    "beige": (215, 195, 165),
}
_SHOWN = np.array([*_NAMED.values()])


def describe(scene: Scene, hits: Hits, colour: Array) -> str:
    """Return a caption of the visible furniture, walls and floor, largest first.

    Args:
        scene: the rendered scene.
        hits: one hit per pixel.
        colour: albedo of the pixels, linear RGB, 3 x N.

    Returns:
        ASCII of at most ``MAX_LENGTH`` characters, such as ``a room with a teal sofa and two
        plants``; it names only visible classes.
    """
    area: dict[str, float] = defaultdict(float)
    colours: dict[str, list[str]] = defaultdict(list)
    for name, pixels, mean in _things(scene, hits, colour):
        if pixels >= SMALLEST_SHARE * hits.item.size:
            area[name] += pixels
            colours[name].append(_colour_name(mean))
    text = "a room"
    for number, name in enumerate(sorted(area, key=lambda name: (-area[name], name))):
        longer = f"{text}{', ' if number else ' with '}{_phrase(name, colours[name])}"
        if len(longer) > MAX_LENGTH - 4:  # room for the "and" below
            break
        text = longer
    first, comma, last = text.rpartition(", ")
    return f"{first} and {last}" if comma else text


def _things(scene: Scene, hits: Hits, colour: Array) -> Iterator[tuple[str, float, Array]]:
    """Yield the name, number of pixels and mean colour of the floor, the walls and each item."""
    names = ["floor", "ceiling", "walls", *(item.piece.kind for item in scene.items)]
    thing = np.where(hits.item < 0, np.minimum(hits.surface, 2), hits.item + 3)
    pixels = np.bincount(thing, minlength=len(names))
    sums = [np.bincount(thing, weights=channel, minlength=len(names)) for channel in colour]
    means = np.stack(sums) / np.maximum(pixels, 1)
    for index, name in enumerate(names):
        if name != "ceiling":  # every room has a white one
            yield name, float(pixels[index]), means[:, index]


def _phrase(name: str, colours: list[str]) -> str:
    """Join number, colour (if all have the same) and name."""
    colour = (
        f"{colours[0]} " if len(set(colours)) == 1 and name not in ("window", "picture") else ""
    )
    if name == "walls":
        return f"{colour}walls"
    if len(colours) > 1:
        return f"{_NUMBERS[len(colours)]} {colour}{name}s"
    article = "an" if colour.startswith("o") else "a"
    return f"{article} {colour}{name}"


def _colour_name(colour: Array) -> str:
    """Return the name of the colour nearest to a linear one, compared as displayed."""
    distance = ((255 * colour ** (1 / 2.2) - _SHOWN) ** 2).sum(1)
    return list(_NAMED)[int(distance.argmin())]
