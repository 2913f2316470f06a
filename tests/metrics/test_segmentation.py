import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from dejavu.metrics.segmentation import ConfusionMetric
from tests.support.labels import IGNORED, random_labels

few = settings(max_examples=25)


def scored(metric: ConfusionMetric, *maps: Tensor) -> dict[str, float]:
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
