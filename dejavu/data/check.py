"""Validation of a downloaded data set, before anything is trained.

Every file that a study reads is decoded once. The result is an index of each split and a manifest
with their checksums, which identify a study's data wherever it is stored.
"""

import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from dejavu.config import Params
from dejavu.config.consistency import check_evaluated
from dejavu.config.tasks import roles_of, truth_of
from dejavu.data.plausibility import judge, name_some
from dejavu.datasets.reading.conventions import ROLES
from dejavu.datasets.reading.index import shared_file, write_index
from dejavu.datasets.reading.inspecting import Found, inspect
from dejavu.datasets.reading.manifest import MANIFEST, VERSION, Manifest, SplitRecord, file_sha256
from dejavu.datasets.reading.raw import Entry, RawDataset, hold_out
from dejavu.datasets.reading.registry import dataset_class
from dejavu.runtime.errors import DataError, DejaVuError, ParamsError
from dejavu.runtime.files import whole_file
from dejavu.runtime.progress import Progress, silent

_SHOWN = 10
"""Number of problems that a message lists at most."""


@dataclass(frozen=True)
class Checked:
    """A data set that passed the check.

    Attributes:
        name: name of the data set.
        dataset: the data set at its root folder.
        splits: the images of train, val and test.
        notes: caveats for readers of the results.
    """

    name: str
    dataset: RawDataset
    splits: dict[str, list[Found]]
    notes: list[str] = field(default_factory=list)

    def write(self, directory: Path, study: Params) -> None:
        """Write ``manifest.json`` and an index of each split, the same bytes for the same data.

        Raises:
            ParamsError: the study needs more images, or larger ones, than the data set has.
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
                count=len(found),
                file=path.name,
                sha256=file_sha256(path),
                class_pixels=tuple(pixels.tolist()),
                fingerprints={t: self._fingerprint(found, t) for t in map(truth_of, study.tasks)},
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
            files=_shared_files(self.dataset, study.tasks),
            notes=tuple(self.notes),
            splits=records,
        ).write(directory)

    def _fingerprint(self, found: Sequence[Found], truth: str) -> str:
        """Hash the names and pixels of images, with a ground truth."""
        role = ROLES[truth]
        measured = self.dataset.computed.get(role, role)
        rows = [(one.entry.name, one.sha256["image"], one.sha256[measured]) for one in found]
        return hashlib.sha256(repr(rows).encode()).hexdigest()


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
        name: one of `dejavu.datasets.reading.registry.dataset_names`.
        variant: one of its variants.
        root: root folder of the data set.
        tasks: tasks whose ground truth is needed.
        val: minimum number of training images to hold out, in whole groups.
        jobs: number of processes that decode.
        progress: called after each image.

    Raises:
        DataError: anything is missing, damaged, or shared by train and test, or a split cannot be
            right as a whole; the message names the files and the fix.
        DejaVuError: one of several processes ended.
    """
    dataset = dataset_class(name)(root, variant)
    roles = roles_of(tasks)
    official = {split: dataset.entries(split) for split in ("train", "test")}
    _require_images(dataset, official)
    _require_disjoint(dataset, official)
    kept, held = hold_out(official["train"], val)
    entries = {"train": kept, "val": held, "test": official["test"]}
    found = _decode_all(dataset, entries, roles, jobs, progress)
    notes = [
        *dataset.notes(),
        *_shared_groups(official),
        *_unofficial_counts(dataset, official),
        *_unofficial_files(dataset),
        *_turned_images(found),
        *judge(dataset, "train", [*found["train"], *found["val"]]),
        *judge(dataset, "test", found["test"]),
    ]
    checked = Checked(name, dataset, found, notes)
    _leave_out_duplicates(checked)
    return checked


def _require_enough(checked: Checked, study: Params) -> None:
    """Refuse a study that needs more images, or larger ones, than the data set has."""
    if problem := study.train.too_many(len(checked.splits["train"])):
        raise ParamsError(problem)
    if border := study.train.augmentation.border:
        _, bottom, _, right = border
        for one in checked.splits["train"]:
            if one.size[0] < bottom or one.size[1] < right:
                raise _unfit("train.augmentation.border", f"at least {bottom} x {right}", one)
    evaluated = {one.size: one for split in ("val", "test") for one in checked.splits[split]}
    for size, one in evaluated.items():
        try:
            check_evaluated(study, *size)
        except ValueError as error:
            raise ParamsError(f"{error} (such as {one.entry.name})") from None


def _unfit(key: str, needed: str, one: Found) -> ParamsError:
    height, width = one.size
    return ParamsError(
        f"{key}: needs images of {needed}, and {one.entry.name} is {height} x {width}; change it, "
        "or leave it out"
    )


def _require_images(dataset: RawDataset, entries: dict[str, list[Entry]]) -> None:
    for split, listed in entries.items():
        if not listed:
            raise DataError(f"{dataset.root}: has no {split} image. Expected:\n{dataset.tree}")
        names = Counter(entry.name for entry in listed)
        name, times = names.most_common(1)[0]
        if times > 1:
            raise DataError(f"{dataset.root}: {split} lists {name!r} {times} times")


def _require_disjoint(dataset: RawDataset, entries: dict[str, list[Entry]]) -> None:
    """Refuse images or groups that are in both train and test."""
    files = [{(e.files["image"], e.position) for e in entries[s]} for s in ("train", "test")]
    shared = sorted(f"{path} ({at})" if at else path for path, at in files[0] & files[1])
    if shared:
        raise DataError(
            f"{dataset.root}: train and test share {len(shared)} images: {name_some(shared)}; "
            "use the official lists"
        )
    if dataset.groups_are_apart and (notes := _shared_groups(entries)):
        raise DataError(
            f"{dataset.root}: {notes[0]}: neighbouring frames would leak; use the official lists"
        )


def _shared_groups(entries: dict[str, list[Entry]]) -> list[str]:
    """Return a note on groups that are in both parts of the official split, if any."""
    train, test = ({entry.group for entry in entries[split]} for split in ("train", "test"))
    shared = sorted(train & test)
    return [f"train and test share {name_some(shared)} (drive, city or scene)"] if shared else []


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
        # The first in full, with the tree if a file is missing; of the others the first line.
        shown = [problems[0], *(problem.partition("\n")[0] for problem in problems[1:_SHOWN])]
        more = [f"... and {len(problems) - _SHOWN} more"] if len(problems) > _SHOWN else []
        raise DataError(
            f"{dataset.root}: {len(problems)} of {total} images have problems:\n"
            + "\n".join(shown + more)
        )
    return found


def _decoded(
    dataset: RawDataset, entries: Sequence[Entry], roles: Sequence[str], jobs: int
) -> Iterator[Found | str]:
    if jobs == 1:
        yield from (_found_or_problem(dataset, entry, roles) for entry in entries)
        return
    workers = ProcessPoolExecutor(jobs, initializer=_start_worker, initargs=(dataset, roles))
    try:
        with workers as pool:
            yield from pool.map(_in_worker, entries, chunksize=16)
    except BrokenProcessPool:
        raise DejaVuError(
            f"{dataset.root}: one of the {jobs} processes that decode it has ended, perhaps for "
            "lack of memory; lower --jobs"
        ) from None


def _found_or_problem(dataset: RawDataset, entry: Entry, roles: Sequence[str]) -> Found | str:
    """Inspect one image; return the message of a problem."""
    try:
        return inspect(dataset, entry, roles)
    except DataError as error:
        return str(error)


_worker: tuple[RawDataset, Sequence[str]]
"""Arguments of a worker process, sent once per process rather than with every image."""


def _start_worker(dataset: RawDataset, roles: Sequence[str]) -> None:
    global _worker
    _worker = dataset, roles


def _in_worker(entry: Entry) -> Found | str:
    dataset, roles = _worker
    return _found_or_problem(dataset, entry, roles)


def _leave_out_duplicates(checked: Checked) -> None:
    """Remove images whose pixels are also in a later split (order: train, val, test)."""
    for split, later in (("val", "test"), ("train", "test"), ("train", "val")):
        listed = checked.splits[split]
        known = {one.sha256["image"] for one in checked.splits[later]}
        twice = [one.entry.name for one in listed if one.sha256["image"] in known]
        if not twice:
            continue
        checked.splits[split] = [one for one in listed if one.sha256["image"] not in known]
        checked.notes.append(
            f"left out of {split}: {len(twice)} images that {later} has too: {name_some(twice)}"
        )
        if not checked.splits[split]:
            raise DataError(f"{checked.dataset.root}: every image of {split} is also in {later}")


def _unofficial_counts(dataset: RawDataset, official: dict[str, list[Entry]]) -> list[str]:
    """Return notes on splits whose number of images is not the official one."""
    return [
        f"{split} has {len(official[split])} images, not the official {count}: is the download "
        "complete?"
        for split, count in dataset.variant.counts.items()
        if len(official[split]) != count
    ]


def _shared_files(dataset: RawDataset, tasks: Sequence[str]) -> dict[str, tuple[int, str]]:
    roles = roles_of(tasks)
    paths = sorted(dataset.shared_files(roles))
    return {path: shared_file(dataset.root / path) for path in paths}


def _unofficial_files(dataset: RawDataset) -> list[str]:
    """Return notes on files that differ from the published ones."""
    notes = []
    for path, checksum in dataset.published.items():
        algorithm, _, expected = checksum.partition(":")
        with (dataset.root / path).open("rb") as file:
            found = hashlib.file_digest(file, algorithm).hexdigest()
        if found != expected:
            notes.append(f"{path} is not the published file: its {algorithm} is {found}")
    return notes


def _turned_images(found: dict[str, list[Found]]) -> list[str]:
    """Return a note on photographs that viewers turn, while targets follow the stored pixels."""
    images = [one for listed in found.values() for one in listed]
    turned = [one.entry.name for one in images if one.summary.turned]
    if not turned:
        return []
    return [
        f"{len(turned)} images have an EXIF orientation, which is not applied "
        f"({name_some(turned)}): are their targets of the pixels as they are stored?"
    ]
