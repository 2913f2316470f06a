"""A contact sheet of scenes, for a look at the data before training."""

from pathlib import Path

import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from numpy.typing import NDArray

from dejavu.data.store import PreparedSplit
from dejavu.datasets.reading.manifest import Manifest
from dejavu.reporting.style import styled

Pixels = NDArray[np.uint8]

COLUMNS = 8


def contact_sheet(directory: Path, count: int = 48, split: str = "train") -> Figure:
    """Draw the first scenes of a prepared split, each as image, label, depth and normals.

    Depth is drawn from near (light) to far (dark), normals as (x, -y, -z) in [-1, 1] on RGB.

    Args:
        directory: folder of the prepared data.
        count: maximum number of scenes.
        split: name of the split.

    Raises:
        DataError: the data is missing or damaged.
    """
    prepared = PreparedSplit(directory, split)
    manifest = prepared.manifest
    palette = np.array(manifest.palette, np.uint8)
    tiles = [_tile(scene, palette) for scene in prepared.records[:count]]
    sheet = _grid(tiles, min(COLUMNS, len(tiles)))
    with styled():
        return _draw(sheet, manifest)


def _draw(sheet: Pixels, manifest: Manifest) -> Figure:
    """Put a legend of the classes below a sheet."""
    height, width = sheet.shape[:2]
    figure = Figure(figsize=(12, 12 * height / width + 0.5), facecolor="white")
    axes = figure.add_axes((0, 0.5 / figure.get_figheight(), 1, 1 - 0.5 / figure.get_figheight()))
    axes.imshow(sheet, interpolation="nearest")
    axes.set_axis_off()
    patches = [
        Patch(facecolor=(r / 255, g / 255, b / 255), edgecolor="0.3", linewidth=0.5, label=name)
        for name, (r, g, b) in zip(manifest.class_names, manifest.palette, strict=True)
    ]
    figure.legend(
        handles=patches,
        loc="lower center",
        ncols=len(patches),
        frameon=False,
        fontsize=8,
        columnspacing=1.2,
        handlelength=1.4,
    )
    return figure


def _tile(scene: np.void, palette: Pixels) -> Pixels:
    """Put image and label above depth and normals."""
    far = np.log(scene["depth"] / 0.5) / np.log(16)  # 0.5 m to 8 m
    depth = colormaps["magma_r"](np.clip(far, 0, 1), bytes=True)[..., :3]
    normals = np.rint(127.5 * (scene["normals"] * (1, -1, -1) + 1)).astype(np.uint8)
    top = np.concatenate([scene["image"], palette[scene["label"]]], axis=1)
    return np.concatenate([top, np.concatenate([depth, normals], axis=1)], axis=0)


def _grid(tiles: list[Pixels], columns: int) -> Pixels:
    """Lay out tiles of one size in rows, on white with a margin."""
    height, width, _ = tiles[0].shape
    margin = max(2, height // 32)
    rows = -(-len(tiles) // columns)
    size = (rows * (height + margin) + margin, columns * (width + margin) + margin, 3)
    sheet = np.full(size, 255, np.uint8)
    for number, tile in enumerate(tiles):
        row, column = divmod(number, columns)
        top, left = margin + row * (height + margin), margin + column * (width + margin)
        sheet[top : top + height, left : left + width] = tile
    return sheet
