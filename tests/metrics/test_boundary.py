import math
from itertools import product
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import binary_erosion
from torch import Tensor

from dejavu.metrics import BoundaryF, BoundaryIoU, TrimapIoU

few = settings(max_examples=15)
IGNORED = 255
CLASSES = 3
seeds = st.integers(0, 10**6)


def regions(seed: int, shape: tuple[int, int, int] = (3, 14, 12)) -> tuple[Tensor, Tensor]:
    """Two label maps of coarse regions that agree in most places; part of the truth is ignored."""
    draws = np.random.default_rng(seed)
    images, height, width = shape
    coarse = draws.integers(CLASSES, size=(images, 4, 4))
    truth = coarse.repeat(4, 1).repeat(4, 2)[:, :height, :width]
    prediction = np.roll(truth, int(draws.integers(3)), 1)
    wrong = draws.random(shape) < 0.05
    prediction = np.where(wrong, draws.integers(CLASSES, size=shape), prediction)
    truth = np.where(draws.random((images, 1, width)) < 0.1, IGNORED, truth)
    return torch.from_numpy(prediction), torch.from_numpy(truth)


def score(metric: BoundaryIoU | BoundaryF | TrimapIoU, prediction: Tensor, truth: Tensor) -> float:
    metric.update(prediction, truth)
    return next(iter(metric.compute().values()))


def line(*labels: int) -> Tensor:
    return torch.tensor([[labels]])


# Boundary IoU


def band(mask: np.ndarray, ignored: np.ndarray, erosions: int) -> np.ndarray:
    square = np.ones((3, 3), bool)
    eroded = binary_erosion(mask | ignored, square, iterations=erosions, border_value=0)
    return mask & ~eroded & ~ignored


def boundary_iou_by_erosion(prediction: Tensor, truth: Tensor, ratio: float) -> float:
    p, t = prediction.numpy(), truth.numpy()
    erosions = max(1, round(ratio * math.sqrt(p.shape[1] ** 2 + p.shape[2] ** 2)))
    ious = []
    for c in range(CLASSES):
        both = either = present = 0
        for image, true in zip(p, t, strict=True):
            ignored = true == IGNORED
            ours, theirs = (band(labels == c, ignored, erosions) for labels in (image, true))
            both += (ours & theirs).sum()
            either += (ours | theirs).sum()
            present += (true == c).sum()
        if present:
            ious.append(both / either)
    return 100 * float(np.mean(ious))


@few
@given(seed=seeds, ratio=st.sampled_from([0.005, 0.06, 0.12, 0.2]))
def test_boundary_iou_is_that_of_repeated_erosions(seed: int, ratio: float) -> None:
    prediction, truth = regions(seed)
    value = score(BoundaryIoU(CLASSES, ratio), prediction, truth)
    assert value == pytest.approx(boundary_iou_by_erosion(prediction, truth, ratio))


def test_band_is_two_pixels_wide_at_64_and_the_image_border_counts() -> None:
    truth = torch.zeros(1, 64, 64, dtype=torch.int64)
    metric = BoundaryIoU(1)
    assert score(metric, truth, truth) == 100.0
    assert metric.sums[0, 2] == 64**2 - 60**2  # round(0.02 * 90.5) = 2 on every side


def test_a_border_to_ignored_pixels_is_no_boundary() -> None:
    truth = torch.zeros(1, 9, 9, dtype=torch.int64)
    truth[:, 4, 4] = IGNORED
    metric = BoundaryIoU(1)
    score(metric, torch.zeros_like(truth), truth)
    assert metric.sums.tolist() == [[9**2 - 7**2] * 3]


def test_boundary_iou_sums_over_the_set_before_dividing() -> None:
    # All pixels of a 1 x N image are band. The class has 1 of 1 and 1 of 3 pixels.
    prediction = torch.cat([line(0, 1, 1), line(0, 1, 1)])
    truth = torch.cat([line(0, 1, 1), line(0, 0, 0)])
    value = score(BoundaryIoU(2), prediction, truth)
    assert value == pytest.approx(100 * (2 / 4 + 2 / 4) / 2)


def test_boundary_iou_is_over_classes_of_the_truth() -> None:
    assert score(BoundaryIoU(5), line(0, 0, 3, 0), line(0, 0, 0, 0)) == 75.0


# Boundary F


def contour(labels: np.ndarray, c: int) -> list[tuple[int, int]]:
    height, width = labels.shape
    found = []
    for y, x in product(range(height), range(width)):
        around = [(y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)]
        others = [labels[j, i] for j, i in around if 0 <= j < height and 0 <= i < width]
        if labels[y, x] == c and any(other not in (c, IGNORED) for other in others):
            found.append((y, x))
    return found


def matched(points: list[tuple[int, int]], others: list[tuple[int, int]], tolerance: int) -> float:
    near = [any(math.dist(p, q) <= tolerance for q in others) for p in points]
    return sum(near) / len(near) if near else 0.0


def boundary_f_by_distances(prediction: Tensor, truth: Tensor, tolerance: int) -> float:
    p, t = prediction.numpy(), truth.numpy()
    means = []
    for c in range(CLASSES):
        scores, present = [], False
        for image, true in zip(p, t, strict=True):
            ours = contour(np.where(true == IGNORED, IGNORED, image), c)
            theirs = contour(true, c)
            present |= bool(theirs)
            if ours or theirs:
                precision = matched(ours, theirs, tolerance)
                recall = matched(theirs, ours, tolerance)
                total = precision + recall
                scores.append(2 * precision * recall / total if total else 0.0)
        if present:
            means.append(np.mean(scores))
    return 100 * float(np.mean(means))


@few
@given(seed=seeds, tolerance=st.integers(0, 3))
def test_boundary_f_is_that_of_brute_force_distances(seed: int, tolerance: int) -> None:
    prediction, truth = regions(seed)
    value = score(BoundaryF(CLASSES, tolerance), prediction, truth)
    assert value == pytest.approx(boundary_f_by_distances(prediction, truth, tolerance))


def test_boundary_f_tolerance_is_euclidean() -> None:
    truth = torch.zeros(1, 8, 8, dtype=torch.int64)
    prediction = truth.clone()
    truth[0, 3, 3] = prediction[0, 4, 4] = 1  # sqrt(2) apart
    values = [score(BoundaryF(2, tolerance), prediction, truth) for tolerance in (1, 2)]
    assert values[0] < 50.0
    assert values[1] == 100.0


def test_boundary_f_skips_a_class_absent_from_both_and_zeroes_one_that_is_missed() -> None:
    halves, plain = line(0, 0, 1, 1), line(0, 0, 0, 0)
    assert score(BoundaryF(2), halves, halves) == 100.0
    assert score(BoundaryF(9), halves, halves) == 100.0
    assert score(BoundaryF(2), plain, halves) == 0.0
    # A second image, without contour in either map, changes nothing.
    assert score(BoundaryF(2), torch.cat([halves, plain]), torch.cat([halves, plain])) == 100.0
    # A missing contour counts 0 in its image.
    assert score(BoundaryF(2), torch.cat([halves, halves]), torch.cat([halves, plain])) == 50.0


def test_boundary_f_is_over_classes_of_the_truth() -> None:
    truth, prediction = line(0, 0, 0, 1, 1, 1, 1, 1), line(0, 0, 0, 1, 1, 1, 1, 2)
    # class 0: P = R = 1; class 1: P = 1 / 2, R = 1; class 2 is not in the truth
    value = score(BoundaryF(3, tolerance=0), prediction, truth)
    assert value == pytest.approx(100 * (1 + 2 / 3) / 2)


# Trimap mIoU


def trimap(truth: np.ndarray, width: int) -> np.ndarray:
    """Mark pixels closer than width to one at a label change, by all pairs of pixels."""
    labels = [c for c in np.unique(truth) if c != IGNORED]
    at_change = [point for c in labels for point in contour(truth, c)]
    band = np.zeros(truth.shape, bool)
    for point in product(*map(range, truth.shape)):
        band[point] = any(math.dist(point, change) < width for change in at_change)
    return band


@few
@given(seed=seeds)
def test_trimap_miou_is_the_miou_inside_brute_force_bands(jaccard_index: Any, seed: int) -> None:
    prediction, truth = regions(seed)
    widths = (1, 2, 3, 4)
    metric = TrimapIoU(CLASSES, widths)
    metric.update(prediction, truth)
    for width in widths:
        inside = np.stack([trimap(image, width) for image in truth.numpy()])
        scored = truth.where(torch.from_numpy(inside), IGNORED)
        present = [c for c in range(CLASSES) if (scored == c).any()]
        oracle = jaccard_index(CLASSES, average="none", ignore_index=IGNORED)
        expected = 100 * oracle(prediction, scored)[present].mean().item()
        assert metric.compute()[f"trimap_miou_{width}"] == pytest.approx(expected, rel=1e-5)


def test_a_band_of_width_w_has_w_pixels_on_each_side_of_a_straight_border() -> None:
    truth = torch.zeros(1, 3, 12, dtype=torch.int64)
    truth[..., 6:] = 1
    metric = TrimapIoU(2, widths=(1, 2, 4))
    metric.update(truth, truth)
    assert metric.sums.sum((1, 2)).tolist() == [3 * 2 * w for w in (1, 2, 4)]


def test_bands_do_not_start_at_ignored_pixels_or_the_image_border() -> None:
    truth = torch.zeros(1, 5, 5, dtype=torch.int64)
    truth[:, 2, 2] = IGNORED
    metric = TrimapIoU(2)
    metric.update(torch.zeros_like(truth), truth)
    assert not metric.sums.any()


def test_the_widest_band_is_the_whole_image() -> None:
    prediction, truth = regions(5, (1, 14, 12))
    metric = TrimapIoU(CLASSES, widths=(100,))
    metric.update(prediction, truth)
    assert metric.sums.sum() == (truth != IGNORED).sum()


@pytest.mark.parametrize("ratio", [0.0, -1.0, math.nan, math.inf])
def test_impossible_ratios_are_refused(ratio: float) -> None:
    with pytest.raises(ValueError, match=f"ratio={ratio}: must be finite and above 0"):
        BoundaryIoU(2, ratio)


def test_impossible_tolerances_and_widths_are_refused() -> None:
    with pytest.raises(ValueError, match="tolerance=-1: must be at least 0"):
        BoundaryF(2, tolerance=-1)
    for widths in ((), (0, 1), (2, 2)):
        with pytest.raises(ValueError, match=r"widths=.*: must be distinct, each at least 1"):
            TrimapIoU(2, widths)
