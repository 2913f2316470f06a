"""Base class of data sets that are read in place: no file is renamed, moved or rewritten."""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias

from dejavu.datasets.fetching.download import Download
from dejavu.datasets.reading.decoding import read_image
from dejavu.runtime.errors import DataError

if TYPE_CHECKING:
    from numpy.typing import NDArray

Array: TypeAlias = "NDArray[Any]"  # in quotes: planning reads this module without NumPy
Intrinsics = tuple[float, float, float, float]


@dataclass(frozen=True)
class Entry:
    """One image of a data set, with its ground truth.

    Attributes:
        name: unique in the data set; saved predictions are named after it.
        group: drive, city or other unit that training and test images must not share.
        files: path from the root, with slashes, by role (image, label, depth, normals). A role
            that is computed from another one has the other role's file.
        position: index of the image in files that hold many; else 0.
    """

    name: str
    group: str
    files: Mapping[str, str]
    position: int = 0


@dataclass(frozen=True)
class Variant:
    """One way to use a data set: its ground truth and its list of images.

    Attributes:
        description: one line for users.
        truth: source of the ground truth, by task, for each task that can be studied. It is
            saved with every result and printed under every table.
        class_names: names of the classes, by label; empty without segmentation.
        palette: one RGB colour (0 to 255) per class.
        intrinsics: fx, fy, cx and cy in pixels, with the top left pixel's centre at (0.5, 0.5);
            None if they are unknown or vary.
        counts: official number of images, by split (train, test), if published.
    """

    description: str
    truth: Mapping[str, str]
    class_names: Sequence[str] = ()
    palette: Sequence[tuple[int, int, int]] = ()
    intrinsics: Intrinsics | None = None
    counts: Mapping[str, int] = field(default_factory=dict)


class RawDataset(ABC):
    """A data set as downloaded, below one root folder.

    Args:
        root: root folder of the data set.
        variant: one of ``variants``.

    Attributes:
        title: display name.
        variants: variants by name; the first is the default.
        markers: paths that identify the root folder, all of which must exist in it.
        tree: the expected folder tree, as text.
        source: where to get the data, and its terms of use.
        downloads: files that can be fetched without registration.
        published: published checksums, ``md5:...``, by path from the root.
        computed: roles that are computed on reading, each with the role that it is computed from.
        groups_are_apart: whether the official train and test images share no group.

    Raises:
        DataError: the folder is missing, or does not hold this data set.
    """

    title: ClassVar[str]
    variants: ClassVar[Mapping[str, Variant]]
    markers: ClassVar[Sequence[str]]
    tree: ClassVar[str]
    source: ClassVar[str]
    downloads: ClassVar[Sequence[Download]] = ()
    published: ClassVar[Mapping[str, str]] = {}
    computed: ClassVar[Mapping[str, str]] = {}
    groups_are_apart: ClassVar[bool] = True

    def __init__(self, root: Path, variant: str) -> None:
        self.root = root
        self.variant_name = variant
        self.variant = self.variants[variant]
        self._require_markers()

    def __reduce__(self) -> tuple[type["RawDataset"], tuple[Path, str]]:
        """Pickle the arguments: another process opens the data set again."""
        return type(self), (self.root, self.variant_name)

    @abstractmethod
    def entries(self, split: str) -> list[Entry]:
        """List the official images of ``train`` or ``test``, sorted by name.

        Paths are listed whether or not they exist, unless the files themselves are the only list
        of the images.

        Raises:
            DataError: a list or a folder that defines the split is missing or damaged.
        """

    def read(self, entry: Entry, role: str) -> Array:
        """Read one part of an image.

        Returns:
            image: H x W x 3 uint8 RGB; label: H x W uint8 class indices, `IGNORE_INDEX` where
            unlabelled; depth: H x W float32 metres along the optical axis, 0 where unknown;
            normals: H x W x 3 float32 unit vectors in the camera frame (x right, y down, z
            forward) towards the camera, the zero vector where unknown.

        Raises:
            DataError: the file is missing, damaged, or of the wrong format; the message names it.
        """
        readers = {
            "image": self.read_image,
            "label": self.read_label,
            "depth": self.read_depth,
            "normals": self.read_normals,
        }
        return readers[role](entry)

    def read_image(self, entry: Entry) -> Array:
        """Read the image; see `read`."""
        return read_image(self.path(entry, "image"))

    def read_label(self, entry: Entry) -> Array:
        """Read the label map; see `read`."""
        raise NotImplementedError

    def read_depth(self, entry: Entry) -> Array:
        """Read the depth map; see `read`."""
        raise NotImplementedError

    def read_normals(self, entry: Entry) -> Array:
        """Read the normals; see `read`."""
        raise NotImplementedError

    def path(self, entry: Entry, role: str) -> Path:
        """Return the file of a role."""
        return self.root / entry.files[role]

    def shared_files(self, roles: Sequence[str]) -> list[str]:
        """Return the paths, from the root, of small files that many images need in these roles.

        Examples are mappings and calibrations; a job compares their checksums before it reads.
        """
        return []

    def notes(self) -> list[str]:
        """Return caveats on this copy of the data, for readers of the results."""
        return []

    def to_ids(self, labels: Array) -> Array:
        """Convert H x W uint8 class indices to the ids of the data set's own label files."""
        return labels

    def prediction_name(self, entry: Entry) -> str:
        """Return the file name of a predicted label map that the official tools expect."""
        return f"{entry.name}.png"

    def glob(self, pattern: str) -> list[Path]:
        """Return the files and folders below the root that match, sorted, without hidden ones.

        macOS adds a hidden ``._NAME`` beside each NAME that it copies to a disk of another kind.
        """
        found = self.root.glob(pattern)
        return sorted(p for p in found if not _is_hidden(p.relative_to(self.root)))

    def missing(self, path: Path | str) -> DataError:
        """Return the error for a missing ``path`` (from the root), with the expected tree."""
        return DataError(
            f"{self.root / path}: is missing. {self.title} is expected as downloaded:\n"
            f"{self.tree}\nWhere to get it: {self.source}"
        )

    def _require_markers(self) -> None:
        missing = _missing_markers(self.root, self.markers)
        if not missing:
            return
        near = self.find(self.root)
        if near is None:
            raise self.missing(missing[0])
        level = "too low" if near == self.root.parent else "too high"
        raise DataError(
            f"{self.root}: the folder is one level {level} for {self.title}: give {near}"
        )

    @classmethod
    def find(cls, folder: Path) -> Path | None:
        """Look for the data set in a folder, its parent and its subfolders."""
        candidates = [folder, folder.parent, *_folders(folder)]
        return next((c for c in candidates if not _missing_markers(c, cls.markers)), None)


def hold_out(entries: Sequence[Entry], count: int) -> tuple[list[Entry], list[Entry]]:
    """Divide training images into a kept part and at least ``count`` held-out images.

    Groups are held out whole, so that no drive or scene is in both parts. The choice does not
    depend on the order of the list: groups are ordered by the hash of their name.

    Raises:
        DataError: nothing would be left to train on.
    """
    groups: dict[str, list[Entry]] = {}
    for entry in entries:
        groups.setdefault(entry.group, []).append(entry)
    held: set[str] = set()
    total = 0
    for group in sorted(groups, key=_shuffled):
        if total >= count:
            break
        held.add(group)
        total += len(groups[group])
    kept = [entry for entry in entries if entry.group not in held]
    if not kept:
        raise DataError(
            f"data.val: {count} images cannot be held out of {len(entries)} training images in "
            f"{len(groups)} groups (drives, cities, scenes): lower data.val"
        )
    return kept, [entry for entry in entries if entry.group in held]


def _shuffled(group: str) -> str:
    return hashlib.sha256(group.encode()).hexdigest()


def _missing_markers(root: Path, markers: Iterable[str]) -> list[str]:
    return [marker for marker in markers if not (root / marker).exists()]


def _is_hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)


def _folders(root: Path) -> list[Path]:
    return sorted(path for path in root.glob("*") if path.is_dir()) if root.is_dir() else []
