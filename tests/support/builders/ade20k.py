"""A tiny ADE20K: rooms in the challenge's layout, names and formats."""

from pathlib import Path

import numpy as np
from PIL import Image

from dejavu.datasets.ade20k import CLASSES
from dejavu.datasets.reading.raw import Array
from tests.support.builders.scenes import scene

ROOM_IDS = np.array([4, 6, 1, 9, 23, 29, 16, 20, 24, 11, 37, 18], np.uint8)
"""The id of each class of the rooms: the class of the same name, or the nearest."""

ALL_IDS = np.arange(1, 151, dtype=np.uint8).reshape(10, 15)
"""Every id; it stands in the top left corner of every image."""

OTHER = 2
"""Rows of other objects, id 0, at the bottom."""

MODES = ("RGB", "L", "CMYK")
"""Colours of the images, in turn."""


def build(root: Path, train: int = 6, val: int = 3, height: int = 64, width: int = 96) -> None:
    """Write images numbered through the splits; every third one stands upright.

    Args:
        root: the folder ADEChallengeData2016.
        train: number of images.
        val: number of images of the split that studies call test.
        height: of lying images in pixels, at least 12.
        width: of lying images in pixels, at least 15.
    """
    for split, short, first, count in (
        ("training", "train", 0, train),
        ("validation", "val", train, val),
    ):
        images, annotations = root / "images" / split, root / "annotations" / split
        images.mkdir(parents=True)
        annotations.mkdir(parents=True)
        for number in range(1, count + 1):
            index, name = first + number - 1, f"ADE_{short}_{number:08d}"
            photograph = Image.fromarray(scene(index, *size(index, height, width)).image)
            photograph.convert(MODES[index % len(MODES)]).save(
                images / f"{name}.jpg", quality=98, subsampling=0
            )
            ids = label_ids(index, *size(index, height, width))
            Image.fromarray(ids).save(annotations / f"{name}.png")
    (root / "objectInfo150.txt").write_text(_object_info(), encoding="utf-8")


def size(index: int, height: int = 64, width: int = 96) -> tuple[int, int]:
    """Return height and width of image ``index``."""
    return (width, height) if index % 3 == 2 else (height, width)


def label_ids(index: int, height: int, width: int) -> Array:
    """Return what the label file of image ``index`` holds, H x W uint8."""
    ids = ROOM_IDS[scene(index, height, width).label]
    ids[: ALL_IDS.shape[0], : ALL_IDS.shape[1]] = ALL_IDS
    ids[-OTHER:] = 0
    return ids


def _object_info() -> str:
    # Some of the file's own irregularities: synonyms, and spaces after an index or a name.
    rows = [f"{i}\t0.01\t100\t10\t{name}" for i, name in enumerate(CLASSES, start=1)]
    rows[1] = "2\t0.1072\t6046\t612\tbuilding, edifice"
    rows[7] = "8\t0.0231\t1906\t199\tbed "
    rows[21] = "22 \t0.0074\t709\t75\twater"
    return "\n".join(["Idx\tRatio\tTrain\tVal\tName", *rows]) + "\n"
