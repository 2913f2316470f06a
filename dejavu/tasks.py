"""Everything that is known about a task, in one object each; all else iterates over tasks.

A network's *output* is raw (logits, log-depth position, unnormalised vectors), B x C x H x W. A
*prediction* is what is scored and shown: labels, metres, unit vectors. A *condition* is what the
regeneration module sees: bounded, dense, differentiable.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import ClassVar

import torch
import torch.nn.functional as F
from matplotlib import colormaps
from torch import Tensor

from dejavu.config import EvaluationParams
from dejavu.data.sample import IGNORE_INDEX, Sample
from dejavu.edges import depth_edges, label_changes, normal_edges
from dejavu.metrics import (
    BoundaryF,
    BoundaryIoU,
    ComponentError,
    ConfusionMetric,
    DepthEdgeMetric,
    DepthMetric,
    DepthProtocol,
    Metric,
    NormalsEdgeMetric,
    NormalsMetric,
    TrimapIoU,
)


class Task(ABC):
    """One dense-prediction task.

    Attributes:
        name: the task's name in params, tables and paths.
        primary: the metric that the task's claim is about.
        boundary: the metric that the boundary claim is about.
        channels: channels of the network's output, and of the condition.
    """

    name: ClassVar[str]
    primary: ClassVar[str]
    boundary: ClassVar[str]
    channels: int

    @abstractmethod
    def target(self, sample: Sample) -> Tensor:
        """Return the ground truth of a batch."""

    @abstractmethod
    def loss(self, output: Tensor, target: Tensor, weight: Tensor | None = None) -> Tensor:
        """Return the task loss, a scalar over the valid pixels, weighted by B x H x W weights."""

    @abstractmethod
    def edges(self, target: Tensor) -> Tensor:
        """Mark the pixels where the ground truth jumps, B x H x W bool."""

    @abstractmethod
    def condition(self, output: Tensor) -> Tensor:
        """Map the output to the dense condition of the CRM, B x channels x H x W."""

    def harden(self, condition: Tensor) -> Tensor | None:
        """Make a condition hard (a soft class mask one-hot); None where that has no meaning."""
        return None

    @abstractmethod
    def encode(self, target: Tensor) -> Tensor:
        """Write the ground truth as a condition; zeros where it is unknown."""

    @abstractmethod
    def predict(self, output: Tensor) -> Tensor:
        """Map the output to what is scored: the same kind of tensor as `target`."""

    @abstractmethod
    def metrics(self, protocol: EvaluationParams) -> list[Metric]:
        """Return fresh metrics of the task's protocol."""

    @abstractmethod
    def colour(self, prediction: Tensor) -> Tensor:
        """Draw predictions as B x H x W x 3 uint8."""

    @abstractmethod
    def error(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Return each pixel's error, B x H x W in [0, 1]; 0 where the truth is unknown."""

    def colour_error(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Draw the error as B x H x W x 3 uint8: black is none."""
        return _colour_map(self.error(prediction, target), "inferno")


class Segmentation(Task):
    """Semantic segmentation: one logit per class, cross-entropy.

    Args:
        palette: one RGB colour (0 to 255) per class.
    """

    name = "segmentation"
    primary = "miou"
    boundary = "boundary_iou"

    def __init__(self, palette: Sequence[Sequence[int]]) -> None:
        self.channels = len(palette)
        self.palette = torch.tensor([*palette, (0, 0, 0)], dtype=torch.uint8)

    def target(self, sample: Sample) -> Tensor:  # noqa: D102
        return sample.label

    def loss(  # noqa: D102
        self, output: Tensor, target: Tensor, weight: Tensor | None = None
    ) -> Tensor:
        losses = F.cross_entropy(output, target, ignore_index=IGNORE_INDEX, reduction="none")
        return _mean(losses, target != IGNORE_INDEX, weight)

    def edges(self, target: Tensor) -> Tensor:  # noqa: D102
        return label_changes(target, IGNORE_INDEX)

    def condition(self, output: Tensor) -> Tensor:  # noqa: D102
        return output.softmax(1)

    def harden(self, condition: Tensor) -> Tensor:  # noqa: D102
        return F.one_hot(condition.argmax(1), self.channels).permute(0, 3, 1, 2).to(condition)

    def encode(self, target: Tensor) -> Tensor:  # noqa: D102
        known = target != IGNORE_INDEX
        one_hot = F.one_hot(target.where(known, 0), self.channels).permute(0, 3, 1, 2)
        return one_hot.float() * known.unsqueeze(1)

    def predict(self, output: Tensor) -> Tensor:  # noqa: D102
        return output.argmax(1)

    def metrics(self, protocol: EvaluationParams) -> list[Metric]:  # noqa: D102
        return [
            ConfusionMetric(self.channels),
            BoundaryIoU(self.channels, ratio=protocol.boundary_ratio),
            BoundaryF(self.channels, tolerance=protocol.boundary_tolerance),
            TrimapIoU(self.channels, widths=tuple(protocol.trimap_widths)),
            ComponentError(self.channels),
        ]

    def colour(self, prediction: Tensor) -> Tensor:  # noqa: D102
        return self.palette[prediction.clamp(max=self.channels)]

    def error(self, prediction: Tensor, target: Tensor) -> Tensor:  # noqa: D102
        return ((prediction != target) & (target != IGNORE_INDEX)).float()


class Depth(Task):
    """Metric depth: the output's sigmoid is the position between NEAR and FAR on a log scale.

    The condition is that position from -1 (near) to 1 (far), centred as the image is.

    The loss is the scale-invariant one of Eigen et al. (2014) as used since: with
    e = ln prediction - ln truth, sqrt(var(e) + 0.15 mean(e)^2), over the batch's valid pixels.
    """

    name = "depth"
    primary = "rmse"
    boundary = "edge_rmse"
    channels = 1

    NEAR = 0.1
    """Nearest depth that can be predicted, metres."""
    FAR = 20.0
    """Farthest depth that can be predicted, metres."""
    SHOWN = (0.5, 10.0)
    """Depths between which pictures change colour, metres."""

    def target(self, sample: Sample) -> Tensor:  # noqa: D102
        return sample.depth

    def loss(  # noqa: D102
        self, output: Tensor, target: Tensor, weight: Tensor | None = None
    ) -> Tensor:
        valid = (target > 0)[:, 0]
        if not valid.any():  # no label: no loss, and no gradient
            return output.sum() * 0
        error = (self.predict(output).log() - target.where(target > 0, 1).log())[:, 0]
        mean = _mean(error, valid, weight)
        variance = _mean((error - mean).square(), valid, weight)
        return (variance + 0.15 * mean.square() + 1e-8).sqrt()

    def edges(self, target: Tensor) -> Tensor:  # noqa: D102
        return depth_edges(target)

    def condition(self, output: Tensor) -> Tensor:  # noqa: D102
        return 2 * output.sigmoid() - 1

    def encode(self, target: Tensor) -> Tensor:  # noqa: D102
        known = target > 0
        position = (target.where(known, 1.0) / self.NEAR).log() / math.log(self.FAR / self.NEAR)
        return (2 * position.clamp(0, 1) - 1) * known

    def predict(self, output: Tensor) -> Tensor:  # noqa: D102
        return self.NEAR * (output.sigmoid() * math.log(self.FAR / self.NEAR)).exp()

    def metrics(self, protocol: EvaluationParams) -> list[Metric]:  # noqa: D102
        limits = DepthProtocol(min_depth=protocol.min_depth, max_depth=protocol.max_depth)
        return [DepthMetric(limits), DepthEdgeMetric(limits, width=protocol.edge_width)]

    def colour(self, prediction: Tensor) -> Tensor:  # noqa: D102
        near, far = self.SHOWN
        position = (prediction[:, 0].clamp(near, far) / near).log() / math.log(far / near)
        return _colour_map(1 - position, "turbo")

    def error(self, prediction: Tensor, target: Tensor) -> Tensor:  # noqa: D102
        relative = (prediction - target).abs() / target.clamp(min=self.NEAR)
        return (relative * (target > 0))[:, 0].clamp(0, 1)


class Normals(Task):
    """Surface normals: unit vectors, trained by 1 - cosine."""

    name = "normals"
    primary = "mean_angle"
    boundary = "edge_mean_angle"
    channels = 3

    def target(self, sample: Sample) -> Tensor:  # noqa: D102
        return sample.normals

    def loss(  # noqa: D102
        self, output: Tensor, target: Tensor, weight: Tensor | None = None
    ) -> Tensor:
        cosine = (self.predict(output) * target).sum(1)
        return _mean(1 - cosine, (target != 0).any(1), weight)

    def edges(self, target: Tensor) -> Tensor:  # noqa: D102
        return normal_edges(target)

    def condition(self, output: Tensor) -> Tensor:  # noqa: D102
        return self.predict(output)

    def encode(self, target: Tensor) -> Tensor:  # noqa: D102
        return target

    def predict(self, output: Tensor) -> Tensor:  # noqa: D102
        return F.normalize(output, dim=1)

    def metrics(self, protocol: EvaluationParams) -> list[Metric]:  # noqa: D102
        return [NormalsMetric(), NormalsEdgeMetric(width=protocol.edge_width)]

    def colour(self, prediction: Tensor) -> Tensor:
        """Draw unit vectors as B x H x W x 3 uint8: towards the camera is bluish, as usual."""
        facing = prediction * torch.tensor([1.0, -1.0, -1.0]).view(1, 3, 1, 1)
        return ((facing + 1) * 127.5).round().to(torch.uint8).permute(0, 2, 3, 1)

    def error(self, prediction: Tensor, target: Tensor) -> Tensor:  # noqa: D102
        cosine = (prediction * target).sum(1).clamp(-1, 1)
        return cosine.acos() / math.pi * (target != 0).any(1)


TASKS: dict[str, Callable[[Sequence[Sequence[int]]], Task]] = {
    Segmentation.name: Segmentation,
    Depth.name: lambda palette: Depth(),
    Normals.name: lambda palette: Normals(),
}
"""Tasks by name; each is made from the palette of the data set's classes."""


def _mean(values: Tensor, valid: Tensor, weight: Tensor | None) -> Tensor:
    """Weighted mean over the valid pixels, B x H x W each; 0, without gradient, where none is."""
    weight = valid.to(values.dtype) if weight is None else weight * valid
    total = weight.sum()
    return (values * weight).sum() / total.where(total > 0, 1)


def _colour_map(values: Tensor, name: str) -> Tensor:
    coloured = colormaps[name](values.clamp(0, 1).numpy(), bytes=True)
    return torch.from_numpy(coloured[..., :3].copy())
