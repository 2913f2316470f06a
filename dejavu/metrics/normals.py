"""Metrics of surface normals."""

import math
from collections.abc import Mapping
from typing import Any, Self

import torch
import torch.nn.functional as F
from torch import Tensor

from dejavu.metrics.base import Metric, MetricSpec, check_maps
from dejavu.metrics.edges import check_width, distance_to, normal_edges

TASK = "normals"

_BINS_PER_DEGREE = 100
_BINS = 180 * _BINS_PER_DEGREE


def angles(prediction: Tensor, target: Tensor) -> Tensor:
    """Angle between two fields of vectors in degrees, computed in fp32.

    theta = 2 atan2(|a - b|, |a + b|) on normalised vectors, which is exact for small and for large
    angles, where the arc cosine is not (Kahan, 2006). A zero vector is at 90 degrees to any other.

    Args:
        prediction: B x 3 x H x W, of any length.
        target: B x 3 x H x W, of any length.

    Returns:
        B x H x W float32 in [0, 180].

    Example:
        >>> angles(torch.eye(3)[:1].view(1, 3, 1, 1), torch.eye(3)[1:2].view(1, 3, 1, 1)).item()
        90.0
    """
    a, b = F.normalize(prediction.float(), dim=1), F.normalize(target.float(), dim=1)
    apart, along = ((a + sign * b).square().sum(1).sqrt() for sign in (-1, 1))
    return torch.rad2deg(2 * torch.atan2(apart, along))


class NormalsMetric(Metric):
    """Angular errors over all valid pixels of the set, pooled.

    Pixels are valid if their truth is not the zero vector; a predicted zero vector errs by 90
    degrees. RMSE = sqrt mean theta^2. The median (the lower one of an even number) comes from a
    histogram and is exact to half of its 0.01 degree bins. Shares are of pixels strictly below
    11.25, 22.5 and 30 degrees.

    Shape:
        - prediction, target: B x 3 x H x W, in the same frame; need not be normalised.

    Example:
        >>> metric = NormalsMetric()
        >>> metric.update(torch.eye(3)[:1].view(1, 3, 1, 1), torch.eye(3)[:1].view(1, 3, 1, 1))
        >>> metric.compute()["mean_angle"], metric.compute()["within_11_25"]
        (0.0, 100.0)
    """

    THRESHOLDS = (11.25, 22.5, 30.0)
    specs = (
        MetricSpec("mean_angle", "deg", False),
        MetricSpec("median_angle", "deg", False),
        MetricSpec("rmse_angle", "deg", False),
        MetricSpec("within_11_25", "%", True),
        MetricSpec("within_22_5", "%", True),
        MetricSpec("within_30", "%", True),
    )

    @classmethod
    def create(cls, channels: int, settings: Mapping[str, Any]) -> Self:  # noqa: D102
        return cls()

    def __init__(self) -> None:
        self.sums = torch.zeros(3 + len(self.THRESHOLDS) + _BINS, dtype=torch.float64)

    def image_sums(self, prediction: Tensor, target: Tensor) -> Tensor:  # noqa: D102
        check_maps(prediction, target, channels=3)
        valid = (target != 0).any(1).flatten(1)
        theta = angles(prediction, target).flatten(1).double().masked_fill(~valid, 0)
        below = [((theta < t) & valid).sum(1) for t in self.THRESHOLDS]
        bins = (theta * _BINS_PER_DEGREE).long().clamp(max=_BINS - 1)
        histogram = torch.zeros(len(theta), _BINS, dtype=torch.float64, device=theta.device)
        histogram.scatter_add_(1, bins, valid.double())
        scalars = torch.stack([valid.sum(1), theta.sum(1), theta.square().sum(1), *below], dim=1)
        return torch.cat([scalars, histogram], dim=1)

    def compute(self) -> dict[str, float]:  # noqa: D102
        count, total, squares, *below = self.sums[: 3 + len(self.THRESHOLDS)]
        values = [
            total / count,
            self._median(count),
            (squares / count).sqrt(),
            *(100 * share / count for share in below),
        ]
        return {spec.name: float(v) for spec, v in zip(self.specs, values, strict=True)}

    def _median(self, count: Tensor) -> float:
        """Centre of the histogram bin that contains the median."""
        if count == 0:
            return math.nan
        reached = self.sums[3 + len(self.THRESHOLDS) :].cumsum(0) >= count / 2
        return (int(reached.nonzero()[0]) + 0.5) / _BINS_PER_DEGREE


class NormalsEdgeMetric(Metric):
    """Mean angular error near discontinuities of the ground truth's normals, pooled.

    A discontinuity is a jump between 4-neighbours by more than 20 degrees; its band holds the
    valid pixels whose centre is less than ``width`` from the centre of a pixel at a jump.

    Args:
        width: pixels on each side of a discontinuity, at least 1.

    Shape:
        - prediction, target: B x 3 x H x W, in the same frame; need not be normalised.

    Raises:
        ValueError: width is below 1.

    Example:
        >>> x, y, z = torch.eye(3).tolist()
        >>> truth, prediction = (
        ...     torch.tensor(rows).T.view(1, 3, 1, 4) for rows in ([x, x, y, y], [z, x, z, z])
        ... )
        >>> metric = NormalsEdgeMetric(width=1)
        >>> metric.update(prediction, truth)
        >>> metric.compute()
        {'edge_mean_angle': 45.0}
    """

    protocol_keys = ("edge_width",)
    specs = (MetricSpec("edge_mean_angle", "deg", False),)

    @classmethod
    def create(cls, channels: int, settings: Mapping[str, Any]) -> Self:  # noqa: D102
        return cls(width=settings["edge_width"])

    def __init__(self, width: int = 2) -> None:
        self.width = check_width(width)
        self.sums = torch.zeros(2, dtype=torch.float64)

    def image_sums(self, prediction: Tensor, target: Tensor) -> Tensor:  # noqa: D102
        check_maps(prediction, target, channels=3)
        band = distance_to(normal_edges(target)) < self.width
        counted = band & (target != 0).any(1)
        theta = angles(prediction, target).double() * counted
        return torch.stack([theta.sum((1, 2)), counted.sum((1, 2)).double()], dim=1)

    def compute(self) -> dict[str, float]:  # noqa: D102
        total, count = self.sums
        return {"edge_mean_angle": (total / count).item()}
