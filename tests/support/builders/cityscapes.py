"""A tiny Cityscapes: rooms for streets, in the official layout, names and formats."""

import json
from pathlib import Path

import numpy as np
from PIL import Image

from dejavu.datasets.reading.raw import Array
from dejavu.datasets.rooms import Frame
from tests.support.builders.scenes import scene

CITIES = {"train": ("aachen", "bochum"), "val": ("frankfurt",), "test": ("berlin",)}
BASELINES = (0.209313, 0.222126)

ROOM_IDS = np.array([7, 23, 11, 21, 20, 8, 13, 24, 26, 12, 19, 22], np.uint8)
"""The labelId of each class of the rooms."""

ALL_IDS = np.arange(34, dtype=np.uint8).reshape(2, 17)
"""Every labelId; it stands in the top left corner of every image."""

EGO_VEHICLE = 1
BORDER = 2
"""Rows of the ego vehicle at the bottom, and columns without disparity at the left, pixels."""


def build(
    root: Path, train: int = 6, val: int = 3, test: int = 1, height: int = 64, width: int = 96
) -> None:
    """Write images numbered through the splits, each split's taken from its cities in turn.

    Args:
        root: the folder; leftImg8bit and so on come below it.
        train: number of images.
        val: number of images of the split that studies call test.
        test: number of images of the split whose labels are not published.
        height: in pixels, at least 2.
        width: in pixels, at least 17.
    """
    index = 0
    for split, count in (("train", train), ("val", val), ("test", test)):
        for turn in range(count):
            city = CITIES[split][turn % len(CITIES[split])]
            _write(root, f"{split}/{city}", f"{city}_{index:06d}_000019", index, height, width)
            index += 1


def label_ids(index: int, height: int = 64, width: int = 96) -> Array:
    """Return what the label file of image ``index`` holds, H x W uint8."""
    ids = ROOM_IDS[scene(index, height, width).label]
    ids[: ALL_IDS.shape[0], : ALL_IDS.shape[1]] = ALL_IDS
    ids[-BORDER:] = EGO_VEHICLE
    return ids


def baseline(index: int) -> float:
    """Return the distance of the cameras of image ``index``, metres; neighbours differ."""
    return BASELINES[index % len(BASELINES)]


def _write(root: Path, folder: str, name: str, index: int, height: int, width: int) -> None:
    frame, ids = scene(index, height, width), label_ids(index, height, width)
    # Instances are named by 1000 * id and a number, in 16 bits.
    instances = np.where(ids >= 24, ids * np.uint16(1000), ids).astype(np.uint16)
    for package, kind, pixels in (
        ("leftImg8bit", "leftImg8bit", frame.image),
        ("gtFine", "gtFine_labelIds", ids),
        ("gtFine", "gtFine_instanceIds", instances),
        ("disparity", "disparity", _disparity(frame, index)),
    ):
        path = root / package / folder / f"{name}_{kind}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path)
    path = root / "camera" / folder / f"{name}_camera.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(_calibration(frame, index)), encoding="utf-8")


def _disparity(frame: Frame, index: int) -> Array:
    """Write depth as the disparity files do: 256 * d + 1, and 0 where the other eye sees none."""
    disparity = baseline(index) * frame.intrinsics[0] / frame.depth.astype(np.float64)
    stored = (np.round(256 * disparity) + 1).astype(np.uint16)
    stored[:, :BORDER] = 0
    return stored


def _calibration(frame: Frame, index: int) -> dict[str, dict[str, float]]:
    fx, fy, cx, cy = frame.intrinsics
    return {
        "extrinsic": {"baseline": baseline(index), "pitch": 0.04, "x": 1.7, "y": 0.1, "z": 1.2},
        "intrinsic": {"fx": fx, "fy": fy, "u0": cx, "v0": cy},
    }
