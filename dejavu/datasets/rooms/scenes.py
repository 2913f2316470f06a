"""Sampling of a scene: room, camera, furniture, materials and light, but no pixels.

The world has x and y on the floor and z up, with the origin in a corner of the room. The camera
has x right, y down and z forward. Lengths are metres.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from dejavu.datasets.rooms.arrangement import Item, furnish
from dejavu.datasets.rooms.furniture import Rng
from dejavu.datasets.rooms.materials import Material, draw_material
from dejavu.datasets.rooms.raycast import Array

FIELD_OF_VIEW = 72.0
"""Horizontal field of view of the fixed camera, degrees."""

SPLITS = ("train", "val", "test")
"""Splits in the order of their numbers, which are part of every scene's seed."""


@dataclass(frozen=True)
class RoomsSpec:
    """The settings of all scenes of a data set.

    Attributes:
        height: image height in pixels.
        width: image width in pixels.
        coupling: how strongly materials depend on the class, in [0, 1]; see `materials`.
        noise: standard deviation of the sensor noise, in units of white.
        varied_intrinsics: draw the field of view per scene (50 to 95 degrees).
        seed: seed of all scenes.

    Raises:
        ValueError: a field is out of its range.
    """

    height: int = 64
    width: int = 64
    coupling: float = 0.7
    noise: float = 0.02
    varied_intrinsics: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        checks = {
            "height": (self.height >= 1, "at least 1"),
            "width": (self.width >= 1, "at least 1"),
            "coupling": (0 <= self.coupling <= 1, "in [0, 1]"),
            "noise": (0 <= self.noise <= 1, "in [0, 1]"),
            "seed": (self.seed >= 0, "at least 0"),
        }
        for name, (valid, allowed) in checks.items():
            if not valid:
                raise ValueError(f"{name} must be {allowed}, not {getattr(self, name)}")


@dataclass(frozen=True)
class Camera:
    """A pinhole camera.

    Attributes:
        position: its centre in the world, 3.
        rotation: 3 x 3; its columns are the camera's x, y and z axes in the world.
        field_of_view: horizontal, degrees.
    """

    position: Array
    rotation: Array
    field_of_view: float


def intrinsics(field_of_view: float, height: int, width: int) -> tuple[float, float, float, float]:
    """Return fx, fy, cx and cy in pixels of a camera with square pixels.

    The top left pixel's centre is at (0.5, 0.5).

    Args:
        field_of_view: horizontal, degrees.
        height: of the image, pixels.
        width: of the image, pixels.

    Example:
        >>> [round(value, 6) for value in intrinsics(90.0, 48, 64)]
        [32.0, 32.0, 32.0, 24.0]
    """
    focal = width / 2 / float(np.tan(np.radians(field_of_view) / 2))
    return focal, focal, width / 2, height / 2


@dataclass(frozen=True)
class Light:
    """A small spherical light.

    Attributes:
        position: its centre, 3.
        colour: linear RGB radiance at one metre.
        radius: of the sphere; the larger, the softer its shadows.
        owner: index of the item that holds the light (and casts no shadow of it), or -1.
    """

    position: Array
    colour: tuple[float, float, float]
    radius: float
    owner: int = -1


@dataclass(frozen=True)
class Scene:
    """A complete description of a scene to render.

    Attributes:
        room: the room's width, depth and height.
        shell: materials of the floor, the ceiling and the four walls (x low, x high, y low,
            y high).
        items: the furniture.
        camera: the camera.
        lights: lamps.
        sun: direction towards the sun (3), seen through the first window, or None.
        ambient: linear RGB of the ambient light.
        exposure: exposure factor of the camera.
    """

    room: Array
    shell: tuple[Material, ...]
    items: tuple[Item, ...]
    camera: Camera
    lights: tuple[Light, ...]
    sun: Array | None
    ambient: tuple[float, float, float]
    exposure: float


def streams(spec: RoomsSpec, split: str, index: int) -> tuple[Rng, Rng, Rng]:
    """Return the random streams of one scene: geometry, materials, sensor.

    They depend on (seed, split, index) alone.
    """
    seeds = np.random.SeedSequence([spec.seed, SPLITS.index(split), index]).spawn(3)
    geometry, materials, sensor = (np.random.Generator(np.random.Philox(s)) for s in seeds)
    return geometry, materials, sensor


def sample_scene(spec: RoomsSpec, split: str, index: int) -> Scene:
    """Draw scene ``index`` of a split.

    Geometry, camera and light depend on neither the coupling nor the image size.

    Example:
        >>> scene = sample_scene(RoomsSpec(), "train", 0)
        >>> bool((scene.camera.position < scene.room).all())
        True
    """
    rng, material_rng, _ = streams(spec, split, index)
    room = np.array([rng.uniform(3.4, 6.0), rng.uniform(3.4, 6.0), rng.uniform(2.4, 3.0)])
    place = rng.uniform(0.45, room[:2] - 0.45)
    placed = furnish(room, place, rng)
    camera = _camera(room, place, placed, rng, spec.varied_intrinsics)
    shell = ("floor", "ceiling", "wall", "wall", "wall", "wall")
    materials = [draw_material(slot, spec.coupling, material_rng) for slot in shell]
    # One colour all around, but for a feature wall in some rooms.
    walls = [materials[2]] * 4
    feature = int(material_rng.integers(12))
    if feature < 4:
        walls[feature] = materials[3]
    items = tuple(_paint(item, spec.coupling, material_rng) for item in placed)
    daylight = float(rng.uniform(0.25, 1.0))
    return Scene(
        room=room,
        shell=(materials[0], materials[1], *walls),
        items=items,
        camera=camera,
        lights=_lights(room, items, daylight, rng),
        sun=_sun(items, daylight, rng),
        ambient=_ambient(daylight),
        exposure=float(rng.uniform(0.9, 1.2)),
    )


def _paint(item: Item, coupling: float, rng: Rng) -> Item:
    materials = tuple(draw_material(slot, coupling, rng) for slot in item.piece.slots)
    return replace(item, materials=materials)


def _camera(room: Array, place: Array, items: Sequence[Item], rng: Rng, varied: bool) -> Camera:
    """Choose, of five directions, the one with the most furniture in view, then free space."""
    yaw = max(
        rng.uniform(0, 2 * np.pi, 5).tolist(), key=lambda yaw: _interest(room, place, yaw, items)
    )
    position = np.array([*place, rng.uniform(1.15, 1.8)])
    pitch = np.radians(np.clip(rng.normal(-12, 6), -26, 6))
    roll = np.radians(np.clip(rng.normal(0, 1.5), -4, 4))
    field_of_view = float(rng.uniform(50, 95))
    rotation = _rotation(float(yaw), float(pitch), float(roll))
    return Camera(position, rotation, field_of_view if varied else FIELD_OF_VIEW)


def _interest(room: Array, place: Array, yaw: float, items: Sequence[Item]) -> float:
    """Count the items within 30 degrees, at least 1.2 m away; add the distance to the wall."""
    direction = np.array([np.cos(yaw), np.sin(yaw)])
    to_wall = np.where(direction > 0, room[:2] - place, place)
    free = (to_wall / np.maximum(np.abs(direction), 1e-9)).min()
    away = np.array([item.position[:2] - place for item in items]).reshape(-1, 2)
    ahead = away[:, 0] * np.cos(yaw) + away[:, 1] * np.sin(yaw)
    aside = away[:, 1] * np.cos(yaw) - away[:, 0] * np.sin(yaw)
    return float(free + ((ahead > 1.2) & (np.abs(aside) < 0.58 * ahead)).sum())


def _rotation(yaw: float, pitch: float, roll: float) -> Array:
    """Return the camera's axes as columns: x right, y down, z forward, then rolled about z."""
    cy, sy, cp, sp = np.cos(yaw), np.sin(yaw), np.cos(pitch), np.sin(pitch)
    forward = np.array([cy * cp, sy * cp, sp])
    right = np.array([sy, -cy, 0.0])
    down = np.array([cy * sp, sy * sp, -cp])
    c, s = np.cos(roll), np.sin(roll)
    return np.stack([c * right + s * down, c * down - s * right, forward], axis=1)


def _lights(room: Array, items: tuple[Item, ...], daylight: float, rng: Rng) -> tuple[Light, ...]:
    """Return a light from above (a hanging lamp's, if there is one), and one other lamp's."""
    lamps = [i for i, item in enumerate(items) if item.piece.light is not None]
    hanging = [i for i in lamps if items[i].position[2] > 1.5]
    others = [i for i in lamps if i not in hanging]
    spot = np.array([*(room[:2] * rng.uniform(0.35, 0.65, 2)), room[2] - 0.25])
    power = float(rng.uniform(1.5, 2.6))
    warm = float(rng.uniform(0.62, 0.8))
    owner = hanging[0] if hanging else -1
    position = _light_position(items[owner]) if hanging else spot
    lights = [Light(position, (power, 0.93 * power, warm * power), 0.25, owner)]
    if others:
        glow = 0.9 - 0.4 * daylight
        position = _light_position(items[others[0]])
        lights.append(Light(position, (glow, 0.72 * glow, 0.42 * glow), 0.12, others[0]))
    return tuple(lights)


def _light_position(item: Item) -> Array:
    assert item.piece.light is not None
    return item.to_world(np.array(item.piece.light))


def _sun(items: tuple[Item, ...], daylight: float, rng: Rng) -> Array | None:
    """Choose a direction that lets the sun in through the first window."""
    azimuth, altitude = rng.uniform(-0.9, 0.9), rng.uniform(0.35, 0.85)
    if daylight < 0.45 or items[:1] == () or items[0].piece.kind != "window":
        return None
    outwards = items[0].yaw - np.pi / 2 + azimuth
    horizontal = np.cos(altitude)
    x, y = horizontal * np.cos(outwards), horizontal * np.sin(outwards)
    return np.array([x, y, np.sin(altitude)])


def _ambient(daylight: float) -> tuple[float, float, float]:
    """Blueish by day, warm and dim in the evening."""
    level = 0.2 + 0.25 * daylight
    return level * (1.02 - 0.12 * daylight), level * 0.95, level * (0.82 + 0.26 * daylight)
