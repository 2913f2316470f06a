"""Surface normals of a depth map, by fitting a plane around each pixel."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


def normals_from_depth(
    depth: Array,
    intrinsics: tuple[float, float, float, float],
    radius: int = 5,
    jump: float = 0.05,
) -> NDArray[np.float32]:
    """Compute surface normals from a depth map.

    A plane n . P = d seen along the rays (x, y, 1) has the inverse depth 1 / z = n . (x, y, 1) / d,
    which is linear in the ray. So a least-squares fit of 1 / z over a window gives the normal
    directly, and its weights suit a structured-light sensor, whose disparity is proportional to
    1 / z. Neighbours beyond a jump in depth belong to another surface and are left out; where two
    surfaces meet without a jump, normals within the radius are a mixture of the two.

    Args:
        depth: H x W metres along the optical axis; 0 or not finite where unknown.
        intrinsics: fx, fy, cx and cy in pixels, with the top left pixel's centre at (0.5, 0.5).
        radius: half width of the square window: its side is 2 radius + 1 pixels.
        jump: largest difference between the inverse depths of a neighbour and of the centre,
            relative to the centre's.

    Returns:
        H x W x 3 unit vectors in the camera frame (x right, y down, z forward), towards the
        camera; the zero vector where the depth is unknown, or where less than a quarter of the
        window can be fitted.

    Raises:
        ValueError: the depth is not H x W, or a setting is out of range.

    Example:
        >>> wall = np.full((8, 8), 2.0)
        >>> normals_from_depth(wall, (8.0, 8.0, 4.0, 4.0))[4, 4, 2].item()
        -1.0
    """
    if depth.ndim != 2:
        raise ValueError(f"depth: has shape {depth.shape}; must be H x W")
    if radius < 1 or not jump > 0:
        raise ValueError(f"radius={radius} must be at least 1, and jump={jump} must be above 0")
    known = np.isfinite(depth) & (depth > 0)
    inverse = np.divide(1, depth, out=np.zeros(depth.shape), where=known).astype(np.float32)
    count, a, b, c = _planes(inverse, radius, jump)
    # From 1 / z = a du + b dv + c, around each pixel, to a function of its ray (x, y, 1).
    fx, fy, cx, cy = intrinsics
    v, u = np.indices(depth.shape) + 0.5
    away = np.stack([a * fx, b * fy, c - a * (u - cx) - b * (v - cy)], axis=-1)
    length = np.linalg.norm(away, axis=-1, keepdims=True)
    fitted = known & (count >= (2 * radius + 1) ** 2 / 4)
    normals = np.zeros(away.shape, np.float32)
    np.divide(away, -length, out=normals, where=fitted[..., None], casting="same_kind")
    return normals


def _planes(inverse: Array, radius: int, jump: float) -> tuple[Array, Array, Array, Array]:
    """Fit a du + b dv + c to the inverse depths around each pixel.

    Returns:
        Number of fitted neighbours (0 where they do not span a plane), a, b and c; H x W each.
    """
    sums = [total.astype(np.float64) for total in _sums(inverse, radius, jump)]
    n, u, v, uu, uv, vv, d, ud, vd = sums
    n = np.maximum(n, 1)
    # Moments about the means reduce the three equations to two.
    uu, uv, vv = uu - u * u / n, uv - u * v / n, vv - v * v / n
    ud, vd = ud - u * d / n, vd - v * d / n
    determinant = uu * vv - uv * uv
    spans = determinant > 1e-6
    a = np.divide(ud * vv - vd * uv, determinant, out=np.zeros_like(n), where=spans)
    b = np.divide(vd * uu - ud * uv, determinant, out=np.zeros_like(n), where=spans)
    return np.where(spans, n, 0), a, b, inverse + (d - a * u - b * v) / n


def _sums(inverse: Array, radius: int, jump: float) -> tuple[Array, ...]:
    """Sum 1, u, v, u^2, u v, v^2, d, u d and v d over the neighbours on each pixel's surface.

    u and v are a neighbour's offsets, and d is its inverse depth minus the centre's: small
    numbers, for whose sums float32 is precise enough.
    """
    n, u, v, uu, uv, vv, d, ud, vd = (np.zeros(inverse.shape, np.float32) for _ in range(9))
    limit = jump * inverse
    steps = range(-radius, radius + 1)
    for dv in steps:
        row = [np.zeros(inverse.shape, np.float32) for _ in range(5)]
        for du in steps:
            here, there = _overlap(inverse.shape, (dv, du))
            excess = inverse[there] - inverse[here]
            # An unknown centre has the limit 0, so that it has no neighbours.
            same = (np.abs(excess) < limit[here]) & (inverse[there] > 0)
            excess *= same
            terms = (same, du * same, du * du * same, excess, du * excess)
            for total, term in zip(row, terms, strict=True):
                total[here] += term
        for total, term in zip((n, u, uu, d, ud), row, strict=True):
            total += term
        v += dv * row[0]
        vv += dv * dv * row[0]
        uv += dv * row[1]
        vd += dv * row[3]
    return n, u, v, uu, uv, vv, d, ud, vd


def _overlap(
    shape: tuple[int, ...], offset: tuple[int, ...]
) -> tuple[tuple[slice, ...], tuple[slice, ...]]:
    """Return the pixels whose neighbour at an offset is inside the map, and those neighbours."""
    sides = list(zip(shape, offset, strict=True))
    here = tuple(slice(max(0, -step), max(0, size - max(0, step))) for size, step in sides)
    there = tuple(slice(max(0, step), max(0, size - max(0, -step))) for size, step in sides)
    return here, there
