"""The classes of the procedural rooms, and their display colours."""

CLASSES: tuple[str, ...] = (
    "floor",
    "ceiling",
    "wall",
    "window",
    "picture",
    "rug",
    "table",
    "chair",
    "sofa",
    "cabinet",
    "lamp",
    "plant",
)
"""Class names by label; the first three are the room's own surfaces."""

PALETTE: tuple[tuple[int, int, int], ...] = (
    (194, 165, 131),
    (240, 236, 226),
    (160, 178, 196),
    (97, 199, 236),
    (226, 123, 177),
    (148, 84, 122),
    (176, 104, 50),
    (238, 140, 64),
    (208, 66, 66),
    (96, 92, 168),
    (250, 211, 88),
    (76, 153, 84),
)
"""One RGB colour (0 to 255) per class."""
