"""Boundary metrics of semantic segmentation."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Self

import torch
import torch.nn.functional as F
from torch import Tensor

from dejavu.data.sample import IGNORE_INDEX
from dejavu.metrics.base import Metric, MetricSpec, check_classes, check_labels, mean_where
from dejavu.metrics.edges import distance_to, label_changes, same_label_within
from dejavu.metrics.segmentation import confusion, count_labels, iou_of

TASK = "segmentation"


class BoundaryIoU(Metric):
    """IoU of the bands inside each class's contour (after Cheng et al., CVPR 2021).

    A mask's band is the mask minus its erosion by 3 x 3, d times, d = max(1, round(ratio x image
    diagonal)); the mask is empty outside the image, so that the image border counts. The semantic
    version is our own: per class; ignored pixels count as inside for both erosions and are then
    dropped, so that a border to them is no boundary; intersections and unions are summed over
    the set; the mean is over the classes that have a band in the ground truth.

    Args:
        num_classes: K.
        ratio: width of the band as a fraction of the image diagonal, above 0.
        ignore_index: label of ignored pixels in the target.

    Shape:
        - prediction, target: B x H x W int64.

    Raises:
        ValueError: a setting is out of its range.

    Example:
        >>> metric = BoundaryIoU(num_classes=2)
        >>> labels = torch.tensor([[[0, 0, 1, 1]] * 4])
        >>> metric.update(labels, labels)
        >>> metric.compute()
        {'boundary_iou': 100.0}
    """

    protocol_keys = ("boundary_ratio",)
    specs = (MetricSpec("boundary_iou", "%", True),)

    @classmethod
    def create(cls, channels: int, settings: Mapping[str, Any]) -> Self:  # noqa: D102
        return cls(channels, ratio=settings["boundary_ratio"])

    def __init__(
        self, num_classes: int, ratio: float = 0.02, ignore_index: int = IGNORE_INDEX
    ) -> None:
        check_classes(num_classes, ignore_index)
        if not (0 < ratio < math.inf):
            raise ValueError(f"ratio={ratio}: must be finite and above 0")
        self.num_classes = num_classes
        self.ratio = ratio
        self.ignore_index = ignore_index
        self.sums = torch.zeros(num_classes, 3, dtype=torch.int64)

    def image_sums(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Count each class's pixels in both bands, in the predicted, in the true: B x K x 3."""
        check_labels(prediction, target, self.num_classes, self.ignore_index)
        width = max(1, round(self.ratio * math.hypot(*target.shape[-2:])))
        ignored = target == self.ignore_index
        ours, truth = (inner_band(labels, ignored, width) for labels in (prediction, target))
        counted = [
            (target, ours & truth & (prediction == target)),
            (prediction, ours),
            (target, truth),
        ]
        counts = [count_labels(labels, where, self.num_classes) for labels, where in counted]
        return torch.stack(counts, dim=2)

    def compute(self) -> dict[str, float]:  # noqa: D102
        both, ours, truth = self.sums.double().unbind(1)
        return {"boundary_iou": 100 * mean_where(both / (ours + truth - both), truth > 0)}


def inner_band(labels: Tensor, ignored: Tensor, width: int) -> Tensor:
    """Mark the pixels that leave their own class's mask when it is eroded by 3 x 3, width times.

    These erosions equal one by a square of side 2 width + 1: a pixel leaves if the square around it
    contains another class or the outside of the image. As every pixel has one class, the highest
    and the lowest label per square decide for all classes at once.

    Args:
        labels: B x H x W integer.
        ignored: B x H x W bool; these pixels are never marked, nor another class to any pixel.
        width: pixels.

    Returns:
        B x H x W bool.

    Example:
        >>> labels = torch.zeros(1, 3, 3, dtype=torch.int64)
        >>> inner_band(labels, labels > 0, width=1).long().tolist()
        [[[1, 1, 1], [1, 0, 1], [1, 1, 1]]]
    """

    def highest(values: Tensor) -> Tensor:
        known = values.masked_fill(ignored, -math.inf)
        padded = F.pad(known, [width] * 4, value=math.inf)
        rows = F.max_pool2d(padded, (1, 2 * width + 1), stride=1)
        return F.max_pool2d(rows, (2 * width + 1, 1), stride=1)

    own = labels.float()
    return ((highest(own) != own) | (highest(-own) != -own)) & ~ignored


class BoundaryF(Metric):
    """F-measure of contours, matched within a tolerance (after DAVIS, 2016).

    A class's contour in an image is its pixels that touch (4-neighbours) another class; neither
    the image border nor a border to ignored pixels is contour. A contour pixel is matched if the
    other map's contour of that class has a pixel within the tolerance (Euclidean, between
    centres); one pixel may match many, as in DAVIS, whereas Martin et al. (2004) match one to one.
    P and R are the matched fractions of the predicted and of the true contour. F = 2PR / (P + R)
    for each image and class; a class is skipped if neither map has its contour, and counts 0 if
    only one has. The mean is over images for each class, then over the classes that have a contour
    in the ground truth of the set.

    Args:
        num_classes: K.
        tolerance: pixels, at least 0; DAVIS takes ceil(0.008 x image diagonal).
        ignore_index: label of ignored pixels in the target.

    Shape:
        - prediction, target: B x H x W int64.

    Raises:
        ValueError: a setting is out of its range.

    Example:
        >>> truth = torch.tensor([[[0, 0, 0, 1, 1, 1]]])
        >>> for tolerance in (0, 1):
        ...     metric = BoundaryF(num_classes=2, tolerance=tolerance)
        ...     metric.update(torch.tensor([[[0, 0, 1, 1, 1, 1]]]), truth)
        ...     metric.compute()
        {'boundary_f': 0.0}
        {'boundary_f': 100.0}
    """

    protocol_keys = ("boundary_tolerance",)
    specs = (MetricSpec("boundary_f", "%", True),)

    @classmethod
    def create(cls, channels: int, settings: Mapping[str, Any]) -> Self:  # noqa: D102
        return cls(channels, tolerance=settings["boundary_tolerance"])

    def __init__(
        self, num_classes: int, tolerance: int = 1, ignore_index: int = IGNORE_INDEX
    ) -> None:
        check_classes(num_classes, ignore_index)
        if tolerance < 0:
            raise ValueError(f"tolerance={tolerance}: must be at least 0 pixels")
        self.num_classes = num_classes
        self.tolerance = tolerance
        self.ignore_index = ignore_index
        self.sums = torch.zeros(num_classes, 3, dtype=torch.float64)

    def image_sums(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Return F, whether F counts, and whether the truth has a contour: B x K x 3."""
        check_labels(prediction, target, self.num_classes, self.ignore_index)
        # Predictions at ignored pixels are neither right nor wrong.
        prediction = prediction.where(target != self.ignore_index, self.ignore_index)
        ours, truth = (self._contours(labels) for labels in (prediction, target))
        precision, in_ours = self._matched(ours, truth)
        recall, in_truth = self._matched(truth, ours)
        score = 2 * precision * recall / (precision + recall).clamp(min=1e-12)
        return torch.stack([score, (in_ours | in_truth).double(), in_truth.double()], dim=2)

    def _contours(self, labels: Tensor) -> Tensor:
        """Keep the labels of contour pixels, B x H x W; -1 elsewhere."""
        return labels.where(label_changes(labels, self.ignore_index), -1)

    def _matched(self, contours: Tensor, others: Tensor) -> tuple[Tensor, Tensor]:
        """Matched fraction of each class's contour, and whether the class has a contour."""
        near = same_label_within(contours, others, self.tolerance)
        hits = count_labels(contours, near, self.num_classes).double()
        length = count_labels(contours, contours >= 0, self.num_classes)
        return hits / length.clamp(min=1), length > 0

    def compute(self) -> dict[str, float]:  # noqa: D102
        total, images, truths = self.sums.unbind(1)
        return {"boundary_f": 100 * mean_where(total / images, truths > 0)}


class TrimapIoU(Metric):
    """Mean IoU over the pixels near a label change of the ground truth, by width.

    A pixel touches a label change if a 4-neighbour has another label (a border to ignored pixels
    is none). The band of width w holds the pixels whose centre is less than w from the centre of a
    touching pixel, so that a straight border has w pixels on each side: w = 1 is the touching
    pixels alone. Each width has one confusion matrix over the set; the mean is over the classes
    that the ground truth has in the band.

    Args:
        num_classes: K.
        widths: half-widths of the bands, pixels: distinct, each at least 1.
        ignore_index: label of ignored pixels in the target.

    Shape:
        - prediction, target: B x H x W int64.

    Raises:
        ValueError: a setting is out of its range.

    Example:
        >>> metric = TrimapIoU(num_classes=2, widths=(1, 2))
        >>> truth = torch.tensor([[[0, 0, 0, 1, 1, 1]]])
        >>> metric.update(torch.tensor([[[0, 1, 0, 1, 1, 1]]]), truth)
        >>> {name: round(value, 2) for name, value in metric.compute().items()}
        {'trimap_miou_1': 100.0, 'trimap_miou_2': 58.33}
    """

    protocol_keys = ("trimap_widths",)

    @classmethod
    def create(cls, channels: int, settings: Mapping[str, Any]) -> Self:  # noqa: D102
        return cls(channels, widths=settings["trimap_widths"])

    def __init__(
        self,
        num_classes: int,
        widths: Sequence[int] = (1, 2, 4, 8, 16),
        ignore_index: int = IGNORE_INDEX,
    ) -> None:
        check_classes(num_classes, ignore_index)
        if not widths or min(widths) < 1 or len(set(widths)) < len(widths):
            raise ValueError(f"widths={tuple(widths)}: must be distinct, each at least 1 pixel")
        self.num_classes = num_classes
        self.widths = tuple(widths)
        self.ignore_index = ignore_index
        self.specs = tuple(MetricSpec(f"trimap_miou_{w}", "%", True) for w in self.widths)
        shape = (len(self.widths), num_classes, num_classes)
        self.sums = torch.zeros(shape, dtype=torch.int64)

    def image_sums(self, prediction: Tensor, target: Tensor) -> Tensor:  # noqa: D102
        check_labels(prediction, target, self.num_classes, self.ignore_index)
        distance = distance_to(label_changes(target, self.ignore_index))
        distance = distance.masked_fill(target == self.ignore_index, math.inf)
        matrices = [
            confusion(prediction, target, distance < width, self.num_classes)
            for width in self.widths
        ]
        return torch.stack(matrices, dim=1)

    def compute(self) -> dict[str, float]:  # noqa: D102
        scores = [iou_of(matrix) for matrix in self.sums]
        return {
            spec.name: 100 * mean_where(iou, ~iou.isnan())
            for spec, iou in zip(self.specs, scores, strict=True)
        }
