"""Everything that can be wrong with a downloaded data set, found before anything is trained.

Every file that a study reads is decoded once. What comes out is an index of each split and a
manifest with their checksums, by which a study knows its data wherever it lies.
"""

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from dejavu.config import Params
from dejavu.data.conventions import IGNORE_INDEX, ROLES
from dejavu.data.index import write_index
from dejavu.data.manifest import MANIFEST, VERSION, Manifest, SplitRecord, file_sha256
from dejavu.data.raw import Array, Entry, RawDataset, hold_out
from dejavu.data.sets import dataset_class
from dejavu.errors import DataError, ParamsError
from dejavu.files import whole_file
from dejavu.progress import Progress, silent

_SHOWN = 10
"""How many problems, or names, a message lists."""


@dataclass(frozen=True)
class Found:
    """One image that was decoded, with its targets.

    Attributes:
        entry: its files.
        size: height and width in pixels.
        bytes: of its files together.
        sha256: of all that was decoded, targets included.
        pixels: SHA-256 of the image alone.
        class_pixels: number of pixels of each class, by label.
    """

    entry: Entry
    size: tuple[int, int]
    bytes: int
    sha256: str
    pixels: str
    class_pixels: Sequence[int]

    def row(self) -> dict[str, object]:
        """Return the image's line in the index."""
        height, width = self.size
        own = {"height": height, "width": width, "bytes": self.bytes, "sha256": self.sha256}
        entry = self.entry
        return {"name": entry.name, "group": entry.group, "position": entry.position} | {
            **entry.files,
            **own,
        }


@dataclass(frozen=True)
class Checked:
    """A data set that was found in order.

    Attributes:
        name: of the data set.
        dataset: the data set at its folder.
        splits: the images of train, val and test.
        notes: what a reader of the numbers should know.
    """

    name: str
    dataset: RawDataset
    splits: dict[str, list[Found]]
    notes: list[str] = field(default_factory=list)

    def write(self, directory: Path, study: Params) -> None:
        """Write ``manifest.json`` and an index of each split, the same bytes for the same data.

        Raises:
            ParamsError: the study asks for more than there is.
        """
        _require_enough(self, study)
        directory.mkdir(parents=True, exist_ok=True)
        (directory / MANIFEST).unlink(missing_ok=True)
        records = {}
        for split, found in self.splits.items():
            path = directory / f"{split}.csv"
            with whole_file(path) as temporary:
                write_index(temporary, [one.row() for one in found])
            pixels = np.array([one.class_pixels for one in found], np.int64).sum(axis=0)
            records[split] = SplitRecord(
                len(found), path.name, file_sha256(path), tuple(pixels.tolist())
            )
        variant = self.dataset.variant
        Manifest(
            name=self.name,
            version=VERSION,
            height=None,
            width=None,
            spec={"variant": self.dataset.variant_name, "val": study.data.val},
            class_names=tuple(variant.class_names),
            palette=tuple(variant.palette),
            intrinsics=variant.intrinsics,
            truth=dict(variant.truth),
            notes=tuple(self.notes),
            splits=records,
        ).write(directory)


def check_dataset(
    name: str,
    variant: str,
    root: Path,
    tasks: Sequence[str],
    val: int,
    jobs: int = 1,
    progress: Progress = silent,
) -> Checked:
    """Decode a data set once, and divide its training images into train and val.

    Args:
        name: one of `dejavu.data.sets.dataset_names`.
        variant: one of its variants.
        root: its folder.
        tasks: whose ground truth is needed.
        val: training images that are held out, at least; whole groups are.
        jobs: processes that decode.
        progress: called after each image.

    Raises:
        DataError: anything is missing, damaged, or shared by train and test; the message names
            the files and the fix.
    """
    dataset = dataset_class(name)(root, variant)
    roles = ["image", *(ROLES[task] for task in tasks)]
    official = {split: dataset.entries(split) for split in ("train", "test")}
    _require_images(dataset, official)
    _require_disjoint(dataset, official)
    kept, held = hold_out(official["train"], val)
    entries = {"train": kept, "val": held, "test": official["test"]}
    found = _decode_all(dataset, entries, roles, jobs, progress)
    checked = Checked(name, dataset, found, _unofficial_files(dataset))
    _leave_out_duplicates(checked)
    return checked


def inspect(dataset: RawDataset, entry: Entry, roles: Sequence[str]) -> Found:
    """Decode one image with its targets.

    Raises:
        DataError: a file is missing or damaged, or holds what it may not.
    """
    image = dataset.read(entry, "image")
    parts = {"image": image}
    for role in {dataset.computed.get(role, role): None for role in roles if role != "image"}:
        if role not in entry.files:
            raise DataError(f"{dataset.path(entry, 'image')}: has no {role} beside it")
        parts[role] = dataset.read(entry, role)
        if parts[role].shape[:2] != image.shape[:2]:
            sizes = [" x ".join(map(str, part.shape[:2])) for part in (image, parts[role])]
            raise DataError(
                f"{dataset.path(entry, role)}: is {sizes[1]}, and its image "
                f"{dataset.path(entry, 'image')} is {sizes[0]}"
            )
    classes = len(dataset.variant.class_names)
    if "label" in parts:
        _check_labels(parts["label"], classes, dataset.path(entry, "label"))
    for role in ("depth", "normals"):
        if role in parts and not _is_possible(parts[role], role):
            raise DataError(f"{dataset.path(entry, role)}: holds {role} that cannot be")
    digests = {role: hashlib.sha256(part.tobytes()).hexdigest() for role, part in parts.items()}
    labels = parts.get("label", np.zeros(0, np.uint8)).ravel()
    class_pixels = np.bincount(labels, minlength=256)[:classes]
    return Found(
        entry=entry,
        size=(image.shape[0], image.shape[1]),
        bytes=sum((dataset.root / file).stat().st_size for file in {*entry.files.values()}),
        sha256=hashlib.sha256("".join(digests.values()).encode()).hexdigest(),
        pixels=digests["image"],
        class_pixels=[int(count) for count in class_pixels],
    )


def _require_enough(checked: Checked, study: Params) -> None:
    """Refuse a study that the data cannot serve, before anything is trained."""
    if problem := study.train.too_many(len(checked.splits["train"])):
        raise ParamsError(problem)
    if border := study.train.augmentation.border:
        _require_sizes(checked.splits["train"], "train.augmentation.border", border[1], border[3])
    if "depth" in study.tasks and study.evaluation.depth_crop == "eigen":
        for split in ("val", "test"):
            _require_sizes(checked.splits[split], "evaluation.depth_crop", 480, 640)


def _require_sizes(found: Sequence[Found], key: str, height: int, width: int) -> None:
    for one in found:
        if one.size[0] < height or one.size[1] < width:
            raise ParamsError(
                f"{key}: needs images of {height} x {width}, and {one.entry.name} is "
                f"{one.size[0]} x {one.size[1]}"
            )


def _check_labels(label: Array, classes: int, path: Path) -> None:
    values = np.unique(label)
    wrong = values[(values >= classes) & (values != IGNORE_INDEX)]
    if len(wrong):
        raise DataError(
            f"{path}: holds the label {wrong[0]}; labels are 0 to {classes - 1} and "
            f"{IGNORE_INDEX} for none"
        )


def _is_possible(part: Array, role: str) -> bool:
    if not np.isfinite(part).all():
        return False
    if role == "depth":
        return bool((part >= 0).all())
    lengths = np.linalg.norm(part, axis=2)
    return bool(((lengths == 0) | (abs(lengths - 1) < 1e-2)).all())


def _require_images(dataset: RawDataset, entries: dict[str, list[Entry]]) -> None:
    for split, listed in entries.items():
        if not listed:
            raise DataError(f"{dataset.root}: has no {split} image. Expected:\n{dataset.tree}")
        names = Counter(entry.name for entry in listed)
        name, times = names.most_common(1)[0]
        if times > 1:
            raise DataError(f"{dataset.root}: {split} lists {name!r} {times} times")


def _require_disjoint(dataset: RawDataset, entries: dict[str, list[Entry]]) -> None:
    """Refuse images, or groups, that are both trained on and scored."""
    files = [{(e.files["image"], e.position) for e in entries[s]} for s in ("train", "test")]
    groups = [{e.group for e in entries[s]} for s in ("train", "test")]
    shared = sorted(f"{path} ({at})" if at else path for path, at in files[0] & files[1])
    if shared:
        raise DataError(
            f"{dataset.root}: train and test share {len(shared)} images: {_some(shared)}; "
            "use the official lists"
        )
    shared = sorted(groups[0] & groups[1])
    if shared and dataset.groups_are_apart:
        raise DataError(
            f"{dataset.root}: train and test share {_some(shared)} (drive, city or scene): "
            "neighbouring frames would leak; use the official lists"
        )


def _decode_all(
    dataset: RawDataset,
    entries: dict[str, list[Entry]],
    roles: Sequence[str],
    jobs: int,
    progress: Progress,
) -> dict[str, list[Found]]:
    problems: list[str] = []
    found: dict[str, list[Found]] = {}
    total = sum(map(len, entries.values()))
    done = 0
    for split, listed in entries.items():
        found[split] = []
        for one in _decoded(dataset, listed, roles, jobs):
            done += 1
            progress(done, total, split)
            if isinstance(one, Found):
                found[split].append(one)
            else:
                problems.append(one)
    if problems:
        more = f"\n... and {len(problems) - _SHOWN} more" if len(problems) > _SHOWN else ""
        raise DataError(
            f"{dataset.root}: {len(problems)} of {total} images are not in order:\n"
            + "\n".join(problems[:_SHOWN])
            + more
        )
    return found


def _decoded(
    dataset: RawDataset, entries: Sequence[Entry], roles: Sequence[str], jobs: int
) -> Iterator[Found | str]:
    work = [(type(dataset), dataset.root, dataset.variant_name, entry, roles) for entry in entries]
    if jobs == 1:
        yield from map(_inspect, work)
        return
    with ProcessPoolExecutor(jobs) as pool:
        yield from pool.map(_inspect, work, chunksize=16)


_opened: dict[tuple[type[RawDataset], Path, str], RawDataset] = {}


def _inspect(work: tuple[type[RawDataset], Path, str, Entry, Sequence[str]]) -> Found | str:
    """Inspect one image in whichever process; a problem comes back as its message."""
    kind, root, variant, entry, roles = work
    key = (kind, root, variant)
    if key not in _opened:
        _opened[key] = kind(root, variant)
    try:
        return inspect(_opened[key], entry, roles)
    except DataError as error:
        return str(error)


def _leave_out_duplicates(checked: Checked) -> None:
    """Take images that the test split has too, pixel by pixel, out of train and val."""
    scored = {one.pixels for one in checked.splits["test"]}
    for split in ("train", "val"):
        listed = checked.splits[split]
        twice = [one.entry.name for one in listed if one.pixels in scored]
        if twice:
            checked.splits[split] = [one for one in listed if one.pixels not in scored]
            checked.notes.append(
                f"left out of {split}: {len(twice)} images that test has too: {_some(twice)}"
            )
            if not checked.splits[split]:
                raise DataError(
                    f"{checked.dataset.root}: every image of {split} is also a test image"
                )


def _unofficial_files(dataset: RawDataset) -> list[str]:
    """Say which files are not the published ones."""
    notes = []
    for path, checksum in dataset.published.items():
        algorithm, _, expected = checksum.partition(":")
        with (dataset.root / path).open("rb") as file:
            found = hashlib.file_digest(file, algorithm).hexdigest()
        if found != expected:
            notes.append(f"{path} is not the published file: its {algorithm} is {found}")
    return notes


def _some(names: Iterable[str]) -> str:
    listed = list(names)
    return ", ".join(listed[:_SHOWN]) + (", ..." if len(listed) > _SHOWN else "")
