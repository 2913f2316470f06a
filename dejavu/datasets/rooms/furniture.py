"""Furniture made of solids, in a frame of its own: x to the right, z up, its back at -y.

The origin is the centre of the footprint, at the height of its support (the centre of the back
for pieces that hang on a wall). Lengths are metres.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from dejavu.datasets.rooms.raycast import Array, Shape, Solid

Rng = np.random.Generator


@dataclass(frozen=True)
class Piece:
    """A piece of furniture without place or materials.

    Attributes:
        kind: name of its class.
        solids: its solids; a solid's ``part`` is an index into ``slots``.
        slots: the material slots of its parts.
        light: position of its light source, if it has one.
    """

    kind: str
    solids: tuple[Solid, ...]
    slots: tuple[str, ...]
    light: tuple[float, float, float] | None = None

    @cached_property
    def bounds(self) -> tuple[Array, Array]:
        """The lowest and the highest corner (3 each) of the box that holds all solids."""
        centre = np.array([solid.centre for solid in self.solids])
        spread = [(max(1.0, s.taper), max(1.0, s.taper), 1.0) for s in self.solids]
        half = np.array([solid.half for solid in self.solids]) * spread
        return (centre - half).min(0), (centre + half).max(0)


def _box(
    x: tuple[float, float], y: tuple[float, float], z: tuple[float, float], part: int = 0
) -> Solid:
    centre = ((x[0] + x[1]) / 2, (y[0] + y[1]) / 2, (z[0] + z[1]) / 2)
    half = ((x[1] - x[0]) / 2, (y[1] - y[0]) / 2, (z[1] - z[0]) / 2)
    return Solid(Shape.BOX, centre, half, part=part)


def _ball(x: float, y: float, z: float, radius: float, height: float, part: int = 0) -> Solid:
    return Solid(Shape.ELLIPSOID, (x, y, z), (radius, radius, height), part=part)


def _tube(
    x: float, y: float, z: tuple[float, float], radius: float, part: int = 0, taper: float = 1.0
) -> Solid:
    """An upright cylinder or cone: bottom radius ``radius``, top radius ``taper * radius``."""
    centre, half = (x, y, (z[0] + z[1]) / 2), (radius, radius, (z[1] - z[0]) / 2)
    return Solid(Shape.FRUSTUM, centre, half, taper, part)


def _cup(x: float, y: float, z: tuple[float, float], top: float, part: int) -> Solid:
    """A pot: a frustum that is wider at the top, which a taper above 1 describes."""
    return _tube(x, y, z, 0.72 * top, part, 1 / 0.72)


def _legs(width: float, depth: float, height: float, thick: float, part: int = 0) -> list[Solid]:
    x, y = width / 2 - thick, depth / 2 - thick
    corners = [(-x, -y), (x, -y), (-x, y), (x, y)]
    return [_box((a - thick / 2, a + thick / 2), (b - thick / 2, b + thick / 2), (0, height), part)
            for a, b in corners]  # fmt: skip


def table(rng: Rng, *, low: bool = False) -> Piece:
    """Return a dining table (or a coffee table), rectangular or round."""
    height = rng.uniform(0.38, 0.46) if low else rng.uniform(0.7, 0.78)
    width, depth = (rng.uniform(0.8, 1.2), 0.55) if low else (rng.uniform(1.2, 1.8), 0.85)
    top = height - 0.05
    if rng.random() < 0.35:
        radius = depth / 2 + 0.08
        plate = _tube(0, 0, (top, height), radius)
        foot = _tube(0, 0, (0, 0.04), 0.6 * radius)
        return Piece("table", (plate, _tube(0, 0, (0.04, top), 0.06), foot), ("table",))
    plate = _box((-width / 2, width / 2), (-depth / 2, depth / 2), (top, height))
    legs = _legs(width, depth, top, rng.uniform(0.05, 0.09))
    return Piece("table", (plate, *legs), ("table",))


def chair(rng: Rng) -> Piece:
    """Return a chair: seat, back and four legs."""
    width, seat, height = 0.44, 0.46, rng.uniform(0.82, 1.0)
    plate = _box((-0.22, 0.22), (-0.22, 0.22), (seat - 0.05, seat))
    back = _box((-0.22, 0.22), (-0.22, -0.17), (rng.uniform(seat, seat + 0.14), height))
    posts = [_box((x - 0.02, x + 0.02), (-0.22, -0.18), (seat, height - 0.02), 1)
             for x in (-0.18, 0.18)]  # fmt: skip
    legs = _legs(width, width, seat - 0.05, 0.045, part=1)
    return Piece("chair", (plate, back, *posts, *legs), ("chair", "chair"))


def sofa(rng: Rng) -> Piece:
    """Return a sofa for one to three, with seat cushions and loose ones."""
    seats = int(rng.integers(1, 4))
    width, depth, height = 0.62 * seats + 0.36, 0.88, rng.uniform(0.72, 0.86)
    x, y = width / 2, depth / 2
    solids = [
        _box((-x, x), (-y, y), (0.08, 0.3)),
        _box((-x, x), (-y, -y + 0.22), (0.3, height)),
        _box((-x, -x + 0.18), (-y + 0.22, y), (0.3, 0.58)),
        _box((x - 0.18, x), (-y + 0.22, y), (0.3, 0.58)),
    ]
    for i in range(seats):
        left = -x + 0.18 + 0.62 * i
        solids.append(_box((left + 0.01, left + 0.61), (-y + 0.22, y + 0.02), (0.3, 0.45)))
        if rng.random() < 0.55:
            centre = (left + rng.uniform(0.2, 0.42), -y + 0.32, 0.62)
            solids.append(Solid(Shape.ELLIPSOID, centre, (0.21, 0.1, 0.18), part=1))
    feet = _legs(width, depth, 0.08, 0.06, part=2)
    return Piece("sofa", (*solids, *feet), ("sofa", "cushion", "metal"))


def cabinet(rng: Rng) -> Piece:
    """Return a closed cabinet, high or low, or an open shelf with books."""
    width = rng.uniform(0.8, 1.5)
    if rng.random() < 0.45:
        return _shelf(rng, width, rng.uniform(1.2, 2.0))
    height, depth = (rng.uniform(0.7, 0.9) if rng.random() < 0.6 else rng.uniform(1.5, 2.0)), 0.42
    x, y = width / 2, depth / 2
    doors = 2 if width < 1.15 else 3
    step = width / doors
    solids = [_box((-x, x), (-y, y - 0.03), (0.06, height))]
    for i in range(doors):
        left, right = -x + step * i + 0.015, -x + step * (i + 1) - 0.015
        solids.append(_box((left, right), (y - 0.03, y), (0.09, height - 0.04)))
        solids.append(_ball(right - 0.07, y + 0.015, 0.55 * height, 0.025, 0.025, 1))
    plinth = _box((-x + 0.05, x - 0.05), (-y, y - 0.08), (0, 0.06), 1)
    return Piece("cabinet", (*solids, plinth), ("cabinet", "metal"))


def _shelf(rng: Rng, width: float, height: float) -> Piece:
    depth, thick, boards = 0.32, 0.035, 5 if height > 1.6 else 4
    x, y = width / 2, depth / 2
    gap = (height - thick) / (boards - 1)
    sides = [
        _box((-x, -x + thick), (-y, y), (0, height)),
        _box((x - thick, x), (-y, y), (0, height)),
    ]
    back = _box((-x + thick, x - thick), (-y, -y + 0.02), (0, height))
    solids = [*sides, back]
    for i in range(boards):
        solids.append(_box((-x + thick, x - thick), (-y, y), (i * gap, i * gap + thick)))
        left = -x + thick + rng.uniform(0, 0.12)
        while i < boards - 1 and left < x - 0.35:
            right = left + rng.uniform(0.12, 0.28)
            top = i * gap + thick + gap * rng.uniform(0.5, 0.8)
            part = int(rng.integers(1, 4))
            solids.append(_box((left, right), (-y + 0.02, y - 0.06), (i * gap + thick, top), part))
            left = right + (rng.uniform(0.1, 0.3) if rng.random() < 0.4 else 0.0)
    slots = ("cabinet", "book", "book", "book")
    return Piece("cabinet", tuple(solids), slots)


def plant(rng: Rng) -> Piece:
    """Return a potted plant that stands on the floor."""
    return _plant(rng, rng.uniform(0.8, 1.25))


def small_plant(rng: Rng) -> Piece:
    """Return a potted plant that stands on something."""
    return _plant(rng, rng.uniform(0.35, 0.5))


def _plant(rng: Rng, scale: float) -> Piece:
    """A bush, a fir, or a small tree, about as high as ``scale``."""
    pot = 0.3 * scale
    radius = 0.17 * scale
    solids = [_cup(0, 0, (0, pot), radius, 0)]
    form = rng.random()
    if form < 0.4:
        for turn in np.arange(5) * 2.4 + rng.uniform(0, 6):
            reach, z = rng.uniform(0.08, 0.16) * scale, rng.uniform(0.5, 0.95) * scale
            x, y = reach * np.cos(turn), reach * np.sin(turn)
            solids.append(_ball(x, y, z, 0.17 * scale, 0.2 * scale, 1))
        solids.append(_tube(0, 0, (pot, 0.5 * scale), 0.03 * scale, 2))
    elif form < 0.7:
        solids.append(_tube(0, 0, (pot, 0.45 * scale), 0.03 * scale, 2))
        for i in range(3):
            low = (0.4 + 0.23 * i) * scale
            solids.append(_tube(0, 0, (low, low + 0.32 * scale), (0.3 - 0.06 * i) * scale, 1, 0.05))
    else:
        solids.append(_tube(0, 0, (pot, 1.0 * scale), 0.025 * scale, 2))
        solids.append(_ball(0, 0, 1.15 * scale, 0.27 * scale, 0.3 * scale, 1))
    return Piece("plant", tuple(solids), ("pot", "crown", "table"))


def floor_lamp(rng: Rng) -> Piece:
    """Return a standing lamp with a conical shade."""
    height, radius = rng.uniform(1.35, 1.65), rng.uniform(0.2, 0.26)
    solids = (
        _tube(0, 0, (0, 0.03), 0.15),
        _tube(0, 0, (0.03, height - 0.25), 0.018),
        _tube(0, 0, (height - 0.3, height), radius, 1, rng.uniform(0.4, 0.8)),
    )
    light = (0.0, 0.0, height - 0.15)
    return Piece("lamp", solids, ("metal", "shade"), light)


def table_lamp(rng: Rng) -> Piece:
    """Return a small lamp that stands on something."""
    height = rng.uniform(0.4, 0.52)
    solids = (
        _ball(0, 0, 0.12, 0.09, 0.12),
        _tube(0, 0, (0.22, height - 0.2), 0.015),
        _tube(0, 0, (height - 0.22, height), 0.16, 1, rng.uniform(0.5, 0.8)),
    )
    return Piece("lamp", solids, ("pot", "shade"), (0.0, 0.0, height - 0.1))


def pendant(rng: Rng) -> Piece:
    """Return a lamp that hangs by a cord; its origin is the lowest point."""
    drop, radius = rng.uniform(0.5, 0.8), rng.uniform(0.17, 0.26)
    if rng.random() < 0.5:
        shade = _ball(0, 0, radius, radius, radius, 1)
    else:
        shade = _tube(0, 0, (0, 0.24), radius, 1, 0.35)
    cord = _tube(0, 0, (0.2, drop), 0.012)
    return Piece("lamp", (shade, cord), ("metal", "shade"), (0.0, 0.0, -0.05))


def rug(rng: Rng) -> Piece:
    """Return a rug, rectangular or round."""
    width, depth, high = rng.uniform(1.6, 2.6), rng.uniform(1.2, 1.8), 0.015
    if rng.random() < 0.3:
        return Piece("rug", (_tube(0, 0, (0, high), depth / 2),), ("rug",))
    plate = _box((-width / 2, width / 2), (-depth / 2, depth / 2), (0, high))
    return Piece("rug", (plate,), ("rug",))


def window(rng: Rng) -> Piece:
    """Return a window with a frame, a mullion and sometimes a transom."""
    width, height, bar = rng.uniform(1.0, 1.9), rng.uniform(1.0, 1.4), 0.05
    x, z = width / 2, height / 2
    solids = [
        _box((-x, x), (0, 0.02), (-z, z), 1),
        _box((-x - bar, -x), (0, 0.06), (-z, z)),
        _box((x, x + bar), (0, 0.06), (-z, z)),
        _box((-x - bar, x + bar), (0, 0.06), (z, z + bar)),
        _box((-x - 2 * bar, x + 2 * bar), (0, 0.14), (-z - bar, -z)),
        _box((-bar / 2, bar / 2), (0, 0.05), (-z, z)),
    ]
    if rng.random() < 0.5:
        solids.append(_box((-x, x), (0, 0.045), (0.3 * z, 0.3 * z + bar)))
    return Piece("window", tuple(solids), ("frame", "pane"))


def picture(rng: Rng) -> Piece:
    """Return a framed picture."""
    width, height, bar = rng.uniform(0.45, 1.1), rng.uniform(0.45, 0.8), 0.04
    x, z = width / 2, height / 2
    back = _box((-x - bar, x + bar), (0, 0.025), (-z - bar, z + bar))
    canvas = _box((-x, x), (0.025, 0.032), (-z, z), 1)
    return Piece("picture", (back, canvas), ("frame", "canvas"))
