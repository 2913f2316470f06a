"""What the summary of a whole split tells: every file may be valid, and all of them wrong.

Labels by another class list, depth in another unit or normals of another frame decode well. A split
of which no part can be right is refused; what may be right is noted for readers of the results.
"""

from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np

from dejavu.datasets.reading.inspecting import Found
from dejavu.datasets.reading.raw import Array, RawDataset
from dejavu.runtime.errors import DataError

_METRES = (0.05, 500.0)
"""Median depths of a split outside these are probably not in metres."""

_MANY = 3
"""Images from which on it is no coincidence that all have the same target."""

_SHOWN = 10
"""Number of names that a message lists at most."""


def judge(dataset: RawDataset, split: str, found: Sequence[Found]) -> list[str]:
    """Judge the images of an official split, with their targets, together.

    Args:
        dataset: the data set.
        split: ``train`` or ``test``.
        found: its decoded images.

    Returns:
        Notes for readers of the results.

    Raises:
        DataError: no image, or no target, of the split can be right.
    """
    roles = {role for one in found for role in one.sha256} - {"image"}
    for problem in _impossible(dataset, found, roles):
        raise DataError(f"{dataset.root}: {split}: {problem}")
    return [f"{split}: {note}" for note in _odd(dataset, found, roles)]


def _impossible(dataset: RawDataset, found: Sequence[Found], roles: set[str]) -> Iterator[str]:
    """Say what is wrong with every image of a split."""
    if all(one.summary.one_colour for one in found):
        yield "every image is of one colour"
    if "label" in roles:
        names, pixels = dataset.variant.class_names, _class_pixels(found)
        present = [name for name, count in zip(names, pixels, strict=True) if count]
        if not present:
            yield f"no pixel has a class: are the label files by another class list? {_ASK_LABELS}"
        if len(present) == 1 < len(names):
            yield f"every labelled pixel is {present[0]}: {_ASK_LABELS}"
    for role in sorted(roles - {"label"}):
        if not any(one.summary.known[role] for one in found):
            yield f"no pixel of any image has {role}; unpack the download again"
    ranges = [one.summary.depth_range for one in found if one.summary.depth_range]
    if ranges and min(low for low, _, _ in ranges) == max(high for _, _, high in ranges):
        yield f"every known depth is {ranges[0][0]:g} m; unpack the download again"
    away = sum(one.summary.away for one in found)
    if 2 * away > sum(one.summary.known.get("normals", 0) for one in found):
        yield (
            "most normals point away from the camera, where no surface is seen: is their z the "
            "other way round? Expected x right, y down, z forward"
        )
    if len({one.sha256["image"] for one in found}) >= _MANY:
        for role in sorted(roles):
            if len({one.sha256[role] for one in found}) == 1:
                yield f"every image has the same {role}; unpack the download again"


_ASK_LABELS = "check that they are of this variant, with its ids"


def _odd(dataset: RawDataset, found: Sequence[Found], roles: set[str]) -> Iterator[str]:
    """Say what is odd about some images of a split, or may be wrong with all."""
    count = len(found)
    if "label" in roles:
        yield from _odd_labels(dataset.variant.class_names, found)
    depths = [one.summary.depth_range[1] for one in found if one.summary.depth_range]
    if depths and not _METRES[0] <= (median := float(np.median(depths))) <= _METRES[1]:
        yield f"the median depth is {median:.4g} m: are these metres?"
    for role in sorted(roles):
        if without := [one for one in found if not one.summary.known[role]]:
            yield f"{len(without)} of {count} images have no {role} at all: {_names(without)}"
    if plain := [one for one in found if one.summary.one_colour]:
        yield f"{len(plain)} of {count} images are of one colour: {_names(plain)}"
    copies = Counter(one.sha256["image"] for one in found)
    if twice := [one for one in found if copies[one.sha256["image"]] > 1]:
        yield f"{len(twice)} of {count} images are there more than once: {_names(twice)}"


def _odd_labels(class_names: Sequence[str], found: Sequence[Found]) -> Iterator[str]:
    pixels = _class_pixels(found)
    absent = [name for name, count in zip(class_names, pixels, strict=True) if not count]
    if len(found) < len(class_names):  # too few to tell
        absent = []
    if len(absent) > len(class_names) / 2:
        yield (
            f"only {len(class_names) - len(absent)} of {len(class_names)} classes occur: are the "
            f"labels by this class list? Absent: {name_some(absent)}"
        )
    elif absent:
        yield f"no pixel is {name_some(absent)}"
    total = sum(height * width for height, width in (one.size for one in found))
    if (unlabelled := 1 - pixels.sum() / total) > 0.9:
        yield f"{unlabelled:.1%} of the pixels are unlabelled"


def _class_pixels(found: Sequence[Found]) -> Array:
    pixels: Array = np.array([one.class_pixels for one in found], np.int64).sum(axis=0)
    return pixels


def _names(found: Sequence[Found]) -> str:
    return name_some([one.entry.name for one in found])


def name_some(names: Sequence[str]) -> str:
    """List the first names, for a message.

    Example:
        >>> name_some([*"abcdefghijkl"])
        'a, b, c, d, e, f, g, h, i, j, ...'
    """
    return ", ".join(names[:_SHOWN]) + (", ..." if len(names) > _SHOWN else "")
