"""Scans in a camera, against a loop over the points, and errors about damaged files."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dejavu.datasets.kitti.lidar import Projection, project, read_projection, read_scan
from dejavu.datasets.reading.raw import Array
from dejavu.runtime.errors import DataError

few = settings(max_examples=15)

AHEAD = np.array([[0.0, -1.0, 0.0], [0.0, 0.0, -1.0], [1.0, 0.0, 0.0]])
"""From forward, left, up to right, down, forward."""


def turned(draws: np.random.Generator, matrix: Array) -> Array:
    """A rotation by a few degrees about a random axis, then ``matrix``."""
    x, y, z = draws.normal(0, 0.05, 3)
    skew = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.linalg.solve(np.eye(3) - skew / 2, np.eye(3) + skew / 2) @ matrix  # Cayley's


def drawn_calibration(draws: np.random.Generator) -> dict[str, Array]:
    projecting = np.array([[9.0, 0, 7.5, 1.2], [0, 8.0, 5.5, -0.6], [0, 0, 1, 0.003]])
    return {
        "R": turned(draws, AHEAD),
        "T": draws.normal(0, 0.3, 3),
        "R_rect_00": turned(draws, np.eye(3)),
        "P_rect_02": projecting,
        "P_rect_03": projecting + np.array([[0, 0, 0, -5.0], [0] * 4, [0] * 4]),
    }


def write_calibration(folder: Path, values: dict[str, Array], size: tuple[int, int]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    lines = {key: " ".join(f"{n:.17e}" for n in value.ravel()) for key, value in values.items()}
    (folder / "calib_velo_to_cam.txt").write_text(
        f"calib_time: 15-Mar-2012 11:37:16\nR: {lines['R']}\nT: {lines['T']}\n"
    )
    height, width = size
    cameras = [f"{key}: {lines[key]}\n" for key in ("R_rect_00", "P_rect_02", "P_rect_03")]
    sizes = f"S_rect_02: {width}.0 {height}.0\nS_rect_03: {width}.0 {height}.0\n"
    (folder / "calib_cam_to_cam.txt").write_text(
        "corner_dist: 9.95e-02\n" + sizes + "".join(cameras)
    )


def loop(points: Array, values: dict[str, Array], camera: str, size: tuple[int, int]) -> Array:
    """The projection point by point, by the steps of the calibration's own documentation."""
    depth = np.zeros(size, np.float32)
    for point in points.astype(np.float64):
        if point[0] < 0:
            continue
        unrectified = values["R"] @ point + values["T"]
        rectified = np.append(values["R_rect_00"] @ unrectified, 1.0)
        x, y, w = values[f"P_rect_{camera}"] @ rectified
        if w <= 0:
            continue
        column, row = round(x / w) - 1, round(y / w) - 1
        if not (0 <= column < size[1] and 0 <= row < size[0]):
            continue
        if depth[row, column] == 0 or point[0] < depth[row, column]:
            depth[row, column] = point[0]
    return depth


@few
@given(seed=st.integers(0, 10**6), camera=st.sampled_from(["02", "03"]))
def test_the_projection_is_that_of_a_loop(
    tmp_path_factory: pytest.TempPathFactory, seed: int, camera: str
) -> None:
    draws = np.random.default_rng(seed)
    values, size = drawn_calibration(draws), (12, 16)
    write_calibration(folder := tmp_path_factory.mktemp("day"), values, size)
    points = draws.uniform([-2, -9, -6], [9, 9, 6], (900, 3)).astype(np.float32)
    depth = project(points, read_projection(folder, camera))
    assert depth.dtype == np.float32
    assert 30 < (depth > 0).sum() < depth.size
    np.testing.assert_array_equal(depth, loop(points, values, camera, size))


def flat(height: int, width: int) -> Projection:
    """A camera where the scanner is, with a focal length of one pixel."""
    return Projection(np.hstack([AHEAD, np.zeros((3, 1))]), height, width)


def at(column: float, row: float, forward: float) -> list[float]:
    return [forward, -column * forward, -row * forward]


@pytest.mark.parametrize("order", [slice(None), slice(None, None, -1)])
def test_the_nearest_of_the_points_of_a_pixel_counts(order: slice) -> None:
    points = np.array([at(2, 1, 8), at(2, 1, 3), at(2, 1, 5)], np.float32)[order]
    assert project(points, flat(1, 3)).tolist() == [[0, 3, 0]]


def test_the_last_and_first_pixels_of_two_rows_are_two_pixels() -> None:
    points = np.array([at(3, 1, 8), at(1, 2, 4)], np.float32)
    assert project(points, flat(2, 3)).tolist() == [[0, 0, 8], [4, 0, 0]]


def test_pixels_count_from_one_and_halves_round_to_even() -> None:
    points = np.array([at(0.5, 1, 2), at(1.5, 1, 4), at(2.5, 1, 1), at(3.5, 1, 1)], np.float32)
    assert project(points, flat(1, 3)).tolist() == [[0, 1, 0]]


def test_points_behind_are_not_seen() -> None:
    points = np.array([at(1, 1, -2), at(1, 1, 0), [np.nan, 1, 1]], np.float32)
    assert project(points, flat(1, 1)).tolist() == [[0]]


def test_points_behind_the_scanner_are_dropped_though_a_camera_sees_them() -> None:
    camera = Projection(np.hstack([AHEAD, [[0], [0], [1]]]), 1, 1)  # one metre behind the scanner
    seen, behind = [0.5, -1.5, -1.5], [-0.5, -0.5, -0.5]
    assert project(np.array([behind], np.float32), camera).tolist() == [[0]]
    assert project(np.array([behind, seen], np.float32), camera).tolist() == [[0.5]]


def test_a_scan_is_read_without_its_reflectance(tmp_path: Path) -> None:
    values = np.arange(12, dtype="<f4").reshape(3, 4)
    (tmp_path / "scan.bin").write_bytes(values.tobytes())
    np.testing.assert_array_equal(read_scan(tmp_path / "scan.bin"), values[:, :3])


@pytest.mark.parametrize("size", [0, 12, 33])
def test_a_truncated_scan_is_refused(tmp_path: Path, size: int) -> None:
    (tmp_path / "scan.bin").write_bytes(bytes(size))
    with pytest.raises(DataError, match=rf"scan\.bin: has {size} bytes"):
        read_scan(tmp_path / "scan.bin")


def test_a_missing_scan_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"scan\.bin: cannot be read \(No such file"):
        read_scan(tmp_path / "scan.bin")


@pytest.mark.parametrize(
    ("name", "old", "new", "message"),
    [
        ("calib_velo_to_cam.txt", "R: ", "r: ", "has no R"),
        ("calib_cam_to_cam.txt", "R_rect_00", "R_rect_01", "has no R_rect_00"),
        ("calib_cam_to_cam.txt", "S_rect_02: 16.0", "S_rect_02: ", "S_rect_02 must be 2 numbers"),
        ("calib_cam_to_cam.txt", "P_rect_02: ", "P_rect_02: x", "P_rect_02 must be 12 numbers"),
        ("calib_cam_to_cam.txt", "P_rect_02: ", "P_rect_02: é", "P_rect_02 must be 12 numbers"),
    ],
)
def test_a_damaged_calibration_is_refused(
    tmp_path: Path, name: str, old: str, new: str, message: str
) -> None:
    write_calibration(tmp_path, drawn_calibration(np.random.default_rng(0)), (12, 16))
    path = tmp_path / name
    path.write_text(path.read_text().replace(old, new), encoding="utf-8")
    with pytest.raises(DataError, match=rf"{name}: {message}"):
        read_projection(tmp_path, "02")


def test_a_missing_calibration_says_which_archive(tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match=r"calib_cam_to_cam\.txt: is missing.*2011_09_26_calib\.zip"
    ):
        read_projection(tmp_path / "2011_09_26", "02")
