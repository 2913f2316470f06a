"""The interface of a task: everything about it except its figures and its metrics.

A task is one module of this folder, whose function ``create(palette, settings)`` builds it
(`dejavu.tasks.registry`); all other code iterates over tasks.

A network's *output* is raw (logits, log-depth position, unnormalised vectors), B x C x H x W. A
*prediction* is scored and shown: labels, metres, unit vectors. A *condition* is the input of the
regeneration module: dense, differentiable, from -1 to 1. A *soft prediction* can be resized and
averaged over views of an image before it becomes a prediction: probabilities, metres, unit vectors.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch.nn.functional as F
from torch import Tensor

from dejavu.data.sample import Batch

Settings = Mapping[str, Any]
"""A section of the params as plain values, as in ``model_dump`` and in checkpoints."""


class Task(ABC):
    """One dense-prediction task.

    Attributes:
        name: the task's name in params, tables and paths.
        primary: the metric of the claim about the task.
        boundary: the metric of the claim about boundaries.
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
        """Harden a condition (a soft class mask to one-hot); None if the task has no hard form."""
        return None

    @abstractmethod
    def encode(self, target: Tensor) -> Tensor:
        """Encode the ground truth as a condition; zeros where it is unknown."""

    @abstractmethod
    def predict(self, output: Tensor) -> Tensor:
        """Map the output to the prediction: the same kind of tensor as `target`."""

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
        """Mirror a soft prediction left to right, such as to undo the mirroring of its image."""
        return soft.flip(-1)

    def decide(self, soft: Tensor) -> Tensor:
        """Map a soft prediction, such as the mean over views, to the prediction."""
        return soft
