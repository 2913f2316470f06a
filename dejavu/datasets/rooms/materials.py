"""Materials of surfaces, drawn from each slot's own distribution or from a common pool.

A *slot* is a kind of surface (``floor``, ``sofa``, the ``crown`` of a plant). Each has its own
distribution of colours, textures and scales. With probability ``coupling`` a material is drawn
from its slot's own distribution, else from the pool: a slot drawn uniformly from all of them,
then that slot's distribution. At 0, appearance is independent of the class.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

from dejavu.datasets.rooms.textures import Texture

Colour = tuple[float, float, float]


@dataclass(frozen=True)
class Material:
    """Appearance of one surface.

    Attributes:
        colour: main colour, linear RGB in [0, 1].
        accent: second colour of the texture, linear RGB.
        texture: pattern that mixes the two colours over the surface.
        scale: period of the texture, metres.
        phase: offset of the texture, in periods.
        gloss: strength of the highlight.
        glow: emitted light, in units of the colour.
    """

    colour: Colour
    accent: Colour
    texture: Texture
    scale: float
    phase: tuple[float, float]
    gloss: float
    glow: float


@dataclass(frozen=True)
class Recipe:
    """Distribution of one slot's materials: choices are uniform, pairs are ranges."""

    colours: str
    accents: str
    textures: tuple[Texture, ...]
    scale: tuple[float, float] = (0.3, 0.6)
    gloss: tuple[float, float] = (0.0, 0.1)
    glow: tuple[float, float] = (0.0, 0.0)


_WOOD = "b98a5a 8a5a3a d6b184 6b4630 c49a6c a9714b"
_DARK_WOOD = "8f6540 64402a a98559 4a3022 93704c 7d5133"
_FABRIC = "2f6f73 c9772f 8e3b46 3b5378 d9a441 6f7f5b 7a5c86 9a9a94"

RECIPES: dict[str, Recipe] = {
    "floor": Recipe(
        "b88a5c 8e6244 cba97c a59a8c d8cdb8 9c5f3f",
        "6d4a30 4d3324 8f7350 6f675c a3978a 6b3e2a",
        (Texture.PLANKS, Texture.PLANKS, Texture.TILES, Texture.CHECKS),
        (0.16, 0.5),
        (0.05, 0.25),
    ),
    "ceiling": Recipe("f4f1ea efe9dc e9edef", "e4dfd3 ded8c8 d9dee1", (Texture.PLAIN,)),
    "wall": Recipe(
        "e8dcc8 c8d3c0 b9cbd6 e3c4b0 d8cfe0 efe7da 8fa8a0 d9b99b",
        "dccfb8 b7c4ae a6bac7 d7b29b c9bed3 e2d8c6 7d978f caa685",
        (Texture.PLAIN, Texture.PLAIN, Texture.STRIPES, Texture.DOTS, Texture.BRICKS),
        (0.25, 0.5),
    ),
    "pane": Recipe(
        "6fb3e8 86bdf0 f0b98a 8fa4d8",
        "eaf5ff fdf0d8 ffe3c0 f3dff0",
        (Texture.SKY,),
        (0.5, 0.9),
        (0.1, 0.3),
        (0.1, 0.3),
    ),
    "frame": Recipe("f6f3ec 3a3532 c8a45a 7b5235", "e8e2d6 2a2624 a8843f 5d3c26", (Texture.PLAIN,)),
    "canvas": Recipe(
        "e07a5f 3d5a80 f2cc8f 81b29a 264653 e9c46a b56576",
        "f4f1de 98c1d9 e76f51 293241 eaac8b 2a9d8f 355070",
        (Texture.ART, Texture.ART, Texture.ART, Texture.MARBLE, Texture.DOTS),
        (0.3, 0.6),
    ),
    "rug": Recipe(
        "9c3d45 2f5d73 b8763e 6d7f5c 5b4a72 c9b79c",
        "e8d5b0 d9e2df f1d9a7 ece7cf d8b7c0 7c5a4a",
        (Texture.RUG, Texture.RUG, Texture.STRIPES, Texture.CHECKS),
        (0.15, 0.35),
    ),
    "table": Recipe(_WOOD, _DARK_WOOD, (Texture.GRAIN,), (0.12, 0.25), (0.1, 0.35)),
    "chair": Recipe(
        "d9583b e0a83a 3f7f8c f0ece2 4a4a4e 7fa36b",
        "b84527 c28d28 2f6470 d8d2c4 38383c 67894f",
        (Texture.PLAIN, Texture.PLAIN, Texture.GRAIN),
        (0.1, 0.2),
        (0.1, 0.4),
    ),
    "sofa": Recipe(_FABRIC, "255a5e a86124 733039 2f4462 b88733 59684a 644b70 82827c",
                   (Texture.WEAVE, Texture.PLAIN), (0.05, 0.09)),
    "cushion": Recipe(_FABRIC, "f2e8d5 f6d9a8 e8c8c0 dfe6ec fff1cf e3e8d2 e6d8ec f0f0ea",
                      (Texture.STRIPES, Texture.CHECKS, Texture.DOTS, Texture.PLAIN), (0.08, 0.16)),
    "cabinet": Recipe(
        "f0ebe0 5c7a80 9a6a45 34495c c9b08a 7a8b6f",
        "ddd5c4 4d6a70 7d5333 2a3b4b b0966e 68795e",
        (Texture.PLAIN, Texture.GRAIN),
        (0.15, 0.3),
        (0.05, 0.2),
    ),
    "book": Recipe("a63d40 e9b872 90a959 6494aa 40476d e8e0d0 803d5a 2f7f79",
                   "e8dcc0 7c2d30 f0e6d0 e0e8ea c8cce0 a08060 e0c0d0 d0eae6",
                   (Texture.STRIPES,), (0.04, 0.07)),
    "metal": Recipe("c9a35a 3b3b3f b9bcc0 8f6b45", "a9853f 2c2c30 9a9da1 73532f",
                    (Texture.PLAIN,), gloss=(0.5, 0.9)),
    "shade": Recipe("ffe2a8 ffd08a fff0d0 ffc890", "ffd58c ffbf6e ffe6ba ffb573",
                    (Texture.PLAIN, Texture.STRIPES), (0.05, 0.1), glow=(0.7, 1.1)),
    "pot": Recipe("c4683f e8e2d6 4a6a78 2f3e46 d8a25e", "a5522f d0c8b8 3b5865 232f36 bd8845",
                  (Texture.PLAIN, Texture.STRIPES, Texture.MARBLE), (0.06, 0.14), (0.1, 0.5)),
    "crown": Recipe("4f8a3c 2f6b3f 7aa84a 3d7a5a", "2f5f28 1d4a2c 54823a 285a40",
                    (Texture.LEAVES,), (0.07, 0.14)),
}  # fmt: skip
"""Each slot's own distribution: sRGB colours in hexadecimal, one accent per colour."""

_POOL = tuple(RECIPES)


def draw_material(slot: str, coupling: float, rng: np.random.Generator) -> Material:
    """Draw the material of a surface.

    Every coupling draws the same number of random values, so that scenes of two couplings differ
    only in the materials that were redrawn.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> draw_material("crown", 1.0, rng).texture.name
        'LEAVES'
    """
    uncoupled = rng.random() >= coupling
    other = _POOL[rng.integers(len(_POOL))]
    numbers = rng.random(10).tolist()
    return _cook(RECIPES[other if uncoupled else slot], numbers)


def _cook(recipe: Recipe, numbers: Sequence[float]) -> Material:
    """Turn ten numbers in [0, 1) into a material."""
    pick, texture, scale, gloss, glow, u, v, red, green, blue = numbers
    colours, accents = _decode(recipe.colours), _decode(recipe.accents)
    index = int(pick * len(colours))
    brightness = 0.87 + 0.07 * (red + green + blue)
    tint = [brightness + 0.05 * jitter for jitter in (red, green, blue)]
    return Material(
        colour=_linear(colours[index], tint),
        accent=_linear(accents[index], tint),
        texture=recipe.textures[int(texture * len(recipe.textures))],
        scale=_within(recipe.scale, scale),
        phase=(u * 200, v * 200),
        gloss=_within(recipe.gloss, gloss),
        glow=_within(recipe.glow, glow),
    )


def _within(limits: tuple[float, float], position: float) -> float:
    return limits[0] + (limits[1] - limits[0]) * position


@cache
def _decode(codes: str) -> list[bytes]:
    return [bytes.fromhex(code) for code in codes.split()]


def _linear(code: bytes, tint: Sequence[float]) -> Colour:
    """Tint an sRGB colour and make it linear, with the power law 2.2 for the transfer curve."""
    r, g, b = (min((byte / 255 * t) ** 2.2, 0.95) for byte, t in zip(code, tint, strict=True))
    return r, g, b
