"""Predictions of any program, read from files and checked as the files of a data set are.

A number in another unit or frame would be scored without a word, so what looks like one is named:
millimetres, colours, labels instead of a data set's ids.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from dejavu.datasets.reading.conventions import IGNORE_INDEX
from dejavu.datasets.reading.decoding import read_indices
from dejavu.datasets.reading.raw import Array
from dejavu.runtime.errors import DataError

_UNITS = {100: "centimetres", 256: "256ths of a metre, as KITTI's PNG files", 1000: "millimetres"}
"""Units that other programs write depth in, by their number in a metre."""

_OTHER_UNIT = 30
"""Depths this many times the true ones, in every image, are in another unit: no network that has
learned metres is so wrong."""


_GOOD_AGREEMENT = 0.8
"""Mean cosine between normals that only a good prediction reaches, if some axes are reversed."""

_REVERSED = -0.05
"""Mean product of predicted and true components, below which an axis is reversed."""


def read_labels(path: Path, ids: Array, class_names: Sequence[str]) -> Array:
    """Read a predicted label map.

    Args:
        path: PNG file with the data set's own ids.
        ids: the id of each class, by label.
        class_names: the name of each class, by label.

    Returns:
        H x W int64 labels.

    Raises:
        DataError: the file is missing or damaged, or has an id that no scored class has.
    """
    stored = read_indices(path)
    labels = np.full(256, -1, np.int64)
    labels[ids] = np.arange(len(ids))
    found: Array = labels[stored]
    if found.min() < 0:
        wrong = stored[found < 0][0]
        raise DataError(
            f"{path}: contains the id {wrong}, but no scored class has this id"
            + _likely_shift(np.unique(stored), ids, class_names)
        )
    return found


def _likely_shift(values: Array, ids: Array, class_names: Sequence[str]) -> str:
    """Say where the values of a label map probably come from, if that can be told."""
    known = values[values != IGNORE_INDEX]
    first = f"{class_names[0]} has the id {ids[0]}"
    if IGNORE_INDEX in values and np.isin(known, ids).all():
        return ": unlabelled? A prediction names a class in every pixel"
    if (known < len(ids)).all():
        return f": labels from 0, such as trainIds? Write the data set's own ids: {first}"
    for shift, said in ((1, "too high"), (-1, "too low")):
        if np.isin(known.astype(np.int64) - shift, ids).all():
            return f": are all ids {said} by 1? {first}"
    return f"; {first}"


def read_map(path: Path, kind: str, truth: Array) -> Array:
    """Read a predicted map of numbers, and check it against its ground truth.

    Args:
        path: ``.npy`` file.
        kind: ``depth``, ``normals``, or the name of another task.
        truth: ground truth, C x H x W; 0 in all channels where unknown.

    Returns:
        C x H x W float32.

    Raises:
        DataError: the file is missing or damaged; its numbers are not real floats, finite, and of
            the ground truth's shape; a depth is below 0, or all are 0; or a normal that is scored
            is no unit vector.
    """
    stored = _open(path)
    if stored.dtype.kind in "iub":
        meant = {"depth": _integer_depth(stored), "normals": "colours? " + _FROM_BYTES}
        raise DataError(
            f"{path}: holds {stored.dtype}; expected floating-point numbers"
            + (f": {meant[kind]}" if kind in meant else "")
        )
    if stored.dtype.kind != "f":
        raise DataError(f"{path}: holds {stored.dtype}; expected real floating-point numbers")
    if stored.shape != truth.shape:
        order = sorted(stored.shape) == sorted(truth.shape)
        raise DataError(
            f"{path}: has shape {stored.shape}, but the ground truth has {truth.shape}; "
            + ("its axes are in another order" if order else "predict at the size of the truth")
        )
    with np.errstate(over="ignore"):  # such numbers become infinite, and are refused
        values: Array = np.array(stored, np.float32)
    if not np.isfinite(values).all():
        raise DataError(f"{path}: holds values that are not finite")
    if kind == "depth":
        _check_depth(path, values)
    if kind == "normals":
        _check_normals(path, values, (truth != 0).any(0))
    return values


def _open(path: Path) -> Array:
    """Map an array: its header is judged before its values are read."""
    try:
        stored: Array = np.load(path, mmap_mode="r")
    except (OSError, ValueError, TypeError, EOFError) as error:
        raise DataError(f"{path}: cannot be read as an array ({error})") from None
    if not isinstance(stored, np.ndarray):
        raise DataError(f"{path}: cannot be read as an array: it is an archive of arrays")
    return stored


def _integer_depth(stored: Array) -> str:
    if stored.size and stored.max() <= 255:
        return "metres are needed, not the grey values of a picture"
    return "millimetres, or 256ths of a metre? Divide by 1000, or by 256"


def _check_depth(path: Path, values: Array) -> None:
    if values.min() < 0:
        raise DataError(
            f"{path}: has a depth of {values.min():.4g}; metres along the optical axis are not "
            "below 0: is it a logarithm, a disparity, or another axis?"
        )
    if not values.any():
        raise DataError(f"{path}: is 0 everywhere, which is no depth")


_FROM_BYTES = "Divide by 127.5, and subtract 1"


def _check_normals(path: Path, values: Array, scored: Array) -> None:
    lengths = np.linalg.norm(values, axis=0)[scored]
    wrong = lengths[abs(lengths - 1) >= 1e-2]
    if not wrong.size:
        return
    if values.min() >= 0 and values.max() > 2:
        advice = f"colours from 0 to 255? {_FROM_BYTES}"
    elif values.min() >= 0 and values.max() <= 1:
        advice = "colours from 0 to 1? Double, and subtract 1"
    elif not wrong.all():
        advice = "a vector of length 0 has no direction"
    else:
        advice = "divide each by its length"
    raise DataError(
        f"{path}: has normals of length {wrong.min():.3g} to {wrong.max():.3g} where they are "
        f"scored; expected unit vectors: {advice}"
    )


def depth_ratios(depths: Array, truths: Array) -> list[float]:
    """Return each image's median depth divided by the true one; none where no truth is known."""
    pairs = ((depth, truth, truth > 0) for depth, truth in zip(depths, truths, strict=True))
    return [
        float(np.median(d[known]) / np.median(t[known])) for d, t, known in pairs if known.any()
    ]


def require_metres(folder: Path, ratios: Sequence[float]) -> None:
    """Refuse depths that are in another unit, by the `depth_ratios` of a whole split.

    Raises:
        DataError: all are far above 1, or all far below.
    """
    if not ratios:
        return
    if min(ratios) >= _OTHER_UNIT:
        ratio = float(np.median(ratios))
        nearest = min(_UNITS, key=lambda unit: abs(np.log(unit / ratio)))
        advice = f"{_UNITS[nearest]}? Divide by {nearest}"
    elif max(ratios) <= 1 / _OTHER_UNIT:
        advice = "kilometres, or a share of a largest depth?"
    else:
        return
    raise DataError(
        f"{folder}: its depths are {min(ratios):.3g} to {max(ratios):.3g} times the true ones in "
        f"every image; expected metres: {advice}"
    )


def axis_agreement(normals: Array, truths: Array) -> Array:
    """Return the mean product of predicted and true normals by axis, where these are known.

    Args:
        normals: B x 3 x H x W.
        truths: B x 3 x H x W, zero vectors where unknown.

    Returns:
        3 numbers, whose sum is the mean cosine.
    """
    known = max(int(truths.any(axis=1).sum()), 1)
    agreement: Array = (normals * truths).sum(axis=(0, 2, 3), dtype=np.float64) / known
    return agreement


def require_frame(folder: Path, agreements: Sequence[Array]) -> None:
    """Refuse normals of another frame, by the `axis_agreement` of each batch of a whole split.

    Raises:
        DataError: they would be good if some axes were reversed.
    """
    if not agreements:
        return
    mean = np.mean(agreements, axis=0)
    wrong = [axis for axis, agreement in zip("xyz", mean, strict=True) if agreement < _REVERSED]
    if wrong and abs(mean).sum() >= _GOOD_AGREEMENT:
        raise DataError(
            f"{folder}: its normals are good but for {' and '.join(wrong)}, which "
            f"{'is' if len(wrong) == 1 else 'are'} the other way round; expected x right, y down, "
            "z forward, so that visible surfaces have z below 0"
        )
