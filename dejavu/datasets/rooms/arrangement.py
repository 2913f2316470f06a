"""Arrangement of furniture in a room: against walls, around tables, on top of other pieces.

The world has x and y on the floor and z up, with the origin in a corner of the room; metres.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from dejavu.datasets.rooms import furniture
from dejavu.datasets.rooms.furniture import Piece, Rng
from dejavu.datasets.rooms.materials import Material
from dejavu.datasets.rooms.raycast import Array


@dataclass(frozen=True)
class Item:
    """A piece of furniture at its place: turned by ``yaw`` about z, then moved to ``position``."""

    piece: Piece
    position: Array
    yaw: float
    materials: tuple[Material, ...] = ()

    @cached_property
    def cos(self) -> float:
        """Cosine of the yaw."""
        return float(np.cos(self.yaw))

    @cached_property
    def sin(self) -> float:
        """Sine of the yaw."""
        return float(np.sin(self.yaw))

    def to_world(self, point: Array) -> Array:
        """Map a point (3) of the piece's frame to the world."""
        x, y, z = point
        turned = (self.cos * x - self.sin * y, self.sin * x + self.cos * y, z)
        return np.array(turned) + self.position

    @cached_property
    def bounds(self) -> tuple[Array, Array]:
        """The corners of an axis-aligned box in the world that holds the item."""
        low, high = self.piece.bounds
        centre, half = self.to_world((low + high) / 2), (high - low) / 2
        c, s = abs(self.cos), abs(self.sin)
        reach = np.array([c * half[0] + s * half[1], s * half[0] + c * half[1], half[2]])
        return centre - reach, centre + reach


def furnish(room: Array, place: Array, rng: Rng) -> list[Item]:
    """Fill a room with furniture, still without materials; windows come first.

    Args:
        room: width, depth and height.
        place: x and y of the camera, which stays free.
        rng: source of all random choices.

    Example:
        >>> room = np.array([5.0, 4.0, 2.6])
        >>> items = furnish(room, np.array([1.0, 1.0]), np.random.default_rng(0))
        >>> all((item.bounds[1] <= room + 0.01).all() for item in items)
        True
    """
    return _Layout(room, place, rng).furnish()


class _Layout:
    """Places furniture without overlap; pieces that fit nowhere are left out."""

    def __init__(self, room: Array, place: Array, rng: Rng) -> None:
        self.room, self.rng = room, rng
        self.items: list[Item] = []
        # Nothing may stand where the camera does.
        x, y = place
        self.taken: list[tuple[list[float], list[float]]] = [
            ([x - 0.6, y - 0.6, 0.0], [x + 0.6, y + 0.6, room[2]])
        ]

    def furnish(self) -> list[Item]:
        rng = self.rng
        self._along_wall(furniture.window, height=(1.45, 1.6))
        if rng.random() < 0.4:
            self._along_wall(furniture.window, height=(1.45, 1.6))
        if rng.random() < 0.75:
            self._sofa_group()
        if rng.random() < 0.75:
            self._table_group()
        for _ in range(int(rng.integers(1, 4))):
            self._along_wall(furniture.cabinet)
        for make, chance in (
            (furniture.floor_lamp, 0.6),
            (furniture.plant, 0.8),
            (furniture.plant, 0.4),
            (furniture.chair, 0.3),
        ):
            if rng.random() < chance:
                self._along_wall(make)
        for item in tuple(self.items):
            self._decorate(item)
        for _ in range(int(rng.integers(1, 4))):
            self._along_wall(furniture.picture, height=(1.5, 1.75))
        if rng.random() < 0.65:
            self._hang_lamp()
        return self.items

    def _add(self, item: Item) -> bool:
        """Add the item unless it overlaps another or leaves the room; tell whether it was added."""
        low, high = (corner.tolist() for corner in item.bounds)
        if min(low) < -0.01 or any(h > r + 0.01 for h, r in zip(high, self.room, strict=True)):
            return False
        if any(_overlap(low, high, *other) for other in self.taken):
            return False
        self.items.append(item)
        self.taken.append((low, high))
        return True

    def _along_wall(
        self, make: Callable[[Rng], Piece], height: tuple[float, float] = (0.0, 0.0)
    ) -> Item | None:
        """Try some places with the back to a wall, and return the item if one was free."""
        piece = make(self.rng)
        low, high = piece.bounds
        z = self.rng.uniform(*height)
        for item in self._wall_places(piece, -low[1], (low[0], high[0]), z):
            if self._add(item):
                return item
        return None

    def _wall_places(
        self, piece: Piece, offset: float, span: tuple[float, float], z: float
    ) -> Iterator[Item]:
        for _ in range(8):
            wall = int(self.rng.integers(4))
            length = self.room[wall % 2]
            margin = 0.04
            if span[1] - span[0] > length - 2 * margin:
                continue
            along = self.rng.uniform(margin - span[0], length - margin - span[1])
            away = offset + 1e-3
            x, y = (
                (along, away),
                (self.room[0] - away, along),
                (length - along, self.room[1] - away),
                (away, self.room[1] - along),
            )[wall]
            yield Item(piece, np.array([x, y, z]), wall * np.pi / 2)

    def _sofa_group(self) -> None:
        """A sofa and, where there is room, a coffee table on a rug before it."""
        sofa = self._along_wall(furniture.sofa)
        if sofa is None:
            return
        front = sofa.to_world(np.array([0, 1.25, 0]))
        table = Item(furniture.table(self.rng, low=True), front, sofa.yaw)
        if self._add(table) or self.rng.random() < 0.5:
            self._lay_rug(front, sofa.yaw)

    def _table_group(self) -> None:
        """A dining table in the open, with chairs that face it and sometimes a rug."""
        rng = self.rng
        table = furniture.table(rng)
        _, high = table.bounds
        for _ in range(6):
            place = np.array([*rng.uniform(0.8, self.room[:2] - 0.8), 0])
            yaw = int(rng.integers(4)) * np.pi / 2 + rng.uniform(-0.2, 0.2)
            item = Item(table, place, yaw)
            if self._add(item):
                break
        else:
            return
        chair = furniture.chair(rng)
        for side in range(4):
            if rng.random() < 0.7:
                reach = high[1 - side % 2] + rng.uniform(0.28, 0.42)
                turn = side * np.pi / 2
                seat = np.array([-reach * np.sin(turn), reach * np.cos(turn), 0])
                facing = yaw + turn + np.pi + rng.uniform(-0.15, 0.15)
                self._add(Item(chair, item.to_world(seat), facing))
        if rng.random() < 0.35:
            self._lay_rug(place, yaw)

    def _lay_rug(self, place: Array, yaw: float) -> None:
        """Lay the room's only rug; it may lie under furniture, so only the walls limit it."""
        item = Item(furniture.rug(self.rng), np.array([place[0], place[1], 0]), yaw)
        low, high = item.bounds
        is_first = all(other.piece.kind != "rug" for other in self.items)
        if is_first and (low >= 0).all() and (high <= self.room).all():
            self.items.append(item)

    def _decorate(self, item: Item) -> None:
        """Sometimes put a plant or a lamp on a table or a low cabinet."""
        low, high = item.piece.bounds
        if item.piece.kind not in ("table", "cabinet") or high[2] > 1.3:
            return
        if self.rng.random() < 0.6:
            is_lamp = item.piece.kind == "cabinet" and self.rng.random() < 0.6
            make = furniture.table_lamp if is_lamp else furniture.small_plant
            x = self.rng.uniform(-0.3, 0.3) * (high[0] - low[0])
            place = item.to_world(np.array([x, 0, high[2] + 1e-3]))
            self._add(Item(make(self.rng), place, self.rng.uniform(0, 2 * np.pi)))

    def _hang_lamp(self) -> None:
        piece = furniture.pendant(self.rng)
        _, high = piece.bounds
        x, y = self.room[:2] / 2 + self.rng.uniform(-0.4, 0.4, 2)
        self._add(Item(piece, np.array([x, y, self.room[2] - high[2]]), 0.0))


def _overlap(
    low: Sequence[float], high: Sequence[float], low2: Sequence[float], high2: Sequence[float]
) -> bool:
    return all(a < d and c < b for a, b, c, d in zip(low, high, low2, high2, strict=True))
