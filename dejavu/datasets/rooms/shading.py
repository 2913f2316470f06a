"""Light on surfaces: lamps with soft shadows, sun through the window, and ambient light.

Images are 3 x N arrays of the pixels in row-major order.
"""

import numpy as np

from dejavu.datasets.rooms.raycast import Array, dot, length
from dejavu.datasets.rooms.scenes import Light, Scene
from dejavu.datasets.rooms.tracing import Hits, Tracer

SUN = (5.2, 4.5, 3.3)
"""Radiance of sunlight, linear RGB."""

SUN_DISTANCE = 40.0
"""Distance of the sun in metres, far enough for nearly parallel rays."""


def shade(
    tracer: Tracer,
    hits: Hits,
    direction: Array,
    colour: Array,
    gloss: Array,
    glow: Array,
    size: tuple[int, int],
) -> Array:
    """Return the light that reaches the camera, linear RGB, 3 x N.

    Args:
        tracer: the scene, for shadow rays.
        hits: the pixels' hits.
        direction: the pixels' rays, 3 x N.
        colour: albedo, 3 x N.
        gloss: strength of highlights, N.
        glow: emitted light in units of the colour, N.
        size: height and width of the image, whose product is N.
    """
    scene = tracer.scene
    point = scene.camera.position[:, None] + hits.depth * direction
    lifted = point + 2e-3 * hits.normal
    view = -direction / length(direction)
    diffuse = _ambient(tracer, hits, point)
    shine = np.zeros_like(diffuse)
    for light in scene.lights:
        to_light = light.position[:, None] - point
        distance = length(to_light)
        to_light /= distance
        seen = _soft_shadow(tracer, light, lifted, hits, size)
        strength = seen / (0.6 + 0.25 * distance * distance)
        tint = np.array(light.colour)[:, None]
        diffuse += tint * (strength * _facing(hits.normal, to_light))
        shine += tint * (strength * _highlight(hits.normal, to_light, view))
    diffuse += _sunlight(tracer, lifted, hits)
    return colour * (diffuse + 2 * glow) + gloss * shine


def _facing(normal: Array, direction: Array) -> Array:
    return np.asarray(np.maximum(dot(normal, direction), 0))


def _highlight(normal: Array, to_light: Array, view: Array) -> Array:
    """Blinn's highlight with exponent 32."""
    half = to_light + view
    cosine = _facing(normal, half / length(half))
    return np.asarray(cosine**32)


def _ambient(tracer: Tracer, hits: Hits, point: Array) -> Array:
    """Return the ambient light: tinted by the floor from below, darker in corners and at items."""
    scene = tracer.scene
    level = np.array(scene.ambient)[:, None]
    floor = np.array(scene.shell[0].colour)[:, None]
    up = 0.5 + 0.5 * hits.normal[2]
    light = level * (up + (1 - up) * (0.45 + 0.55 * floor / floor.max()))
    open_share = np.ones(hits.depth.shape)
    for axis in range(3):
        for side, distance in ((1, point[axis]), (-1, scene.room[axis] - point[axis])):
            turned = 0.5 - 0.5 * side * hits.normal[axis]
            open_share *= 1 - 0.55 * turned * np.exp(-distance / 0.3)
    for index in tracer.casters:
        contact = _contact(scene.items[index].bounds, point)
        open_share *= 1 - contact * (hits.item != index)
    return np.asarray(light * open_share)


def _contact(bounds: tuple[Array, Array], point: Array) -> Array:
    """Return the share of light that an item with these bounds blocks at points close to it."""
    low, high = (corner[:, None] for corner in bounds)
    nearest = np.clip(point, low, high) - point
    distance = length(nearest)
    return np.asarray(0.45 * np.exp(-distance / 0.14))


def _soft_shadow(
    tracer: Tracer, light: Light, point: Array, hits: Hits, size: tuple[int, int]
) -> Array:
    """Return the visible share of a light, from one shadow ray per pixel.

    Each pixel of a 3 x 3 pattern samples another spot of the light, and the nine neighbours are
    averaged where they lie on the same surface and have similar normals.
    """
    height, width = size
    rows, columns = np.divmod(np.arange(height * width), width)
    spot = (rows % 3 * 3 + columns % 3) * 5 % 9
    angle = 2.4 * spot  # the golden angle: spots spread evenly over a disc
    reach = light.radius * np.sqrt((spot + 0.5) / 9)
    offset = np.stack([reach * np.cos(angle), reach * np.sin(angle), 0 * reach])
    centre = light.position[:, None]
    seen = np.ones(height * width)
    # Points that face away from the whole light are dark anyway.
    facing = dot(centre - point, hits.normal) > -light.radius
    lit = np.flatnonzero(facing)
    spots = centre + offset[:, lit]
    seen[lit] = tracer.visible(point[:, lit], spots, centre, light.radius, light.owner)
    key = hits.surface * 8 + np.rint(hits.normal * 1.4).astype(np.int64).sum(0)
    return _average_alike(seen.reshape(size), key.reshape(size)).ravel()


def _average_alike(values: Array, key: np.ndarray[tuple[int, int], np.dtype[np.int64]]) -> Array:
    """Average 3 x 3 neighbours that have the same key."""
    height, width = values.shape
    wide_values, wide_key = np.pad(values, 1), np.pad(key, 1, constant_values=-99)
    total, count = np.zeros_like(values), np.zeros_like(values)
    for i in range(3):
        for j in range(3):
            alike = wide_key[i : i + height, j : j + width] == key
            total += alike * wide_values[i : i + height, j : j + width]
            count += alike
    return total / count


def _sunlight(tracer: Tracer, point: Array, hits: Hits) -> Array:
    """Return the sunlight through the first window's pane, with the shadows of its bars."""
    scene = tracer.scene
    light = np.zeros((3, point.shape[1]))
    if scene.sun is None:
        return light
    sun = scene.sun[:, None]
    cosine = _facing(hits.normal, sun)
    share = _through_window(scene, point, sun)
    lit = np.flatnonzero(cosine * share > 0)
    far = point[:, lit] + SUN_DISTANCE * sun
    middle = (scene.room / 2)[:, None] + SUN_DISTANCE * sun
    reach = float(np.sqrt((scene.room**2).sum()) / 2)
    seen = tracer.visible(point[:, lit], far, middle, reach, -1)
    amount = (cosine * share)[lit] * seen
    light[:, lit] = np.array(SUN)[:, None] * amount
    return light


def _through_window(scene: Scene, point: Array, sun: Array) -> Array:
    """Return the share of the sun that reaches each point through the window's opening."""
    window = scene.items[0]
    pane = window.piece.solids[0]
    across = np.array([window.cos, window.sin, 0.0])[:, None]
    inwards = np.array([-window.sin, window.cos, 0.0])[:, None]
    away = point - window.position[:, None]
    depth = dot(away, inwards)
    t = -depth / dot(sun, inwards)
    crossing = away + t * sun
    x, z = dot(crossing, across), crossing[2]
    soft = 0.02 + 0.015 * t
    share = np.clip((pane.half[0] - np.abs(x)) / soft + 0.5, 0, 1)
    share *= np.clip((pane.half[2] - np.abs(z)) / soft + 0.5, 0, 1)
    share *= np.clip((np.abs(x) - 0.03) / soft + 0.5, 0, 1)
    return np.asarray(share * (t > 0))


def develop(radiance: Array, exposure: float) -> Array:
    """Map linear radiance to display values in [0, 1]: a shoulder, then the power law 1 / 2.2."""
    exposed = 1.15 * exposure * radiance
    mapped = exposed * (1 + exposed / 9) / (1 + exposed)  # extended Reinhard, white at 3
    return np.asarray(np.clip(mapped * 1.25, 0, 1) ** (1 / 2.2))
