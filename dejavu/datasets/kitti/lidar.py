"""Laser scans projected into a camera: the depth of the raw variant of KITTI."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dejavu.datasets.reading.raw import Array
from dejavu.datasets.reading.text import read_text
from dejavu.runtime.errors import DataError

_VALUES_PER_POINT = 4
"""Forward, left, up (metres) and reflectance, float32 each."""


@dataclass(frozen=True)
class Projection:
    """Projection of a scanner's points into a camera image.

    Attributes:
        matrix: 3 x 4 float64, from homogeneous scanner coordinates (metres) to homogeneous image
            coordinates, P_rect R_rect_00 [R | T] in the names of the calibration files.
        height: of the image, pixels.
        width: of the image, pixels.
    """

    matrix: Array
    height: int
    width: int


def read_projection(folder: Path, camera: str) -> Projection:
    """Read the projection of a camera from ``calib_cam_to_cam.txt`` and ``calib_velo_to_cam.txt``.

    Args:
        folder: folder of the two files.
        camera: number of the camera, such as ``02``.

    Raises:
        DataError: a file is missing or damaged; the message names it.
    """
    between, scanner = folder / "calib_cam_to_cam.txt", folder / "calib_velo_to_cam.txt"
    cameras, velodyne = _read_calibration(between), _read_calibration(scanner)
    rotation = _matrix(scanner, velodyne, "R", (3, 3))
    translation = _matrix(scanner, velodyne, "T", (3, 1))
    rectifying = _matrix(between, cameras, "R_rect_00", (3, 3))
    projecting = _matrix(between, cameras, f"P_rect_{camera}", (3, 4))
    width, height = _matrix(between, cameras, f"S_rect_{camera}", (2,)).astype(int)
    # The rectifying rotation leaves the homogeneous 1 unchanged.
    rigid = np.vstack([rectifying @ np.hstack([rotation, translation]), [0, 0, 0, 1]])
    return Projection(projecting @ rigid, int(height), int(width))


def read_scan(path: Path) -> Array:
    """Read a Velodyne scan, N x 3 float32: metres forward, left and up.

    Raises:
        DataError: the file is missing, empty or truncated.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); unpack it again") from None
    size = _VALUES_PER_POINT * 4
    if not content or len(content) % size:
        raise DataError(
            f"{path}: has {len(content)} bytes, not a multiple of {size} (one point): truncated or "
            "damaged; unpack the download again"
        )
    return np.frombuffer(content, "<f4").reshape(-1, _VALUES_PER_POINT)[:, :3]


def project(points: Array, projection: Projection) -> Array:
    """Project a scan to the depth map that the Eigen split of KITTI is scored against.

    As in the evaluation code of monodepth (Godard et al. 2017), which later work shares: depth
    is a point's distance *ahead of the scanner*, about 0.27 m more than along the camera's
    optical axis; pixels are the rounded coordinates (half to even) minus 1; the nearest point in
    a pixel counts. Points beside or behind the scanner or the camera are dropped.

    Args:
        points: N x 3 float32, metres forward, left and up.
        projection: of the camera.

    Returns:
        H x W float32 metres, 0 where there is no point.

    Example:
        >>> ahead = np.array([[0.0, -1.0, 0.0], [0.0, 0.0, -1.0], [1.0, 0.0, 0.0]])
        >>> camera = Projection(np.hstack([ahead, [[0.0], [0.0], [0.0]]]), 1, 2)
        >>> project(np.array([[5.0, -5.0, -5.0], [4.0, -8.0, -4.0]], np.float32), camera).tolist()
        [[5.0, 4.0]]
    """
    height, width = projection.height, projection.width
    points = points[points[:, 0] >= 0]
    x, y, w = projection.matrix[:, :3] @ points.T + projection.matrix[:, 3:]
    front = w > 0
    columns, rows = (np.round(axis[front] / w[front]) - 1 for axis in (x, y))
    inside = (columns >= 0) & (columns < width) & (rows >= 0) & (rows < height)
    pixels = (rows[inside] * width + columns[inside]).astype(np.int64)
    depth = np.full(height * width, np.inf, np.float32)
    np.minimum.at(depth, pixels, points[front, 0][inside])
    return np.where(np.isinf(depth), np.float32(0), depth).reshape(height, width)


def _read_calibration(path: Path) -> dict[str, str]:
    try:
        text = read_text(path)
    except FileNotFoundError:
        raise DataError(
            f"{path}: is missing: unpack that day's calibration, {path.parent.name}_calib.zip"
        ) from None
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read ({error}); unpack it again") from None
    pairs = (line.partition(":") for line in text.splitlines())
    return {key: values for key, _, values in pairs}


def _matrix(path: Path, values: dict[str, str], key: str, shape: tuple[int, ...]) -> Array:
    try:
        return np.array(values[key].split(), np.float64).reshape(shape)
    except KeyError:
        raise DataError(f"{path}: has no {key}: truncated or damaged; unpack it again") from None
    except ValueError:
        raise DataError(
            f"{path}: {key} must be {np.prod(shape)} numbers, not {values[key].strip()!r}: "
            "truncated or damaged; unpack it again"
        ) from None
