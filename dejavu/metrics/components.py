"""Spatial consistency of semantic segmentation."""

from collections.abc import Mapping
from typing import Any, Self

import numpy as np
import torch
from skimage.measure import label as label_components
from torch import Tensor

from dejavu.data.sample import IGNORE_INDEX
from dejavu.metrics.base import Metric, MetricSpec, check_classes, check_labels

TASK = "segmentation"


class ComponentError(Metric):
    """Spatial consistency: difference in the number of pieces between prediction and truth.

    A piece is a 4-connected component of one class in one image; ignored pixels belong to none.
    The absolute differences between the predicted and the true number of pieces are summed over
    all images and classes, and divided by the number of (image, class) pairs in the TRUTH, so
    that pieces of a class that an image lacks always raise the error. Specks and broken objects
    raise it even where few pixels are wrong.

    Args:
        num_classes: K.
        ignore_index: label of ignored pixels in the target.

    Shape:
        - prediction, target: B x H x W int64.

    Example:
        >>> metric = ComponentError(num_classes=2)
        >>> metric.update(torch.tensor([[[1, 0, 1, 0]]]), torch.tensor([[[1, 1, 1, 0]]]))
        >>> metric.compute()
        {'component_error': 1.0}
    """

    specs = (MetricSpec("component_error", "1", False),)

    @classmethod
    def create(cls, channels: int, settings: Mapping[str, Any]) -> Self:  # noqa: D102
        return cls(channels)

    def __init__(self, num_classes: int, ignore_index: int = IGNORE_INDEX) -> None:
        check_classes(num_classes, ignore_index)
        self.num_classes = num_classes
        self.ignore_index = ignore_index
        self.sums = torch.zeros(2, dtype=torch.int64)

    def image_sums(self, prediction: Tensor, target: Tensor) -> Tensor:  # noqa: D102
        check_labels(prediction, target, self.num_classes, self.ignore_index)
        known = target != self.ignore_index
        ours, truth = (
            count_components(labels, known, self.num_classes) for labels in (prediction, target)
        )
        return torch.stack([(ours - truth).abs().sum(1), (truth > 0).sum(1)], dim=1)

    def compute(self) -> dict[str, float]:  # noqa: D102
        difference, pairs = self.sums.double()
        return {"component_error": (difference / pairs).item()}


def count_components(labels: Tensor, counted: Tensor, num_classes: int) -> Tensor:
    """Count the 4-connected components of each class among the counted pixels of each image.

    Args:
        labels: B x H x W int64.
        counted: B x H x W bool.
        num_classes: K.

    Returns:
        B x K int64, on the device of labels.

    Example:
        >>> labels = torch.tensor([[[0, 1], [1, 0]]])
        >>> count_components(labels, labels >= 0, num_classes=3).tolist()
        [[2, 2, 0]]
    """
    # skimage labels the components of all values at once; 0 is its background.
    values = (labels + 1).where(counted, 0).cpu().numpy()
    counts = torch.zeros(len(values), num_classes, dtype=torch.int64)
    for image, row in zip(values, counts, strict=True):
        components = label_components(image, connectivity=1)
        owner = np.zeros(components.max() + 1, np.int64)
        owner[components] = image
        row += torch.from_numpy(np.bincount(owner[1:], minlength=num_classes + 1)[1:])
    return counts.to(labels.device)
