"""The classes of NYUv2: the 40 of Gupta et al. (2013) and the 13 of Couprie et al. (2013)."""

import numpy as np

NAMES_40: tuple[str, ...] = (
    "wall",
    "floor",
    "cabinet",
    "bed",
    "chair",
    "sofa",
    "table",
    "door",
    "window",
    "bookshelf",
    "picture",
    "counter",
    "blinds",
    "desk",
    "shelves",
    "curtain",
    "dresser",
    "pillow",
    "mirror",
    "floor mat",
    "clothes",
    "ceiling",
    "books",
    "refrigerator",
    "television",
    "paper",
    "towel",
    "shower curtain",
    "box",
    "whiteboard",
    "person",
    "night stand",
    "toilet",
    "sink",
    "lamp",
    "bathtub",
    "bag",
    "other structure",
    "other furniture",
    "other prop",
)
"""Names by label; the files' ids are one higher."""

NAMES_13: tuple[str, ...] = (
    "bed",
    "books",
    "ceiling",
    "chair",
    "floor",
    "furniture",
    "objects",
    "picture",
    "sofa",
    "table",
    "television",
    "wall",
    "window",
)
"""Names by label; the files' ids are one higher."""

# fmt: off
IDS_13 = np.array([
    12, 5, 6, 1, 4, 9, 10, 12, 13, 6, 8, 6, 13, 10, 6, 13, 6, 7, 7, 5,
    7, 3, 2, 6, 11, 7, 7, 7, 7, 7, 7, 6, 7, 7, 7, 7, 7, 7, 6, 7,
])
# fmt: on
"""The id (1 to 13) of each of the 40 classes: ``labels13`` of class13Mapping.mat, as published
with SceneNet's meta data (github.com/ankurhanda/nyuv2-meta-data)."""


def palette(count: int) -> tuple[tuple[int, int, int], ...]:
    """Return the colour map of PASCAL VOC: NYUv2 has no official colours.

    The bits of the stored id (the label + 1) are dealt to red, green and blue in turn, the lowest
    to each colour's highest bit.

    Args:
        count: number of classes, at most 255.

    Returns:
        One RGB colour (0 to 255) per class; all differ, and none is black, the unlabelled colour.

    Example:
        >>> palette(4)
        ((128, 0, 0), (0, 128, 0), (128, 128, 0), (0, 0, 128))
    """
    return tuple((_channel(i, 0), _channel(i, 1), _channel(i, 2)) for i in range(1, count + 1))


def _channel(identity: int, channel: int) -> int:
    return sum((identity >> 3 * bit + channel & 1) << 7 - bit for bit in range(3))
