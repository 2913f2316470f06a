"""A tiny KITTI: rooms for streets, raw and annotated depth, in the official layout and sizes."""

from pathlib import Path

import numpy as np
from PIL import Image

from dejavu.datasets.reading.raw import Array
from tests.support.builders.scenes import scene

TRAIN_DRIVES = ("2011_09_26_drive_0001", "2011_09_28_drive_0001")
TEST_DRIVE = "2011_09_26_drive_0002"
FIRST_FRAME = 5
"""Number of the first frame of a drive that has the improved ground truth."""

SIZES = {"2011_09_26": (375, 1242), "2011_09_28": (370, 1224)}
"""Height and width of the images of a day, pixels."""

ROTATION = "7.533745e-03 -9.999714e-01 -6.166020e-04 1.480249e-02 7.280733e-04 -9.998902e-01 \
9.998621e-01 7.523790e-03 1.480755e-02"
TRANSLATION = "-4.069766e-03 -7.631618e-02 -2.717806e-01"
RECTIFYING = "9.999239e-01 9.837760e-03 -7.445048e-03 -9.869795e-03 9.999421e-01 -4.278459e-03 \
7.402527e-03 4.351614e-03 9.999631e-01"
PROJECTING = {
    "02": "7.215377e+02 0 6.095593e+02 4.485728e+01 0 7.215377e+02 1.728540e+02 2.163791e-01 "
    "0 0 1 2.745884e-03",
    "03": "7.215377e+02 0 6.095593e+02 -3.395242e+02 0 7.215377e+02 1.728540e+02 2.199936e+00 "
    "0 0 1 2.729905e-03",
}


def build(root: Path, train: int = 6, test: int = 3, raw: str = "raw") -> None:
    """Write train images in two drives and test images in one, with lists in both known forms.

    The list of test images names one more, which the improved ground truth leaves out.

    Args:
        root: the folder.
        train: number of training images, each a rendered scene from 0 on.
        test: number of test images that have the improved ground truth.
        raw: folder of the raw data below the root.
    """
    lists: dict[str, list[str]] = {"train": [], "test": []}
    for index in range(train):
        drive, number = TRAIN_DRIVES[index % 2], FIRST_FRAME + index // 2
        write_frame(root, drive, number, index, raw=raw, part="train")
        path = f"{drive[:10]}/{drive}_sync/image_0{{}}/data/{number:010d}.jpg"
        lists["train"].append(f"{path.format(2)} {path.format(3)}")
    for position, number in enumerate((0, *range(FIRST_FRAME, FIRST_FRAME + test))):
        write_frame(root, TEST_DRIVE, number, train + position, raw=raw, part="val")
        lists["test"].append(f"{TEST_DRIVE[:10]}/{TEST_DRIVE}_sync {number:010d} l")
    (root / "splits").mkdir(exist_ok=True)
    for split, lines in lists.items():
        text = "\n".join(reversed(lines)) + "\n"
        (root / "splits" / f"eigen_{split}_files.txt").write_text(text, encoding="utf-8")


def write_frame(
    root: Path,
    drive: str,
    number: int,
    index: int,
    camera: str = "02",
    raw: str = "raw",
    part: str = "train",
) -> None:
    """Write a rendered scene as a frame: image, scan, calibration and improved ground truth."""
    date = root / raw / drive[:10]
    folder = date / f"{drive}_sync"
    image, depth = pixels(drive, index)
    _save(folder / f"image_{camera}" / "data" / f"{number:010d}.png", image)
    _write_calibration(date)
    scan = folder / "velodyne_points" / "data" / f"{number:010d}.bin"
    scan.parent.mkdir(parents=True, exist_ok=True)
    scan.write_bytes(scan_of(depth, camera).tobytes())
    if number >= FIRST_FRAME:
        annotated = root / "data_depth_annotated" / part / f"{drive}_sync" / "proj_depth"
        path = annotated / "groundtruth" / f"image_{camera}" / f"{number:010d}.png"
        _save(path, np.round(depth * measured(depth.shape) * 256).astype(np.uint16))


def pixels(drive: str, index: int) -> tuple[Array, Array]:
    """Return the image and depth of a scene, rendered small and enlarged to the official size."""
    frame = scene(index, 75, 207)
    height, width = SIZES[drive[:10]]
    image, depth = (
        part.repeat(5, axis=0).repeat(6, axis=1)[:height, :width]
        for part in (frame.image, frame.depth)
    )
    return image, depth


def measured(shape: tuple[int, ...]) -> Array:
    """Mark the pixels that a laser meets: each fourth of each third row, from the upper third."""
    marks = np.zeros(shape, bool)
    marks[shape[0] // 3 :: 3, 1::4] = True
    return marks


def scan_of(depth: Array, camera: str) -> Array:
    """Return points that appear at the `measured` pixels of a camera, N x 4 float32.

    Behind each is another that it hides, and some are behind the scanner.
    """
    rows, columns = np.nonzero(measured(depth.shape))
    near = points_at(rows, columns, depth[rows, columns], camera)
    far = points_at(rows, columns, depth[rows, columns] + 3, camera)
    points = np.concatenate([near, far, -near[::7]])
    return np.pad(points, ((0, 0), (0, 1)), constant_values=0.5).astype(np.float32)


def points_at(rows: Array, columns: Array, depth: Array, camera: str) -> Array:
    """Return the scanner's N x 3 coordinates of points at pixels, by solving the projection."""
    numbers = [np.array(text.split(), float) for text in (ROTATION, RECTIFYING, TRANSLATION)]
    rotation, rectifying, translation = (n.reshape(3, -1) for n in numbers)
    projecting = np.array(PROJECTING[camera].split(), float).reshape(3, 4)
    seen = np.stack([columns + 1, rows + 1, np.ones(len(rows))]) * depth  # pixels count from 1
    rectified = np.linalg.solve(projecting[:, :3], seen - projecting[:, 3:])
    points: Array = (rotation.T @ (rectifying.T @ rectified - translation)).T
    return points


def _write_calibration(date: Path) -> None:
    height, width = SIZES[date.name]
    size = f"{width:.6e} {height:.6e}"
    (date / "calib_velo_to_cam.txt").write_text(
        f"calib_time: 15-Mar-2012 11:37:16\nR: {ROTATION}\nT: {TRANSLATION}\n"
        "delta_f: 0.000000e+00 0.000000e+00\ndelta_c: 0.000000e+00 0.000000e+00\n",
        encoding="ascii",
    )
    cameras = "".join(
        f"S_{number}: 1.392000e+03 5.120000e+02\nS_rect_{number}: {size}\n"
        f"R_rect_{number}: 1 0 0 0 1 0 0 0 1\nP_rect_{number}: {projecting}\n"
        for number, projecting in PROJECTING.items()
    )
    (date / "calib_cam_to_cam.txt").write_text(
        "calib_time: 09-Jan-2012 13:57:47\ncorner_dist: 9.950000e-02\n"
        f"R_rect_00: {RECTIFYING}\n{cameras}",
        encoding="ascii",
    )


def _save(path: Path, array: Array) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path, compress_level=1)
