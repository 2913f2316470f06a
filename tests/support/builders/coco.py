"""A tiny COCO panoptic: rooms in segments, in the official layout, names and formats."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from dejavu.datasets.coco import CATEGORIES
from dejavu.datasets.reading.raw import Array
from tests.support.builders.scenes import scene

VOID = 3
"""Class of the rooms whose pixels belong to no segment."""

CROWD = 8
"""Class of the rooms whose segments are crowds."""

FIRST_IMAGES = {"train2017": 9, "val2017": 139}
STEP = 16
"""From an image's id to the next one's."""


def build(root: Path, train: int = 6, val: int = 3, height: int = 64, width: int = 96) -> None:
    """Write images with segments of all classes of the rooms; each scene has other categories.

    Args:
        root: the folder.
        train: number of images of train2017, scenes 0 to train - 1.
        val: number of images of val2017, the scenes that follow.
        height: in pixels.
        width: in pixels.
    """
    index = 0
    for folder, count in (("train2017", train), ("val2017", val)):
        annotations = []
        for turn in range(count):
            image = FIRST_IMAGES[folder] + STEP * turn
            annotations.append(_write(root, folder, image, index, height, width))
            index += 1
        _write_annotations(root, folder, annotations[::-1], (height, width))


def category_labels(index: int, height: int = 64, width: int = 96) -> Array:
    """Return the place of each pixel's category among the 133, and 255 where there is none."""
    rooms = scene(index, height, width).label.astype(int)
    return np.where(rooms == VOID, 255, _place(rooms, index)).astype(np.uint8)


def _place(room: Any, index: int) -> Any:
    return (11 * room + 5 * index) % len(CATEGORIES)


def _write(root: Path, folder: str, image: int, index: int, height: int, width: int) -> Any:
    """Write the photograph and its segments, and return their annotation."""
    frame = scene(index, height, width)
    _save(root / folder / f"{image:012d}.jpg", frame.image, quality=95)
    segments, ids = [], np.zeros((height, width), np.int64)
    left = np.arange(width) < width // 2
    for room in np.unique(frame.label[frame.label != VOID]).tolist():
        # Two instances of a category in each image, numbered beyond the red channel.
        for side, half in ((0, left), (1, ~left)):
            pixels = (frame.label == room) & half
            if not pixels.any():
                continue
            segment = (image * 104729 + (2 * room + side) * 70001) % (1 << 24)
            ids[pixels] = segment
            segments.append(_segment(segment, _place(room, index), room == CROWD, pixels))
    colours = np.stack([ids % 256, ids // 256 % 256, ids // 65536], axis=2).astype(np.uint8)
    name = f"{image:012d}.png"
    _save(root / "annotations" / f"panoptic_{folder}" / name, colours)
    return {"segments_info": segments, "file_name": name, "image_id": image}


def _segment(segment: int, place: int, crowd: bool, pixels: Array) -> dict[str, Any]:
    rows, columns = np.nonzero(pixels)
    size = [int(np.ptp(columns)) + 1, int(np.ptp(rows)) + 1]
    return {
        "id": segment,
        "category_id": CATEGORIES[place][0],
        "iscrowd": int(crowd),
        "bbox": [int(columns.min()), int(rows.min()), *size],
        "area": int(pixels.sum()),
    }


def _write_annotations(
    root: Path, folder: str, annotations: list[Any], size: tuple[int, int]
) -> None:
    images = [
        {
            "id": annotation["image_id"],
            "file_name": f"{annotation['image_id']:012d}.jpg",
            "height": size[0],
            "width": size[1],
        }
        for annotation in annotations
    ]
    categories = [
        {"id": category, "name": name, "color": colour, "isthing": int(category <= 90)}
        for category, name, colour in CATEGORIES
    ]
    tree = {"images": images, "annotations": annotations, "categories": categories}
    path = root / "annotations" / f"panoptic_{folder}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(tree), encoding="utf-8")


def _save(path: Path, array: Array, **settings: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path, **settings)
