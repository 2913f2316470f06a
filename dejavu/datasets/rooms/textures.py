"""Procedural textures: how much of a material's accent colour shows at each point."""

from collections.abc import Callable
from enum import IntEnum
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dejavu.datasets.rooms.raycast import Array


class Texture(IntEnum):
    """Kinds of texture."""

    PLAIN = 0
    STRIPES = 1
    CHECKS = 2
    TILES = 3
    BRICKS = 4
    PLANKS = 5
    GRAIN = 6
    MARBLE = 7
    WEAVE = 8
    DOTS = 9
    LEAVES = 10
    SKY = 11
    ART = 12
    RUG = 13


class Surface(NamedTuple):
    """N points on surfaces, with their texture coordinates.

    Attributes:
        u: first surface coordinate, in periods of the texture.
        v: second surface coordinate, in periods (upwards on upright surfaces).
        a: first coordinate over the whole face, in [-1, 1].
        b: second coordinate over the whole face, in [-1, 1].
        phase: one number per surface, so that no two have the same layout.
        blur: size of a pixel on the surface, in periods: finer detail is averaged out.
    """

    u: Array
    v: Array
    a: Array
    b: Array
    phase: Array
    blur: Array


def accent(texture: NDArray[np.int64], surface: Surface) -> Array:
    """Return the share of the accent colour at N points, in about [-0.3, 1.3].

    Example:
        >>> point = Surface(*np.array([[0.5], [0.5], [0], [0], [0], [0.01]]))
        >>> accent(np.array([Texture.STRIPES]), point).tolist()
        [1.0]
    """
    share = np.zeros(len(surface.u))
    for kind in np.flatnonzero(np.bincount(texture, minlength=len(Texture))):
        chosen = np.flatnonzero(texture == kind)
        share[chosen] = _PATTERNS[Texture(int(kind))](
            Surface(*(values[chosen] for values in surface))
        )
    return share


_TILE = np.random.Generator(np.random.Philox(2023)).random((128, 128))
"""Lattice values of the noise, the same for all scenes."""


def _noise(u: Array, v: Array) -> Array:
    """Value noise in [-1, 1] with period 1 lattice cells, smoothly interpolated."""
    i, j = np.floor(u), np.floor(v)
    s, t = u - i, v - j
    s, t = s * s * (3 - 2 * s), t * t * (3 - 2 * t)
    row, column = j.astype(np.int32) & 127, i.astype(np.int32) & 127
    below, right = (row + 1) & 127, (column + 1) & 127
    top = _TILE[row, column] * (1 - s) + _TILE[row, right] * s
    bottom = _TILE[below, column] * (1 - s) + _TILE[below, right] * s
    return np.asarray(2 * (top * (1 - t) + bottom * t) - 1)


def _cell(u: Array, v: Array) -> Array:
    """One random value in [0, 1] per unit cell."""
    return np.asarray(_TILE[np.floor(v).astype(np.int32) & 127, np.floor(u).astype(np.int32) & 127])


def _pulse(x: Array, duty: float, blur: Array) -> Array:
    """Bands of width ``duty`` about every half-integer, box-filtered over ``blur`` periods."""
    blur = np.maximum(blur, 0.02)
    away = np.abs(x - np.floor(x) - 0.5)
    inside = np.clip((duty / 2 - away) / blur + 0.5, 0, 1)
    return inside * np.minimum(1, duty / blur)


def _sharpness(blur: Array, frequency: float) -> Array:
    """1 where detail of this frequency (per period) is resolved, 0 where it would alias."""
    return np.clip(1.5 - 2 * frequency * blur, 0, 1)


def _plain(s: Surface) -> Array:
    return 0.25 * _noise(3 * s.u, 3 * s.v) * _sharpness(s.blur, 3)


def _stripes(s: Surface) -> Array:
    return _pulse(s.u, 0.5, s.blur)


def _checks(s: Surface) -> Array:
    across, along = _pulse(s.u / 2, 0.5, s.blur / 2), _pulse(s.v / 2, 0.5, s.blur / 2)
    return across + along - 2 * across * along


def _tiles(s: Surface) -> Array:
    joint = np.maximum(_pulse(s.u, 0.05, s.blur), _pulse(s.v, 0.05, s.blur))
    shade = 0.3 * (_cell(s.u + 0.5, s.v + 0.5) - 0.5) * _sharpness(s.blur, 1)
    return np.maximum(joint, shade)


def _bricks(s: Surface) -> Array:
    v = 3 * s.v
    row = np.floor(v + 0.5)
    u = s.u + 0.5 * (row - 2 * np.floor(row / 2))
    joint = np.maximum(_pulse(u, 0.06, s.blur), _pulse(v, 0.14, 3 * s.blur))
    shade = 0.5 * (_cell(u + 0.5, v + 0.5) - 0.5) * _sharpness(s.blur, 1)
    return np.maximum(joint, shade)


def _planks(s: Surface) -> Array:
    board = np.floor(s.u + 0.5)
    v = s.v / 6 + _cell(board, 0 * board) * 7
    joint = np.maximum(_pulse(s.u, 0.05, s.blur), _pulse(v, 0.01, s.blur / 6))
    tone = 0.9 * (_cell(board, v + 0.5) - 0.4) * _sharpness(s.blur, 0.5)
    grain = 0.3 * _noise(9 * s.u, 0.8 * s.v + 9 * board) * _sharpness(s.blur, 6)
    return np.maximum(joint, tone + grain)


def _grain(s: Surface) -> Array:
    rings = np.sin(9 * s.u + 4 * _noise(s.u, 0.2 * s.v))
    return 0.35 + 0.4 * rings * _sharpness(s.blur, 1.5)


def _marble(s: Surface) -> Array:
    vein = 1 - np.abs(np.sin(2 * s.u + 1.3 * s.v + 3 * _noise(s.u, s.v)))
    return np.asarray(vein * vein * vein)


def _weave(s: Surface) -> Array:
    threads = np.sin(6.3 * s.u) * np.sin(6.3 * s.v) * _sharpness(s.blur, 1)
    return 0.4 + 0.5 * threads + 0.3 * _noise(s.u / 2, s.v / 2)


def _dots(s: Surface) -> Array:
    x, y = s.u - np.floor(s.u) - 0.5, s.v - np.floor(s.v) - 0.5
    blur = np.maximum(s.blur, 0.03)
    return np.clip((0.25 - np.sqrt(x * x + y * y)) / blur + 0.5, 0, 1) * _sharpness(s.blur, 0.5)


def _leaves(s: Surface) -> Array:
    return 0.5 + 0.9 * _noise(2 * s.u, 2 * s.v) * _sharpness(s.blur, 1.5)


def _sky(s: Surface) -> Array:
    horizon = np.clip(0.55 - 0.6 * s.b, 0, 1)
    cloud = np.clip(_noise(s.u, 2 * s.v) + 0.5 * _noise(2 * s.u, 4 * s.v), 0, 1)
    return np.minimum(horizon + 0.9 * cloud * np.clip(s.b + 0.6, 0, 1), 1)


def _art(s: Surface) -> Array:
    """A disc over hills."""
    x, y = s.a - 0.45 * np.sin(s.phase), s.b - 0.35
    disc = np.clip((0.4 - np.sqrt(x * x + y * y)) / 0.1 + 0.5, 0, 1)
    far, near = (_noise(k * s.a + k * s.phase, 0 * s.b) for k in (1.5, 2.0))
    hills = np.clip((0.35 * far - 0.3 - s.b) * 9, 0, 1)
    meadow = np.clip((0.3 * near - 0.8 - s.b) * 9, 0, 1)
    return np.maximum(disc, hills) - 0.5 * meadow


def _rug(s: Surface) -> Array:
    edge = 1 - np.maximum(np.abs(s.a), np.abs(s.b))
    border = _pulse(edge * 4 + 0.25, 0.3, s.blur) * (edge < 0.5)
    diamonds = _pulse(np.abs(s.u) + np.abs(s.v), 0.5, s.blur) * _pulse(s.u - s.v, 0.5, s.blur)
    return np.maximum(border, 0.8 * diamonds * (edge > 0.42))


_PATTERNS: dict[Texture, Callable[[Surface], Array]] = {
    Texture.PLAIN: _plain,
    Texture.STRIPES: _stripes,
    Texture.CHECKS: _checks,
    Texture.TILES: _tiles,
    Texture.BRICKS: _bricks,
    Texture.PLANKS: _planks,
    Texture.GRAIN: _grain,
    Texture.MARBLE: _marble,
    Texture.WEAVE: _weave,
    Texture.DOTS: _dots,
    Texture.LEAVES: _leaves,
    Texture.SKY: _sky,
    Texture.ART: _art,
    Texture.RUG: _rug,
}
