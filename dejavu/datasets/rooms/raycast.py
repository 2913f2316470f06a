"""Rays against solids: boxes, ellipsoids and frusta (cylinders and cones among them).

Every solid is a unit shape scaled along its own axes. Dividing a ray's origin and direction by
the scale leaves the ray parameter t unchanged, so only unit shapes are ever intersected.
Vectors are component-first arrays, 3 x N.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

TINY = 1e-12
"""Replaces a zero component of a direction, to avoid a division by zero."""


class Shape(IntEnum):
    """Unit shapes: all fit in [-1, 1]^3, with z as the axis of the frustum."""

    BOX = 0
    ELLIPSOID = 1
    FRUSTUM = 2


@dataclass(frozen=True)
class Solid:
    """A shape in the frame of its object.

    Attributes:
        shape: which unit shape.
        centre: its centre, metres.
        half: its half extents, metres.
        taper: top radius over bottom radius of a frustum (1: cylinder, 0: cone); others have 1.
        part: index of its material among the object's materials.
    """

    shape: Shape
    centre: tuple[float, float, float]
    half: tuple[float, float, float]
    taper: float = 1.0
    part: int = 0


@dataclass(frozen=True)
class Group:
    """K solids of one shape in one frame, which are intersected together.

    Attributes:
        shape: which unit shape.
        members: indices of the solids in their original list, K.
        centre: 3 x K x 1.
        half: 3 x K x 1.
        taper: K x 1.
    """

    shape: Shape
    members: NDArray[np.int64]
    centre: Array
    half: Array
    taper: Array

    @classmethod
    def of(cls, solids: Sequence[Solid]) -> "list[Group]":
        """Sort solids into groups by shape."""
        groups = []
        for shape in Shape:
            members = [i for i, solid in enumerate(solids) if solid.shape == shape]
            if members:
                centre = np.array([solids[i].centre for i in members]).T[..., None]
                half = np.array([solids[i].half for i in members]).T[..., None]
                taper = np.array([[solids[i].taper] for i in members])
                groups.append(cls(shape, np.array(members), centre, half, taper))
        return groups


def intersect(group: Group, origin: Array, direction: Array) -> Array:
    """Return the ray parameters t > 0, K x N, at which rays enter solids; inf where they miss.

    Args:
        group: K solids; rays are in the frame of their object and start outside of them.
        origin: 3 x N or 3 x 1.
        direction: 3 x N, of any length: the hit point is ``origin + t * direction``.

    Example:
        >>> (ball,) = Group.of([Solid(Shape.ELLIPSOID, (0, 0, 5), (1, 1, 1))])
        >>> intersect(ball, np.zeros((3, 1)), np.array([[0, 0, 1.0], [0, 1, 0]]).T).tolist()
        [[4.0, inf]]
    """
    if group.shape == Shape.BOX:
        enter, leave = slabs(group.centre, group.half, origin, direction)
        return np.where((enter < leave) & (enter > 0), enter, np.inf)
    local_origin = (origin[:, None] - group.centre) / group.half
    local_direction = direction[:, None] / group.half
    if group.shape == Shape.ELLIPSOID:
        return _enter_sphere(local_origin, local_direction)
    return _enter_frustum(local_origin, local_direction, group.taper)


def leave_box(half: Array, origin: Array, direction: Array) -> Array:
    """Return t at which rays from inside leave the box of half extents ``half`` about 0.

    Args:
        half: 3 half extents, metres.
        origin: 3 x N or 3 x 1, inside the box.
        direction: 3 x N.

    Example:
        >>> leave_box(np.array([2.0, 2, 3]), np.zeros((3, 1)), np.array([[1.0, 0, 0]]).T).tolist()
        [2.0]
    """
    return slabs(np.zeros((3, 1)), half[:, None], origin, direction)[1]


def slabs(centre: Array, half: Array, origin: Array, direction: Array) -> tuple[Array, Array]:
    """Return t at which rays enter and leave boxes; they miss where enter > leave.

    Args:
        centre: 3 x K x 1 or 3 x 1, metres.
        half: half extents, of the same shape.
        origin: 3 x N or 3 x 1.
        direction: 3 x N.

    Returns:
        Two arrays, K x N or N.
    """
    enter, leave = np.array(-np.inf), np.array(np.inf)
    for axis in range(3):
        inverse = 1 / np.where(direction[axis] == 0, TINY, direction[axis])
        middle = (centre[axis] - origin[axis]) * inverse
        reach = half[axis] * np.abs(inverse)
        enter, leave = np.maximum(enter, middle - reach), np.minimum(leave, middle + reach)
    return enter, leave


def _enter_sphere(origin: Array, direction: Array) -> Array:
    a = dot(direction, direction)
    b = dot(origin, direction)
    discriminant = b * b - a * (dot(origin, origin) - 1)
    t = (-b - np.sqrt(np.maximum(discriminant, 0))) / a
    return np.where((discriminant > 0) & (t > 0), t, np.inf)


def _enter_frustum(origin: Array, direction: Array, taper: Array) -> Array:
    """Take the nearest of four candidates: two on the side and two on the caps.

    The side is x^2 + y^2 = (middle + slope z)^2 with -1 <= z <= 1.
    """
    (ox, oy, oz), (dx, dy, dz) = origin, np.where(direction == 0, TINY, direction)
    middle, slope = (1 + taper) / 2, (taper - 1) / 2
    radius = middle + slope * oz
    a = dx * dx + dy * dy - (slope * dz) ** 2
    a = np.where(a == 0, TINY, a)
    b = ox * dx + oy * dy - slope * radius * dz
    discriminant = b * b - a * (ox * ox + oy * oy - radius * radius)
    root = np.sqrt(np.maximum(discriminant, 0))
    best = np.full(np.broadcast(ox, dx).shape, np.inf)
    for t in ((-b - root) / a, (-b + root) / a):
        valid = (discriminant > 0) & (np.abs(oz + t * dz) <= 1) & (t > 0)
        best = np.minimum(best, np.where(valid, t, np.inf))
    for side, cap in ((-1, np.ones_like(taper)), (1, taper)):
        t = (side - oz) / dz
        valid = ((ox + t * dx) ** 2 + (oy + t * dy) ** 2 <= cap * cap) & (t > 0)
        best = np.minimum(best, np.where(valid, t, np.inf))
    return best


def unit_normals(shape: NDArray[np.int64], taper: Array, point: Array) -> Array:
    """Return outward normals of unit shapes, not normalised, 3 x N.

    A scaled shape's normal is this one divided by its half extents (the inverse transpose).

    Args:
        shape: N values of `Shape`.
        taper: N tapers.
        point: 3 x N points on the unit shapes.
    """
    size = np.abs(point)
    face = size >= size.max(0)
    normal = np.where(shape == Shape.ELLIPSOID, point, np.sign(point) * face)
    x, y, z = point
    slope = (taper - 1) / 2
    side = np.stack([x, y, -slope * ((1 + taper) / 2 + slope * z)])
    cap = np.stack([0 * z, 0 * z, np.sign(z)])
    # Points on a cap have |z| = 1 but for rounding.
    frustum = np.where(np.abs(z) > 1 - 1e-9, cap, side)
    return np.where(shape == Shape.FRUSTUM, frustum, normal)


def passes_sphere(
    direction: Array, lengths: Array, centre: Array, radius: float
) -> NDArray[np.bool_]:
    """Tell which rays from the origin come within ``radius`` of ``centre`` (a cone test).

    Args:
        direction: 3 x N.
        lengths: N lengths of the directions.
        centre: 3 x 1.
        radius: metres.

    Returns:
        N booleans.

    Example:
        >>> rays = np.array([[0, 0, 1.0], [0, 1, 0]]).T
        >>> passes_sphere(rays, np.ones(2), np.array([[0, 0.5, 4.0]]).T, 1.0).tolist()
        [True, False]
    """
    tangent = float(dot(centre, centre)[0]) - radius * radius
    if tangent <= 0:  # the origin is inside
        return np.ones(lengths.shape, bool)
    return np.asarray(dot(direction, centre) >= lengths * np.sqrt(tangent))


def rotate(vectors: Array, cos: float | Array, sin: float | Array) -> Array:
    """Rotate 3 x N vectors about z by the angle with this cosine and sine."""
    x, y, z = vectors
    return np.stack([cos * x - sin * y, sin * x + cos * y, z + 0 * cos])


def dot(a: Array, b: Array) -> Array:
    """Return the N scalar products of 3 x N (or 3 x 1) vectors, summed in a fixed order."""
    return np.asarray(a[0] * b[0] + a[1] * b[1] + a[2] * b[2])


def length(vectors: Array) -> Array:
    """Return the N lengths of 3 x N vectors."""
    return np.asarray(np.sqrt(dot(vectors, vectors)))
