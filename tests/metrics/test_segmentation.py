import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from torch import Tensor

from dejavu.metrics import ComponentError, ConfusionMetric
from dejavu.metrics.segmentation import count_components

few = settings(max_examples=25)
IGNORED = 255


def random_labels(seed: int, classes: int, shape: tuple[int, int, int]) -> tuple[Tensor, Tensor]:
    draws = torch.Generator().manual_seed(seed)
    prediction = torch.randint(classes, shape, generator=draws)
    truth = torch.randint(classes, shape, generator=draws)
    truth = truth.where(torch.rand(shape, generator=draws) < 0.4, prediction)
    return prediction, truth.where(torch.rand(shape, generator=draws) > 0.1, IGNORED)


def scored(metric: ConfusionMetric | ComponentError, *maps: Tensor) -> dict[str, float]:
    metric.update(*maps)
    return metric.compute()


@few
@given(seed=st.integers(0, 10**6), classes=st.integers(2, 5))
def test_miou_is_that_of_torchmetrics_where_all_classes_are_present(
    jaccard_index: Any, seed: int, classes: int
) -> None:
    prediction, truth = random_labels(seed, classes, (3, 9, 11))
    oracle = jaccard_index(classes, average="macro", ignore_index=IGNORED)
    values = scored(ConfusionMetric(classes), prediction, truth)
    assert set(truth.unique().tolist()) == {*range(classes), IGNORED}
    assert values["miou"] == pytest.approx(100 * oracle(prediction, truth).item(), rel=1e-5)
    known = truth.numpy() != IGNORED
    accuracy = (prediction.numpy() == truth.numpy())[known].mean()
    assert values["pixel_accuracy"] == pytest.approx(100 * accuracy)


def test_four_pixels_by_hand() -> None:
    # class 0: 1 of 2 (one missed); class 1: 2 of 3 (one too many)
    values = scored(
        ConfusionMetric(2), torch.tensor([[[0, 1], [1, 1]]]), torch.tensor([[[0, 0], [1, 1]]])
    )
    assert values == pytest.approx({"miou": 100 * (1 / 2 + 2 / 3) / 2, "pixel_accuracy": 75.0})


def test_one_confusion_matrix_over_the_set_not_a_mean_over_images() -> None:
    prediction = torch.tensor([[[0, 0, 0, 0]], [[1, 1, 1, 0]]])
    truth = torch.tensor([[[0, 0, 0, 1]], [[1, 1, 1, 1]]])
    over_set = (3 / 5 + 3 / 5) / 2
    per_image = ((3 / 4 + 0) / 2 + 3 / 4) / 2
    metric = ConfusionMetric(2)
    for image in range(2):  # not a mean over batches either
        metric.update(prediction[image : image + 1], truth[image : image + 1])
    assert metric.compute()["miou"] == pytest.approx(100 * over_set)
    assert over_set != per_image


def test_a_class_absent_from_both_is_left_out_not_counted_as_one() -> None:
    maps = torch.tensor([[[0, 1]]]), torch.tensor([[[0, 0]]])
    assert scored(ConfusionMetric(2), *maps)["miou"] == 50.0
    assert scored(ConfusionMetric(9), *maps)["miou"] == 50.0


def test_a_class_that_only_the_prediction_has_is_no_class_of_the_mean() -> None:
    prediction, truth = torch.tensor([[[0, 0, 0, 1]]]), torch.tensor([[[0, 0, 0, 0]]])
    metric = ConfusionMetric(2)
    assert scored(metric, prediction, truth)["miou"] == 75.0
    assert metric.iou_per_class()[0] == 75.0
    assert math.isnan(metric.iou_per_class()[1])


def test_a_class_never_found_counts_zero() -> None:
    metric = ConfusionMetric(2)
    scored(metric, torch.tensor([[[0, 0, 0, 0]]]), torch.tensor([[[0, 0, 0, 1]]]))
    assert metric.iou_per_class().tolist() == [75.0, 0.0]


def test_rows_of_the_matrix_are_the_truth() -> None:
    metric = ConfusionMetric(3)
    scored(metric, torch.tensor([[[1, 1, 0]]]), torch.tensor([[[2, 2, IGNORED]]]))
    assert metric.sums.tolist() == [[0, 0, 0], [0, 0, 0], [0, 2, 0]]


def components_by_hand(labels: np.ndarray, known: np.ndarray, classes: int) -> list[int]:
    return [ndimage.label((labels == c) & known)[1] for c in range(classes)]


@few
@given(seed=st.integers(0, 10**6), classes=st.integers(1, 5))
def test_component_error_counts_as_scipy_does(seed: int, classes: int) -> None:
    prediction, truth = (maps.numpy() for maps in random_labels(seed, classes, (3, 8, 7)))
    total = pairs = 0
    for p, t in zip(prediction, truth, strict=True):
        known = t != IGNORED
        ours, theirs = (components_by_hand(labels, known, classes) for labels in (p, t))
        total += sum(abs(a - b) for a, b in zip(ours, theirs, strict=True))
        pairs += sum(n > 0 for n in theirs)
    maps = torch.from_numpy(prediction), torch.from_numpy(truth)
    value = scored(ComponentError(classes), *maps)["component_error"]
    assert value == pytest.approx(total / pairs)


def test_components_are_joined_by_sides_not_by_corners() -> None:
    diagonal = torch.eye(3, dtype=torch.int64)[None]
    counts = count_components(diagonal, torch.ones_like(diagonal, dtype=torch.bool), 2)
    assert counts.tolist() == [[2, 3]]


def test_ignored_pixels_divide_components_and_are_none() -> None:
    labels = torch.tensor([[[1, 1, 1]]])
    counted = torch.tensor([[[True, False, True]]])
    assert count_components(labels, counted, 2).tolist() == [[0, 2]]


def test_pieces_of_a_class_that_the_image_lacks_raise_the_component_error() -> None:
    truth = torch.zeros(1, 5, 5, dtype=torch.int64)
    truth[0, ::2, ::2] = 1  # nine pieces, of which the prediction has none
    nothing = torch.zeros_like(truth)
    speck = nothing.clone()
    speck[0, 0, 0] = 2
    better = scored(ComponentError(3), nothing, truth)["component_error"]
    worse = scored(ComponentError(3), speck, truth)["component_error"]
    assert (better, worse) == (4.5, 5.0)
