"""Decoding and validation of one image of a downloaded data set, with its targets."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from dejavu.datasets.reading.conventions import IGNORE_INDEX
from dejavu.datasets.reading.decoding import is_turned, photograph_suffixes
from dejavu.datasets.reading.index import pixel_digest
from dejavu.datasets.reading.raw import Array, Entry, RawDataset
from dejavu.runtime.errors import DataError

_POSSIBLE = {"depth": "finite and at least 0", "normals": "unit or zero vectors"}
"""Condition on the values, by role."""


_KINDS = {
    "image": ("uint8", 3),
    "label": ("uint8", 2),
    "depth": ("float32", 2),
    "normals": ("float32", 3),
}
"""Type and number of axes, by role; a third axis has 3 channels."""


@dataclass(frozen=True)
class Summary:
    """What an image and its targets look like, to judge a whole split by.

    Attributes:
        turned: whether viewers turn the image, by its EXIF orientation.
        one_colour: whether all pixels of the image are equal.
        known: number of pixels with a ground truth, by role.
        depth_range: the smallest, median and largest known depth, metres; None if none is known.
        away: number of normals that point away from the camera.
    """

    turned: bool
    one_colour: bool
    known: dict[str, int]
    depth_range: tuple[float, float, float] | None
    away: int


@dataclass(frozen=True)
class Found:
    """One decoded and validated image, with its targets.

    Attributes:
        entry: the image's files, only of the roles that are needed.
        size: height and width in pixels.
        bytes: total size of its files.
        sha256: digest of the decoded array, by role.
        class_pixels: number of pixels of each class, by label.
        summary: what they look like.
    """

    entry: Entry
    size: tuple[int, int]
    bytes: int
    sha256: dict[str, str]
    class_pixels: Sequence[int]
    summary: Summary

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
    image = _read(dataset, entry, "image")
    parts = {"image": image}
    measured = {dataset.computed.get(role, role) for role in roles if role != "image"}
    for role in sorted(measured):
        if role not in entry.files:
            raise DataError(f"{dataset.path(entry, 'image')}: this image has no {role}")
        parts[role] = _read(dataset, entry, role)
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
        summary=_summary(parts, dataset.path(entry, "image")),
    )


def _read(dataset: RawDataset, entry: Entry, role: str) -> Array:
    """Read a part of an image, and check that the data set's module returns the right kind."""
    part = dataset.read(entry, role)
    dtype, axes = _KINDS[role]
    if part.dtype != dtype or part.ndim != axes or part.shape[2:] not in ((), (3,)):
        raise DataError(
            f"{dataset.path(entry, role)}: is read as {part.dtype} of shape {part.shape}; the "
            f"{role} must be {dtype}, H x W{' x 3' * (axes - 2)}"
        )
    return part


def _summary(parts: dict[str, Array], path: Path) -> Summary:
    image = parts["image"]
    known = {
        "label": parts["label"] != IGNORE_INDEX if "label" in parts else None,
        "depth": parts["depth"] > 0 if "depth" in parts else None,
        "normals": parts["normals"].any(axis=2) if "normals" in parts else None,
    }
    counts = {role: int(mask.sum()) for role, mask in known.items() if mask is not None}
    depth = parts["depth"][known["depth"]] if counts.get("depth") else None
    return Summary(
        turned=path.suffix.lower() in photograph_suffixes() and is_turned(path),
        one_colour=bool((image == image[:1, :1]).all()),
        known=counts,
        depth_range=None
        if depth is None
        else (float(depth.min()), float(np.median(depth)), float(depth.max())),
        away=int((parts["normals"][..., 2] > 0).sum()) if "normals" in parts else 0,
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
