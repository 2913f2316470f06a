"""Decoded copies of images that are read in place: one flat file per split and role.

Every pixel is stored exactly as read, so that a cache changes no result, only the reading time.
"""

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dejavu.datasets.reading.raw import Array
from dejavu.runtime.errors import DataError
from dejavu.runtime.files import whole_file
from dejavu.runtime.progress import Progress, silent
from dejavu.runtime.strict_json import read_json, write_json

_LAYOUT: dict[str, tuple[np.dtype[Any], int]] = {
    "image": (np.dtype("u1"), 3),
    "label": (np.dtype("u1"), 1),
    "depth": (np.dtype("<f4"), 1),
    "normals": (np.dtype("<f4"), 3),
}
"""Data type and values per pixel, by role."""


class DecodedCache:
    """The decoded images of one split.

    Args:
        folder: folder of the cache.
        split: name of the split.
        roles: roles in the cache.
        sizes: N x 2, height and width of each image in pixels.
    """

    def __init__(self, folder: Path, split: str, roles: Sequence[str], sizes: Array) -> None:
        pixels = sizes.astype(np.int64).prod(axis=1)
        self._made_of = folder, split, roles, sizes
        self._sizes, self._ends = sizes, pixels.cumsum()
        self._maps: dict[str, Array] = {}
        for role in roles:
            path, (dtype, _) = cache_file(folder, split, role), _LAYOUT[role]
            found, expected = _file_size(path), cache_bytes(sizes, [role])
            if found != expected:
                raise DataError(f"{path}: has {found} bytes, not {expected}; delete {folder}")
            self._maps[role] = np.memmap(path, dtype, "r")

    def __reduce__(self) -> tuple[type["DecodedCache"], tuple[Path, str, Sequence[str], Array]]:
        """Pickle the arguments: a pickled memory map would contain the whole file."""
        return type(self), self._made_of

    @classmethod
    def find(cls, directory: Path, split: str, index: str, sizes: Array) -> "DecodedCache | None":
        """Open the cache of a split, or return None if there is none with this index key.

        Raises:
            DataError: a file of the cache is damaged.
        """
        folder = directory / "cache"
        path = folder / f"{split}.json"
        try:
            made = read_json(path)
            of, roles = made["index"], made["roles"]
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DataError(f"{path}: is damaged ({error!r}); delete {folder}") from None
        return cls(folder, split, roles, sizes) if of == index else None

    def __contains__(self, role: str) -> bool:
        return role in self._maps

    def read(self, index: int, role: str) -> Array:
        """Return one part of an image, equal to the result of `RawDataset.read`."""
        _, channels = _LAYOUT[role]
        height, width = self._sizes[index]
        end = self._ends[index]
        flat = self._maps[role][(end - height * width) * channels : end * channels]
        shape = (height, width, channels) if channels > 1 else (height, width)
        return np.array(flat.reshape(shape))


def cache_file(folder: Path, split: str, role: str) -> Path:
    """Return the file of a role."""
    return folder / f"{split}.{role}.bin"


def cache_bytes(sizes: Array, roles: Sequence[str]) -> int:
    """Return the size of a split's cache in bytes."""
    pixels = int(sizes.astype(np.int64).prod(axis=1).sum())
    layouts = [_LAYOUT[role] for role in roles]
    return sum(pixels * channels * dtype.itemsize for dtype, channels in layouts)


def write_cache(
    folder: Path,
    split: str,
    index: str,
    count: int,
    roles: Sequence[str],
    read: Callable[[int, str], Array],
    progress: Progress = silent,
) -> None:
    """Decode a split into ``folder``; the same images give the same bytes.

    Args:
        folder: folder of the cache.
        split: name of the split.
        index: key of its index, which identifies the cache.
        count: number of images.
        roles: roles to decode.
        read: decodes a role of the image at an index.
        progress: called after each image.
    """
    made = folder / f"{split}.json"
    made.unlink(missing_ok=True)  # it exists only while the files match it
    for role in roles:
        dtype, _ = _LAYOUT[role]
        with whole_file(cache_file(folder, split, role)) as temporary, temporary.open("wb") as file:
            for position in range(count):
                file.write(np.ascontiguousarray(read(position, role), dtype).tobytes())
                progress(position + 1, count, f"{split} {role}")
    write_json(made, {"index": index, "roles": [*roles]})


def _file_size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def require_space(folder: Path, needed: int) -> None:
    """Refuse to write a cache that the disk cannot hold.

    Raises:
        DataError: there is less space than ``needed`` bytes.
    """
    folder.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise DataError(
            f"{folder}: the decoded cache needs {needed / 1e9:.1f} GB, but the disk has "
            f"{free / 1e9:.1f} GB free: set data.cache to false, or free some space"
        )
