"""Decoding and validation of one image of a downloaded data set, with its targets."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from dejavu.datasets.reading.conventions import IGNORE_INDEX
from dejavu.datasets.reading.index import pixel_digest
from dejavu.datasets.reading.raw import Array, Entry, RawDataset
from dejavu.runtime.errors import DataError

_POSSIBLE = {"depth": "finite and at least 0", "normals": "unit or zero vectors"}
"""Condition on the values, by role."""


@dataclass(frozen=True)
class Found:
    """One decoded and validated image, with its targets.

    Attributes:
        entry: the image's files, only of the roles that are needed.
        size: height and width in pixels.
        bytes: total size of its files.
        sha256: digest of the decoded array, by role.
        class_pixels: number of pixels of each class, by label.
    """

    entry: Entry
    size: tuple[int, int]
    bytes: int
    sha256: dict[str, str]
    class_pixels: Sequence[int]

    def row(self) -> dict[str, object]:
        """Return the image's line in the index."""
        height, width = self.size
        entry = self.entry
        return {
            "name": entry.name,
            "group": entry.group,
            "position": entry.position,
            "height": height,
            "width": width,
            **entry.files,
            "bytes": self.bytes,
            **{f"{role}_sha256": digest for role, digest in self.sha256.items()},
        }


def inspect(dataset: RawDataset, entry: Entry, roles: Sequence[str]) -> Found:
    """Decode one image with its targets.

    Raises:
        DataError: a file is missing or damaged, or holds impossible values.
    """
    image = dataset.read(entry, "image")
    parts = {"image": image}
    measured = {dataset.computed.get(role, role) for role in roles if role != "image"}
    for role in sorted(measured):
        if role not in entry.files:
            raise DataError(f"{dataset.path(entry, 'image')}: this image has no {role}")
        parts[role] = dataset.read(entry, role)
        if parts[role].shape[:2] != image.shape[:2]:
            sizes = [" x ".join(map(str, part.shape[:2])) for part in (image, parts[role])]
            lying = parts[role].shape[:2] == image.shape[1::-1]
            raise DataError(
                f"{dataset.path(entry, role)}: is {sizes[1]}, but its image "
                f"{dataset.path(entry, 'image')} is {sizes[0]}"
                + (" as it is stored: its EXIF orientation is not applied" if lying else "")
            )
    classes = len(dataset.variant.class_names)
    if "label" in parts:
        _check_labels(parts["label"], classes, dataset.path(entry, "label"))
    for role in ("depth", "normals"):
        if role in parts and not _is_possible(parts[role], role):
            raise DataError(
                f"{dataset.path(entry, role)}: the {role} of {entry.name} has values that are not "
                f"{_POSSIBLE[role]}; unpack the download again"
            )
    digests = {role: pixel_digest(part) for role, part in parts.items()}
    # A package of files that no task needs may be absent.
    files = {role: file for role, file in entry.files.items() if role in {*roles, *parts}}
    labels = parts.get("label", np.zeros(0, np.uint8)).ravel()
    class_pixels = np.bincount(labels, minlength=256)[:classes]
    return Found(
        entry=replace(entry, files=files),
        size=(image.shape[0], image.shape[1]),
        bytes=sum((dataset.root / file).stat().st_size for file in {*files.values()}),
        sha256=digests,
        class_pixels=[int(count) for count in class_pixels],
    )


def _check_labels(label: Array, classes: int, path: Path) -> None:
    values = np.unique(label)
    wrong = values[(values >= classes) & (values != IGNORE_INDEX)]
    if len(wrong):
        raise DataError(
            f"{path}: holds the label {wrong[0]}; labels are 0 to {classes - 1}, and "
            f"{IGNORE_INDEX} for unlabelled pixels"
        )


def _is_possible(part: Array, role: str) -> bool:
    if not np.isfinite(part).all():
        return False
    if role == "depth":
        return bool((part >= 0).all())
    lengths = np.linalg.norm(part, axis=2)
    return bool(((lengths == 0) | (abs(lengths - 1) < 1e-2)).all())
