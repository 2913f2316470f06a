"""Region metrics of semantic segmentation."""

from collections.abc import Mapping
from typing import Any, Self

import torch
from torch import Tensor

from dejavu.data.sample import IGNORE_INDEX
from dejavu.metrics.base import Metric, MetricSpec, check_classes, check_labels, mean_where

TASK = "segmentation"


def count_labels(labels: Tensor, counted: Tensor, num_labels: int) -> Tensor:
    """Count the pixels of each image by label.

    Args:
        labels: B x H x W int64; below num_labels where counted.
        counted: B x H x W bool.
        num_labels: N.

    Returns:
        B x N int64.

    Example:
        >>> labels = torch.tensor([[[0, 2, 2]]])
        >>> count_labels(labels, labels >= 0, num_labels=3).tolist()
        [[1, 0, 2]]
    """
    image = torch.arange(len(labels), device=labels.device).view(-1, 1, 1)
    cell = (image * num_labels + labels)[counted]
    return torch.bincount(cell, minlength=len(labels) * num_labels).view(-1, num_labels)


def confusion(prediction: Tensor, target: Tensor, counted: Tensor, num_classes: int) -> Tensor:
    """Count the pixels of each image by (target, prediction).

    Args:
        prediction: B x H x W int64.
        target: B x H x W int64.
        counted: B x H x W bool.
        num_classes: K.

    Returns:
        B x K x K int64, rows by target.
    """
    pairs = target * num_classes + prediction
    return count_labels(pairs, counted, num_classes**2).view(-1, num_classes, num_classes)


def iou_of(matrix: Tensor) -> Tensor:
    """IoU of each class from a K x K confusion matrix; NaN for classes absent from the truth.

    IoU = TP / (TP + FP + FN). In a comparison of methods the mean must be over the same classes
    for all: those present in the ground truth.

    Example:
        >>> iou_of(torch.tensor([[1, 1], [0, 2]])).tolist()
        [0.5, 0.6666666666666666]
    """
    hits = matrix.diagonal().double()
    union = matrix.sum(0) + matrix.sum(1) - matrix.diagonal()
    iou = hits / union
    return iou.masked_fill(matrix.sum(1) == 0, float("nan"))


class ConfusionMetric(Metric):
    """Mean IoU and pixel accuracy from ONE confusion matrix over the whole set.

    Pixels with an ignored label are dropped. The mean is over the classes that are present in the
    ground truth of the set.

    Args:
        num_classes: K.
        ignore_index: label of ignored pixels in the target.

    Shape:
        - prediction, target: B x H x W int64.

    Example:
        >>> metric = ConfusionMetric(num_classes=2)
        >>> metric.update(torch.tensor([[[0, 1, 1, 1]]]), torch.tensor([[[0, 0, 1, 1]]]))
        >>> {name: round(value, 2) for name, value in metric.compute().items()}
        {'miou': 58.33, 'pixel_accuracy': 75.0}
    """

    specs = (MetricSpec("miou", "%", True), MetricSpec("pixel_accuracy", "%", True))

    @classmethod
    def create(cls, channels: int, settings: Mapping[str, Any]) -> Self:  # noqa: D102
        return cls(channels)

    def __init__(self, num_classes: int, ignore_index: int = IGNORE_INDEX) -> None:
        check_classes(num_classes, ignore_index)
        self.num_classes = num_classes
        self.ignore_index = ignore_index
        self.sums = torch.zeros(num_classes, num_classes, dtype=torch.int64)

    def image_sums(self, prediction: Tensor, target: Tensor) -> Tensor:  # noqa: D102
        check_labels(prediction, target, self.num_classes, self.ignore_index)
        return confusion(prediction, target, target != self.ignore_index, self.num_classes)

    def iou_per_class(self) -> Tensor:
        """Return each class's IoU in %, K; NaN for classes absent from the ground truth."""
        return 100 * iou_of(self.sums)

    def compute(self) -> dict[str, float]:  # noqa: D102
        iou = self.iou_per_class()
        seen = self.sums.sum().double()
        accuracy = 100 * self.sums.diagonal().sum() / seen
        return {"miou": mean_where(iou, ~iou.isnan()), "pixel_accuracy": accuracy.item()}
