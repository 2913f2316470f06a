"""Ray hits in a scene, with the appearance of the surfaces."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dejavu.datasets.rooms import textures
from dejavu.datasets.rooms.arrangement import Item
from dejavu.datasets.rooms.classes import CLASSES
from dejavu.datasets.rooms.raycast import (
    Array,
    Group,
    Shape,
    Solid,
    intersect,
    leave_box,
    length,
    passes_sphere,
    rotate,
    slabs,
    unit_normals,
)
from dejavu.datasets.rooms.scenes import Scene

Indices = NDArray[np.int64]

FLAT = ("window", "picture", "rug")
"""Classes too thin to cast a visible shadow."""


@dataclass(frozen=True)
class Hits:
    """The first hits of N rays.

    Attributes:
        depth: ray parameter, N; metres along the optical axis for a camera's rays.
        item: index of the item, or -1 for the room itself, N.
        surface: index into the scene's materials, N.
        normal: unit normals in the world, towards the ray's origin, 3 x N.
        uv: coordinates on the surface, metres, 2 x N.
        face: the same over the whole face, in [-1, 1], 2 x N.
    """

    depth: Array
    item: Indices
    surface: Indices
    normal: Array
    uv: Array
    face: Array


class Tracer:
    """The scene's solids in arrays, for vectorised ray tracing.

    Solid 0 is the room, a box seen from inside.
    """

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        room = Solid(Shape.BOX, (0.0, 0.0, 0.0), tuple(scene.room / 2))
        owned = [(i, solid) for i, item in enumerate(scene.items) for solid in item.piece.solids]
        solids = [room, *(solid for _, solid in owned)]
        first = len(scene.shell) + np.cumsum([0, *(len(item.materials) for item in scene.items)])
        frames = [(-1, scene.room / 2, 1.0, 0.0), *(
            (i, scene.items[i].position, scene.items[i].cos, scene.items[i].sin) for i, _ in owned
        )]  # fmt: skip
        self.shape = np.array([s.shape for s in solids])
        self.centre = np.array([s.centre for s in solids]).T
        self.half = np.array([s.half for s in solids]).T
        self.taper = np.array([s.taper for s in solids])
        self.item = np.array([frame[0] for frame in frames])
        self.position = np.array([frame[1] for frame in frames]).T
        self.cos = np.array([frame[2] for frame in frames])
        self.sin = np.array([frame[3] for frame in frames])
        self.surface = np.array([0, *(first[i] + solid.part for i, solid in owned)])
        self.groups = [Group.of(item.piece.solids) for item in scene.items]
        self.spheres = [_bounding_sphere(item) for item in scene.items]
        kinds = [item.piece.kind for item in scene.items]
        self.casters = [i for i, kind in enumerate(kinds) if kind not in FLAT]

    def trace(self, origin: Array, direction: Array) -> Hits:
        """Return the first hits of rays from one point inside the room.

        Args:
            origin: 3 x 1, in the world.
            direction: 3 x N, in the world.
        """
        half = self.scene.room / 2
        best = leave_box(half, origin - half[:, None], direction)
        solid = np.zeros(best.shape, np.int64)
        lengths = length(direction)
        first = 1
        for index, item in enumerate(self.scene.items):
            middle, radius = self.spheres[index]
            near = np.flatnonzero(passes_sphere(direction, lengths, middle - origin, radius))
            start = rotate(origin - item.position[:, None], item.cos, -item.sin)
            near, rays, _ = self._meet_bounds(index, near, start, direction[:, near], best[near])
            for group in self.groups[index] if len(near) else ():
                t = intersect(group, start, rays)
                member = t.argmin(0)
                nearest = t[member, np.arange(len(near))]
                closer = nearest < best[near]
                best[near[closer]] = nearest[closer]
                solid[near[closer]] = first + group.members[member[closer]]
            first += len(item.piece.solids)
        return self._describe(best, solid, origin + best * direction)

    def _meet_bounds(
        self, index: int, chosen: Indices, start: Array, direction: Array, limit: Array | float
    ) -> tuple[Indices, Array, Indices]:
        """Keep the chosen rays that meet an item's bounding box before ``limit``.

        ``start`` is already in the item's frame; directions are rotated into it. Also returns the
        positions of the kept rays among the chosen ones.
        """
        item = self.scene.items[index]
        low, high = (corner[:, None] for corner in item.piece.bounds)
        rays = rotate(direction, item.cos, -item.sin)
        enter, leave = slabs((low + high) / 2, (high - low) / 2, start, rays)
        kept = np.flatnonzero((enter <= leave) & (enter < limit) & (leave > 0))
        return chosen[kept], rays[:, kept], kept

    def _describe(self, depth: Array, solid: Indices, point: Array) -> Hits:
        """Look up each hit's item and surface, and compute its normal and surface coordinates."""
        assert np.isfinite(depth).all(), "a ray left the closed room"
        cos, sin, half = self.cos[solid], self.sin[solid], self.half[:, solid]
        shape = self.shape[solid]
        local = rotate(point - self.position[:, solid], cos, -sin) - self.centre[:, solid]
        unit = local / half
        outward = unit_normals(shape, self.taper[solid], unit) / half
        is_room = solid == 0
        normal = rotate(outward / length(outward), cos, sin) * np.where(is_room, -1.0, 1.0)
        axis = np.abs(outward * half).argmax(0)
        surface = np.where(is_room, _shell_surface(axis, unit), self.surface[solid])
        uv, face = _face_coordinates(shape, axis, local, unit, half)
        return Hits(depth, self.item[solid], surface, normal, uv, face)

    def visible(
        self, point: Array, light: Array, centre: Array, radius: float, owner: int
    ) -> NDArray[np.bool_]:
        """Tell which points see a light.

        Args:
            point: 3 x N.
            light: 3 x N or 3 x 1, one position on the light for each point.
            centre: 3 x 1, the light's centre.
            radius: all positions are within this distance of the centre.
            owner: index of an item that casts no shadow, or -1.
        """
        lit = np.ones(point.shape[1], bool)
        from_light = point - centre
        lengths = length(from_light)
        towards = light - point
        for index in self.casters:
            if index == owner:
                continue
            item, (middle, reach) = self.scene.items[index], self.spheres[index]
            near = passes_sphere(from_light, lengths, middle - centre, reach + radius) & lit
            chosen = np.flatnonzero(near)
            start = rotate(point[:, chosen] - item.position[:, None], item.cos, -item.sin)
            chosen, rays, kept = self._meet_bounds(index, chosen, start, towards[:, chosen], 1.0)
            for group in self.groups[index] if len(chosen) else ():
                lit[chosen] &= (intersect(group, start[:, kept], rays) >= 1).all(0)
        return lit


def labels(scene: Scene, hits: Hits) -> NDArray[np.uint8]:
    """Return the class of each hit, N."""
    kinds = [CLASSES.index(item.piece.kind) for item in scene.items]
    shell = np.minimum(hits.surface, 2)  # floor, ceiling, wall
    return np.where(hits.item < 0, shell, np.array([*kinds, 0])[hits.item]).astype(np.uint8)


def _bounding_sphere(item: Item) -> tuple[Array, float]:
    low, high = item.piece.bounds
    half = (high - low) / 2
    return item.to_world((low + high) / 2)[:, None], float(np.sqrt((half * half).sum()))


def _shell_surface(axis: Indices, unit: Array) -> Indices:
    """Return the index of the room's surface at a point on the unit cube."""
    is_high = np.take_along_axis(unit, axis[None], 0)[0] > 0
    return np.asarray(np.where(axis == 2, 0, 2 + 2 * axis) + is_high)


def _face_coordinates(
    shape: Indices, axis: Indices, local: Array, unit: Array, half: Array
) -> tuple[Array, Array]:
    """Return coordinates on the face, across and up, in metres and in [-1, 1].

    Round sides are unrolled by their angle.
    """
    is_round = (shape != Shape.BOX) & ((axis < 2) | (shape == Shape.ELLIPSOID))
    first, second = np.where(axis == 0, 1, 0), np.where(axis == 2, 1, 2)
    columns = np.arange(len(axis))
    uv = np.stack([local[first, columns], local[second, columns]])
    face = np.stack([unit[first, columns], unit[second, columns]])
    if is_round.any():
        angle = np.arctan2(unit[1, is_round], unit[0, is_round])
        uv[:, is_round] = np.stack([angle * half[0, is_round], local[2, is_round]])
        face[:, is_round] = np.stack([angle / np.pi, unit[2, is_round]])
    return uv, face


def albedo(scene: Scene, hits: Hits, pixel: Array) -> tuple[Array, Array, Array]:
    """Return the hits' colour (linear RGB, 3 x N), gloss (N) and glow (N).

    Args:
        scene: the scene, with its materials.
        hits: N hits.
        pixel: size of each pixel on its surface, metres, N.
    """
    materials = [*scene.shell, *(m for item in scene.items for m in item.materials)]
    table = np.array(
        [(*m.colour, *m.accent, *m.phase, m.scale, m.gloss, m.glow) for m in materials]
    ).T
    kinds = np.array([m.texture for m in materials])
    colour, second, phase, (scale, gloss, glow) = np.split(table[:, hits.surface], [3, 6, 8])
    u, v = hits.uv / scale + phase
    a, b = hits.face
    surface = textures.Surface(u, v, a, b, phase[0], pixel / scale)
    share = textures.accent(kinds[hits.surface], surface)
    return np.clip(colour + share * (second - colour), 0, 1), gloss, glow
