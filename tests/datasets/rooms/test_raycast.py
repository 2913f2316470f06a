"""Intersections against bisection of an inside test, which shares no formula with them."""

import numpy as np
import pytest

from dejavu.datasets.rooms.raycast import (
    Group,
    Shape,
    Solid,
    intersect,
    leave_box,
    length,
    passes_sphere,
    rotate,
    unit_normals,
)

SOLIDS = {
    "box": Solid(Shape.BOX, (0.3, -0.2, 0.5), (0.6, 1.1, 0.4)),
    "ellipsoid": Solid(Shape.ELLIPSOID, (-0.4, 0.1, 0.2), (0.9, 0.5, 0.7)),
    "cylinder": Solid(Shape.FRUSTUM, (0.2, 0.3, -0.1), (0.5, 0.5, 0.8)),
    "cone": Solid(Shape.FRUSTUM, (0.0, 0.2, 0.1), (0.8, 0.8, 0.9), taper=0.0),
    "lamp shade": Solid(Shape.FRUSTUM, (0.1, 0.0, 0.0), (0.7, 0.7, 0.5), taper=0.4),
    "pot": Solid(Shape.FRUSTUM, (0.1, 0.0, 0.0), (0.5, 0.5, 0.6), taper=1.4),
}
COUNT = 300


def inside(solid: Solid, points: np.ndarray) -> np.ndarray:
    """Tell which points (... x 3) are in a solid, by its definition."""
    q = (points - np.array(solid.centre)) / np.array(solid.half)
    if solid.shape == Shape.BOX:
        return (np.abs(q) <= 1).all(-1)
    if solid.shape == Shape.ELLIPSOID:
        return np.linalg.norm(q, axis=-1) <= 1
    height = (q[..., 2] + 1) / 2
    radius = 1 + (solid.taper - 1) * height
    return (np.hypot(q[..., 0], q[..., 1]) <= radius) & (height >= 0) & (height <= 1)


def rays() -> tuple[np.ndarray, np.ndarray]:
    """Rays from a sphere of radius 4 towards the middle, N x 3 each; directions of any length."""
    rng = np.random.default_rng(7)
    origin = rng.normal(size=(COUNT, 3))
    origin *= 4 / np.linalg.norm(origin, axis=1, keepdims=True)
    target = rng.uniform(-0.9, 0.9, (COUNT, 3))
    return origin, (target - origin) * rng.uniform(0.5, 2, (COUNT, 1))


def first_inside(solid: Solid, origin: np.ndarray, direction: np.ndarray, steps: int) -> float:
    """March along a ray, then bisect between the last point outside and the first inside."""
    t = np.linspace(0, 12 / np.linalg.norm(direction), steps)
    hit = inside(solid, origin + t[:, None] * direction)
    if not hit.any():
        return np.inf
    high = t[hit.argmax()]
    low = high - t[1]
    for _ in range(50):
        middle = (low + high) / 2
        if inside(solid, origin + middle * direction):
            high = middle
        else:
            low = middle
    return high


@pytest.mark.parametrize("name", SOLIDS)
def test_rays_enter_solids_where_bisection_says(name: str) -> None:
    solid = SOLIDS[name]
    origin, direction = rays()
    (group,) = Group.of([solid])
    found = intersect(group, origin.T, direction.T)[0]
    expected = [first_inside(solid, o, d, 1500) for o, d in zip(origin, direction, strict=True)]
    expected = np.array(expected)
    both = np.isfinite(found) & np.isfinite(expected)
    assert both.sum() > COUNT / 4
    assert np.isinf(found).sum() > COUNT / 20
    np.testing.assert_allclose(found[both], expected[both], atol=1e-9)
    # Marching can step over a corner, but then little of the ray is inside.
    for i in np.flatnonzero(np.isfinite(found) != np.isfinite(expected)):
        assert np.isinf(expected[i])
        points = origin[i] + (found[i] + np.linspace(0, 0.02, 999))[:, None] * direction[i]
        assert inside(solid, points).sum() > 0


def test_solids_behind_the_origin_are_not_hit() -> None:
    origin, direction = rays()
    for group in Group.of(list(SOLIDS.values())):
        assert np.isinf(intersect(group, origin.T, -direction.T)).all()


def test_rays_along_the_axes_do_not_divide_by_zero() -> None:
    directions = np.concatenate([np.eye(3), -np.eye(3)]).T
    with np.errstate(all="raise", under="ignore"):
        for name, solid in SOLIDS.items():
            (group,) = Group.of([solid])
            # Off the axis by a little, since a cone's very tip is a matter of rounding.
            centre = np.array(solid.centre)[:, None] + 1e-3 * (directions == 0)
            found = intersect(group, centre - 5 * directions, directions)[0]
            # A cone has its tip on the upper half of the axis and half its radius in the middle.
            half = np.array(solid.half)
            middle = half * ([(1 + solid.taper) / 2] * 2 + [1])
            np.testing.assert_allclose(found, 5 - np.tile(middle, 2), atol=5e-3, err_msg=name)


def test_groups_keep_the_order_of_their_members() -> None:
    solids = list(SOLIDS.values())
    origin, direction = rays()
    for group in Group.of(solids):
        together = intersect(group, origin.T, direction.T)
        for row, member in enumerate(group.members):
            assert solids[member].shape == group.shape
            (alone,) = Group.of([solids[member]])
            np.testing.assert_array_equal(together[row], intersect(alone, origin.T, direction.T)[0])


@pytest.mark.parametrize("name", SOLIDS)
def test_normals_are_at_right_angles_to_nearby_hits(name: str) -> None:
    solid = SOLIDS[name]
    origin, direction = rays()
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    (group,) = Group.of([solid])

    def hits(shift: np.ndarray) -> np.ndarray:
        start = origin + shift
        t = intersect(group, start.T, direction.T)[0][:, None]
        return start + np.where(np.isfinite(t), t, np.nan) * direction

    side = np.cross(direction, [0.3, 0.5, 0.8])
    middle, left, right = hits(0 * side), hits(1e-5 * side), hits(-1e-5 * side)
    up = np.cross(direction, side)
    above, below = hits(1e-5 * up), hits(-1e-5 * up)
    seen = np.isfinite([middle, left, right, above, below]).all((0, 2))
    # At an edge the two halves of the difference disagree.
    smooth = seen & (np.abs(left + right - 2 * middle).max(1) < 1e-8)
    smooth &= np.abs(above + below - 2 * middle).max(1) < 1e-8
    assert smooth.sum() > COUNT / 5

    unit = ((middle - np.array(solid.centre)) / np.array(solid.half))[smooth].T
    shape, taper = np.full(unit.shape[1], solid.shape), np.full(unit.shape[1], solid.taper)
    normal = unit_normals(shape, taper, unit) / np.array(solid.half)[:, None]
    normal = (normal / length(normal)).T
    expected = np.cross((left - right)[smooth], (above - below)[smooth])
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    expected *= -np.sign((expected * direction[smooth]).sum(1, keepdims=True))
    np.testing.assert_allclose(normal, expected, atol=1e-3)


def test_rays_leave_a_box_on_its_surface() -> None:
    rng = np.random.default_rng(3)
    half = np.array([2.0, 1.5, 1.2])
    origin = rng.uniform(-1, 1, (3, 50)) * half[:, None]
    direction = rng.normal(size=(3, 50))
    point = origin + leave_box(half, origin, direction) * direction
    np.testing.assert_allclose(np.abs(point / half[:, None]).max(0), 1)


def test_the_cone_test_finds_exactly_the_rays_near_a_sphere() -> None:
    rng = np.random.default_rng(5)
    direction = rng.normal(size=(3, 400))
    centre, radius = np.array([[1.0], [2.0], [0.5]]), 0.9
    along = np.maximum((direction * centre).sum(0) / (direction**2).sum(0), 0)
    expected = np.linalg.norm(along * direction - centre, axis=0) <= radius
    found = passes_sphere(direction, np.linalg.norm(direction, axis=0), centre, radius)
    np.testing.assert_array_equal(found, expected)
    assert 0 < expected.sum() < 400
    assert passes_sphere(direction, np.linalg.norm(direction, axis=0), centre, 3.0).all()


def test_rotation_turns_x_to_y() -> None:
    turned = rotate(np.array([[1.0], [0.0], [2.0]]), 0.0, 1.0)
    np.testing.assert_allclose(turned[:, 0], [0, 1, 2])
