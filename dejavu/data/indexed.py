"""Splits that are read in place: an index of files, and their location on this machine."""

from collections.abc import Sequence
from functools import cache, cached_property
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from dejavu.config.tasks import roles_of
from dejavu.data.augmentation import KINDS
from dejavu.data.cache import DecodedCache, cache_bytes, require_space, write_cache
from dejavu.data.sample import Sample
from dejavu.data.split import Size, Split
from dejavu.datasets.reading.conventions import ROLES
from dejavu.datasets.reading.index import pixel_digest, read_index, shared_file
from dejavu.datasets.reading.manifest import MEND
from dejavu.datasets.reading.raw import Array, Entry, RawDataset
from dejavu.datasets.reading.registry import dataset_class
from dejavu.datasets.reading.roots import data_root
from dejavu.runtime.code_hash import code_hash
from dejavu.runtime.errors import DataError
from dejavu.runtime.progress import Progress, silent


class IndexedSplit(Split):
    """One split of a data set that is read in place.

    The index is held in a few arrays, which worker processes share; files are opened in the
    process that reads them.

    Args:
        directory: folder with ``manifest.json`` and the index of each split.
        split: name of the split.
        tasks: tasks whose ground truth is read with the image.

    Raises:
        DataError: manifest or index is missing or damaged, or the data set's folder is not found.
    """

    def __init__(self, directory: Path, split: str, tasks: Sequence[str]) -> None:
        super().__init__(directory, split)
        self._roles = roles_of(tasks)
        self._columns = read_index(self.path)
        if len(self._columns["name"]) != len(self):
            raise DataError(
                f"{self.path}: lists {len(self._columns['name'])} images, but the manifest says "
                f"{len(self)}; {MEND}"
            )
        self._cache = DecodedCache.find(directory, split, self._cache_key(), self._sizes())

    @cached_property
    def dataset(self) -> RawDataset:
        """The data set at its root folder on this machine."""
        name = self.manifest.name
        return dataset_class(name)(data_root(name), self.manifest.spec["variant"])

    def size(self, index: int) -> Size:  # noqa: D102
        return int(self._columns["height"][index]), int(self._columns["width"][index])

    def name(self, index: int) -> str:  # noqa: D102
        return str(self._columns["name"][index])

    def entry(self, index: int) -> Entry:
        """Return the files of one image."""
        row = {key: values[index] for key, values in self._columns.items()}
        files = {role: str(row[role]) for role in ("image", *ROLES.values()) if row[role]}
        return Entry(str(row["name"]), str(row["group"]), files, int(row["position"]))

    def read(self, index: int, role: str) -> Array:
        """Read one part of an image, decoded; see `RawDataset.read`.

        Raises:
            DataError: the file is missing or damaged, or the data set has no such part.
        """
        if self._cache and role in self._cache:
            return self._cache.read(index, role)
        return self._decode(index, role)

    def _decode(self, index: int, role: str) -> Array:
        entry = self.entry(index)
        if role not in entry.files:
            raise DataError(f"{self.path}: {entry.name} has no {role}; {MEND}")
        return self.dataset.read(entry, role)

    def sample(self, index: int) -> Sample:  # noqa: D102
        return {role: _as_tensor(self.read(index, role), role) for role in self._roles}

    def verify(self) -> None:
        """Compare the index with the manifest, and the files on disk with both.

        Files of images and targets are compared by size, files that they share by checksum. A
        decoded cache replaces them all: it was compared when it was written.

        Raises:
            DataError: they differ; the message names the file.
        """
        super().verify()
        if not (self._cache and all(role in self._cache for role in self._roles)):
            self._verify_files()

    def _verify_files(self) -> None:
        for path, shared in self.manifest.files.items():
            if shared_file(self.dataset.root / path) != shared:
                raise DataError(
                    f"{self.dataset.root / path}: changed since the data was checked; {MEND}"
                )
        size_of = cache(_file_size)
        for index in range(len(self)):
            entry, expected = self.entry(index), int(self._columns["bytes"][index])
            found = sum(size_of(self.dataset.root / f) for f in {*entry.files.values()})
            if found != expected:
                raise DataError(
                    f"{self.dataset.path(entry, 'image')}: this image and its ground truth have "
                    f"{found} bytes, but had {expected} when the data was checked; {MEND}"
                )

    @property
    def decoded_bytes(self) -> int:
        """Size of the decoded copy of this split in bytes."""
        return cache_bytes(self._sizes(), self._roles)

    def write_cache(self, progress: Progress = silent) -> None:
        """Decode the split into the folder ``cache`` beside the index.

        Raises:
            DataError: the disk has too little space, or a file is missing or damaged.
        """
        folder = self.path.parent / "cache"
        require_space(folder, self.decoded_bytes)
        super().verify()
        self._verify_files()
        made_of = (self.path.stem, self._cache_key(), len(self))
        write_cache(folder, *made_of, self._roles, self._read_checked, progress)

    def _read_checked(self, index: int, role: str) -> Array:
        """Decode a part, and compare its checksum with the index."""
        part = self._decode(index, role)
        expected = self._columns[f"{role}_sha256"][index]
        if expected and pixel_digest(part) != expected:
            raise DataError(
                f"{self.dataset.path(self.entry(index), role)}: changed since the data was "
                f"checked; {MEND}"
            )
        return part

    def _cache_key(self) -> str:
        """Return a key of the index and of the code that decodes its images and targets."""
        return f"{self.record.sha256}-{code_hash([f'datasets.{self.manifest.name}'])}"

    def _sizes(self) -> Array:
        return np.stack([self._columns["height"], self._columns["width"]], axis=1)


def _file_size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        raise DataError(
            f"{path}: is missing, but existed when the data was checked; restore it"
        ) from None


def _as_tensor(array: Array, role: str) -> Tensor:
    if role == "depth":
        array = array[None]
    elif role != "label":  # labels stay uint8 until they are in a batch: resizing is faster
        array = array.transpose(2, 0, 1)
    tensor: Tensor = KINDS[role](torch.from_numpy(np.ascontiguousarray(array)))
    return tensor
