"""Everything that is known about a task, in one object each; all else iterates over tasks.

A network's *output* is raw (logits, log-depth position, unnormalised vectors), B x C x H x W. A
*prediction* is what is scored and shown: labels, metres, unit vectors. A *condition* is what the
regeneration module sees: bounded, dense, differentiable. A *soft prediction* is what may be resized
and averaged over views of an image before it is decided: probabilities, metres, unit vectors.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from dejavu.config.tasks import DepthParams, NormalsParams, SegmentationParams
from dejavu.data.sample import IGNORE_INDEX, Batch, mirror_normals
from dejavu.metrics.edges import depth_edges, label_changes, normal_edges
from dejavu.tasks.losses import DEPTH_LOSSES, NORMALS_LOSSES, cross_entropy, ohem_cross_entropy

Settings = Mapping[str, Any]
"""A section of the params as plain values: what ``model_dump`` gives and a checkpoint holds."""


class Task(ABC):
    """One dense-prediction task.

    Attributes:
        name: the task's name in params, tables and paths.
        primary: the metric that the task's claim is about.
        boundary: the metric that the boundary claim is about.
        channels: channels of the network's output.
        condition_channels: channels of the condition and of the encoded ground truth.
    """

    name: ClassVar[str]
    primary: ClassVar[str]
    boundary: ClassVar[str]
    channels: int
    condition_channels: int

    @abstractmethod
    def target(self, batch: Batch) -> Tensor:
        """Return the ground truth of a batch."""

    @abstractmethod
    def loss(self, output: Tensor, target: Tensor, weight: Tensor | None = None) -> Tensor:
        """Return the task loss, a scalar over the valid pixels, weighted by B x H x W weights."""

    @abstractmethod
    def edges(self, target: Tensor) -> Tensor:
        """Mark the pixels where the ground truth jumps, B x H x W bool."""

    @abstractmethod
    def condition(self, output: Tensor) -> Tensor:
        """Map the output to the dense condition of the CRM, B x condition_channels x H x W."""

    def harden(self, condition: Tensor) -> Tensor | None:
        """Make a condition hard (a soft class mask one-hot); None where that has no meaning."""
        return None

    @abstractmethod
    def encode(self, target: Tensor) -> Tensor:
        """Write the ground truth as a condition; zeros where it is unknown."""

    @abstractmethod
    def predict(self, output: Tensor) -> Tensor:
        """Map the output to what is scored: the same kind of tensor as `target`."""

    def resize(self, maps: Tensor, size: Sequence[int]) -> Tensor:
        """Resize outputs or soft predictions, bilinearly between pixel centres.

        Args:
            maps: B x C x h x w.
            size: height and width, such as the ground truth's.

        Returns:
            B x C x height x width.
        """
        return F.interpolate(maps, tuple(size), mode="bilinear", align_corners=False)

    def soft(self, output: Tensor) -> Tensor:
        """Map the output to the soft prediction, B x condition_channels x H x W."""
        return self.predict(output)

    def mirror(self, soft: Tensor) -> Tensor:
        """Mirror a soft prediction left to right: that for the mirrored image, turned back."""
        return soft.flip(-1)

    def decide(self, soft: Tensor) -> Tensor:
        """Map a soft prediction, such as a mean of several, to what is scored."""
        return soft


class Segmentation(Task):
    """Semantic segmentation: one logit per class.

    Args:
        palette: one RGB colour (0 to 255) per class.
        settings: the section of the params, or its values; the defaults if None.
    """

    name = "segmentation"
    primary = "miou"
    boundary = "boundary_iou"

    def __init__(
        self,
        palette: Sequence[Sequence[int]],
        settings: SegmentationParams | Settings | None = None,
    ) -> None:
        self.settings = SegmentationParams.model_validate(settings or {})
        self.channels = self.condition_channels = len(palette)
        self.palette = torch.tensor([*palette, (0, 0, 0)], dtype=torch.uint8)

    def target(self, batch: Batch) -> Tensor:  # noqa: D102
        return batch.label

    def loss(  # noqa: D102
        self, output: Tensor, target: Tensor, weight: Tensor | None = None
    ) -> Tensor:
        if self.settings.loss == "cross_entropy":
            return cross_entropy(output, target, weight)
        threshold, min_kept = self.settings.ohem_threshold, self.settings.ohem_min_kept
        return ohem_cross_entropy(output, target, weight, threshold=threshold, min_kept=min_kept)

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

    def soft(self, output: Tensor) -> Tensor:  # noqa: D102
        return output.softmax(1)

    def decide(self, soft: Tensor) -> Tensor:  # noqa: D102
        return soft.argmax(1)


class Depth(Task):
    """Metric depth between the settings' near and far.

    The output's sigmoid is the position between them, on a log scale (head ``log``) or a linear
    one (``linear``); or there is one logit for each of a number of fixed depths, even on a log
    scale from near to far, whose expectation is predicted (``bins``; after Bhat et al., 2021, whose
    bins are the network's, too).

    The condition is the position on the log scale from -1 (near) to 1 (far) for every head,
    centred as the image is; for bins, the expected one.

    Args:
        settings: the section of the params, or its values; the defaults if None.
    """

    name = "depth"
    primary = "rmse"
    boundary = "edge_rmse"
    condition_channels = 1

    def __init__(self, settings: DepthParams | Settings | None = None) -> None:
        self.settings = DepthParams.model_validate(settings or {})
        self.channels = self.settings.bins if self.settings.head == "bins" else 1
        self._near, self._far = self.settings.near, self.settings.far

    def target(self, batch: Batch) -> Tensor:  # noqa: D102
        return batch.depth

    def loss(  # noqa: D102
        self, output: Tensor, target: Tensor, weight: Tensor | None = None
    ) -> Tensor:
        # What is farther than any prediction, such as the sky by stereo, would never be learned.
        reachable = target * (target <= self._far)
        return DEPTH_LOSSES[self.settings.loss](self.predict(output), reachable, weight)

    def edges(self, target: Tensor) -> Tensor:  # noqa: D102
        return depth_edges(target)

    def condition(self, output: Tensor) -> Tensor:  # noqa: D102
        if self.settings.head == "linear":
            return 2 * self._position(self.predict(output)) - 1
        if self.settings.head == "bins":
            return 2 * self._expect(output, self._bins(output)) - 1
        return 2 * output.sigmoid() - 1

    def encode(self, target: Tensor) -> Tensor:  # noqa: D102
        known = target > 0
        return (2 * self._position(target.where(known, 1.0)).clamp(0, 1) - 1) * known

    def predict(self, output: Tensor) -> Tensor:  # noqa: D102
        if self.settings.head == "linear":
            return self._near + (self._far - self._near) * output.sigmoid()
        if self.settings.head == "bins":
            return self._expect(output, self._metres(self._bins(output)))
        return self._metres(output.sigmoid())

    def _position(self, depth: Tensor) -> Tensor:
        """Map metres to the position on the log scale, 0 at near and 1 at far."""
        return (depth / self._near).log() / math.log(self._far / self._near)

    def _metres(self, position: Tensor) -> Tensor:
        """Map positions on the log scale to metres: the inverse of `_position`."""
        return self._near * (position * math.log(self._far / self._near)).exp()

    def _bins(self, output: Tensor) -> Tensor:
        """Positions of the bins on the log scale."""
        return torch.linspace(0, 1, self.channels, device=output.device)

    def _expect(self, output: Tensor, values: Tensor) -> Tensor:
        """Expectation of a value per bin under the output's softmax, B x 1 x H x W."""
        return (output.softmax(1) * values.view(1, -1, 1, 1)).sum(1, keepdim=True)


class Normals(Task):
    """Surface normals: unit vectors.

    Args:
        settings: the section of the params, or its values; the defaults if None.
    """

    name = "normals"
    primary = "mean_angle"
    boundary = "edge_mean_angle"
    channels = 3
    condition_channels = 3

    def __init__(self, settings: NormalsParams | Settings | None = None) -> None:
        self.settings = NormalsParams.model_validate(settings or {})

    def target(self, batch: Batch) -> Tensor:  # noqa: D102
        return batch.normals

    def loss(  # noqa: D102
        self, output: Tensor, target: Tensor, weight: Tensor | None = None
    ) -> Tensor:
        return NORMALS_LOSSES[self.settings.loss](self.predict(output), target, weight)

    def edges(self, target: Tensor) -> Tensor:  # noqa: D102
        return normal_edges(target)

    def condition(self, output: Tensor) -> Tensor:  # noqa: D102
        return self.predict(output)

    def encode(self, target: Tensor) -> Tensor:  # noqa: D102
        return target

    def predict(self, output: Tensor) -> Tensor:  # noqa: D102
        return F.normalize(output, dim=1)

    def mirror(self, soft: Tensor) -> Tensor:  # noqa: D102
        return mirror_normals(soft)

    def decide(self, soft: Tensor) -> Tensor:  # noqa: D102
        return F.normalize(soft, dim=1)


TASKS: dict[str, Callable[..., Task]] = {
    Segmentation.name: Segmentation,
    Depth.name: lambda palette, settings=None: Depth(settings),
    Normals.name: lambda palette, settings=None: Normals(settings),
}
"""Tasks by name; `create_task` makes them."""


def create_task(
    name: str,
    palette: Sequence[Sequence[int]],
    settings: SegmentationParams | DepthParams | NormalsParams | Settings | None = None,
) -> Task:
    """Make a task from its name, the classes of its data and its settings.

    Args:
        name: its name in `TASKS`.
        palette: one RGB colour (0 to 255) per class of the data; read by segmentation alone.
        settings: the task's own section of the params, or its values, which may be fewer; the
            defaults if None.

    Raises:
        ValueError: the name is unknown, or a setting is unknown or impossible.

    Example:
        >>> create_task("depth", [], {"head": "bins", "bins": 32}).channels
        32
    """
    if name not in TASKS:
        raise ValueError(f"name={name!r}: no such task; known: {', '.join(TASKS)}")
    return TASKS[name](palette, settings)
