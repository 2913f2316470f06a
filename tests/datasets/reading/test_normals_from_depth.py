import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import maximum_filter, minimum_filter

from dejavu.datasets.reading.normals_from_depth import normals_from_depth
from dejavu.datasets.reading.raw import Array
from dejavu.datasets.rooms import render_scene
from dejavu.datasets.rooms.scenes import RoomsSpec

few = settings(max_examples=15)
CAMERA = (40.0, 44.0, 15.2, 11.7)


def rays(shape: tuple[int, int], camera: tuple[float, float, float, float]) -> Array:
    """The ray (x, y, 1) through the centre of each pixel."""
    fx, fy, cx, cy = camera
    columns, rows = np.meshgrid(np.arange(shape[1]), np.arange(shape[0]))
    return np.stack([(columns + 0.5 - cx) / fx, (rows + 0.5 - cy) / fy, np.ones(shape)], axis=-1)


def plane(shape: tuple[int, int], normal: Array, distance: float) -> Array:
    """Depth of a plane at a distance from the camera, whose normal is towards it."""
    depth: Array = -distance / (rays(shape, CAMERA) @ normal)
    return depth


def unit(*components: float) -> Array:
    vector = np.array(components)
    scaled: Array = vector / np.linalg.norm(vector)
    return scaled


def degrees(a: Array, b: Array) -> Array:
    """Angle between unit vectors along the last axis."""
    cosine = np.clip((a.astype(np.float64) * b).sum(axis=-1), -1, 1)
    found: Array = np.degrees(np.arccos(cosine))
    return found


@few
@given(
    x=st.floats(-0.6, 0.6),
    y=st.floats(-0.6, 0.6),
    distance=st.floats(0.5, 9),
    radius=st.integers(1, 4),
)
def test_a_plane_has_its_normal_everywhere(
    x: float, y: float, distance: float, radius: int
) -> None:
    normal = unit(x, y, -1)
    depth = plane((24, 30), normal, distance)
    found = normals_from_depth(depth, CAMERA, radius, jump=10.0)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, np.broadcast_to(normal, found.shape), atol=1e-4)


def by_loop(depth: Array, radius: int, jump: float) -> Array:
    """Fit each pixel's plane by itself, with NumPy's least squares."""
    ray, found = rays((depth.shape[0], depth.shape[1]), CAMERA), np.zeros((*depth.shape, 3))
    for row, column in np.argwhere(depth > 0):
        window = tuple(slice(max(0, k - radius), k + radius + 1) for k in (row, column))
        near, centre = depth[window], depth[row, column]
        with np.errstate(divide="ignore"):
            same = (near > 0) & (np.abs(1 / near - 1 / centre) < jump / centre)
        if same.sum() < (2 * radius + 1) ** 2 / 4 or np.linalg.matrix_rank(ray[window][same]) < 3:
            continue
        away = np.linalg.lstsq(ray[window][same], 1 / near[same], rcond=None)[0]
        found[row, column] = -away / np.linalg.norm(away)
    return found


@few
@given(seed=st.integers(0, 10**6), radius=st.integers(1, 3))
def test_fits_are_those_of_least_squares_pixel_by_pixel(seed: int, radius: int) -> None:
    """Over two surfaces with noise, and pixels that are not known."""
    rng = np.random.default_rng(seed)
    depth = plane((13, 17), unit(*rng.uniform(-0.4, 0.4, 2), -1), 2.0)
    depth[:, 9:] *= 1.3
    depth *= rng.uniform(0.99, 1.01, depth.shape)
    depth[rng.random(depth.shape) < 0.2] = 0
    found = normals_from_depth(depth, CAMERA, radius, jump=0.1)
    np.testing.assert_allclose(found, by_loop(depth, radius, 0.1), atol=2e-3)


def test_surfaces_on_both_sides_of_a_jump_do_not_mix() -> None:
    left, right = unit(0.3, 0.1, -1), unit(-0.2, 0.4, -1)
    depth = plane((24, 30), left, 2.0)
    depth[:, 15:] = plane((24, 30), right, 4.0)[:, 15:]
    found = normals_from_depth(depth, CAMERA, radius=3, jump=0.2)
    np.testing.assert_allclose(found[:, :15], np.broadcast_to(left, (24, 15, 3)), atol=1e-4)
    np.testing.assert_allclose(found[:, 15:], np.broadcast_to(right, (24, 15, 3)), atol=1e-4)


@pytest.mark.parametrize("unknown", [0.0, np.nan, np.inf, -1.0])
def test_unknown_depth_has_no_normal_and_disturbs_none(unknown: float) -> None:
    normal = unit(0.2, -0.3, -1)
    depth = plane((24, 30), normal, 2.0)
    depth[5:9, 5:9] = unknown
    found = normals_from_depth(depth, CAMERA, radius=3, jump=5.0)
    assert not found[5:9, 5:9].any()
    found[5:9, 5:9] = normal
    np.testing.assert_allclose(found, np.broadcast_to(normal, found.shape), atol=1e-4)


def test_too_few_neighbours_give_no_normal() -> None:
    depth = np.zeros((24, 30))
    depth[10, 10] = depth[3:5, 3:5] = 2.0
    depth[18] = 2.0  # a line spans no plane
    assert not normals_from_depth(depth, CAMERA, radius=2).any()
    assert not normals_from_depth(depth, CAMERA, radius=1)[18, 1:-1].any()
    assert not normals_from_depth(np.full((1, 1), 2.0), CAMERA, radius=5).any()


def test_normals_point_towards_the_camera() -> None:
    spec = RoomsSpec(height=60, width=80)
    frame = render_scene(spec, "train", 1)
    found = normals_from_depth(frame.depth, frame.intrinsics)
    facing = (found * rays((60, 80), frame.intrinsics)).sum(axis=-1)
    assert (facing[found.any(axis=-1)] < 0).all()


def test_normals_of_rooms_are_close_to_the_exact_ones() -> None:
    """Within twice what was measured, degrees, mean and 95 %, with 11 x 11 windows.

    More than a window away from creases 0.45 and 0.02, and 2.0 and 5.4 with 1 cm of noise in the
    depth; near creases, where windows hold two surfaces, 17 and 57.
    """
    away, near, noisy = [], [], []
    rng = np.random.default_rng(0)
    for index in range(2):
        frame = render_scene(RoomsSpec(height=240, width=320), "train", index)
        size = (11, 11, 1)
        spread = maximum_filter(frame.normals, size) - minimum_filter(frame.normals, size)
        crease = spread.max(axis=-1) > 1e-3
        found = normals_from_depth(frame.depth, frame.intrinsics)
        known = found.any(axis=-1)
        assert known.mean() > 0.98
        error = degrees(found, frame.normals)
        away.append(error[known & ~crease])
        near.append(error[known & crease])
        measured = frame.depth + rng.normal(0, 0.01, frame.depth.shape)
        error = degrees(normals_from_depth(measured, frame.intrinsics), frame.normals)
        noisy.append(error[known & ~crease])
    for errors, mean, most in ((away, 0.9, 0.04), (near, 25, 80), (noisy, 4, 11)):
        pooled = np.concatenate(errors)
        assert pooled.mean() < mean
        assert np.quantile(pooled, 0.95) < most


@pytest.mark.parametrize("settings", [{"radius": 0}, {"jump": 0.0}, {"jump": np.nan}])
def test_impossible_settings_are_refused(settings: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=f"{next(iter(settings))}={next(iter(settings.values()))}"):
        normals_from_depth(np.ones((4, 4)), CAMERA, **settings)  # type: ignore[arg-type]


def test_a_depth_that_is_no_map_is_refused() -> None:
    with pytest.raises(ValueError, match=r"depth: has shape \(1, 4, 4\); must be H x W"):
        normals_from_depth(np.ones((1, 4, 4)), CAMERA)
