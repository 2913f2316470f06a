"""The interface of a metric: sums of a fixed size, with update and compute."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import torch
from torch import Tensor


@dataclass(frozen=True)
class MetricSpec:
    """Name, unit and direction of one number that a metric computes.

    Attributes:
        name: identifier, as in ``runs.csv`` (such as ``miou``).
        unit: ``%`` (0 to 100), ``m``, ``deg``, or ``1`` for a plain ratio.
        higher_is_better: the direction of improvement.
    """

    name: str
    unit: str
    higher_is_better: bool


class Metric(ABC):
    """Additive sums over a set of images, and the numbers computed from them.

    The sums are one float64 or int64 tensor of fixed size whatever the number of images, so
    that no number depends on the batches in which a set is scored.

    The evaluation finds metrics by their module: its literal ``TASK`` names the task that they
    score.

    Attributes:
        protocol_keys: the settings of the evaluation (`EvaluationParams`) that `create` reads.
        specs: the numbers that `compute` returns.
        sums: the sums over the images so far.
    """

    protocol_keys: ClassVar[tuple[str, ...]] = ()
    specs: tuple[MetricSpec, ...]
    sums: Tensor

    @classmethod
    @abstractmethod
    def create(cls, channels: int, settings: Mapping[str, Any]) -> Self:
        """Create the metric from the settings of a study.

        Args:
            channels: channels of the network's output: for segmentation the number of classes.
            settings: the values of ``protocol_keys``, no others.
        """

    @abstractmethod
    def image_sums(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Return each image's own sums: B x (shape of ``sums``)."""

    @abstractmethod
    def compute(self) -> dict[str, float]:
        """Return one number per spec, by name; NaN without any valid pixel."""

    def update(self, prediction: Tensor, target: Tensor) -> None:
        """Add a batch of images.

        Raises:
            ValueError: the tensors differ in shape or are not of the metric's kind; the message
                names the argument, its value or shape, and the requirement.
        """
        with torch.no_grad():
            self.sums += self.image_sums(prediction, target).sum(0).to(self.sums.device)


def check_classes(num_classes: int, ignore_index: int) -> None:
    """Refuse settings without classes, or with a class that would be ignored.

    Raises:
        ValueError: with the argument, its value and the requirement.
    """
    if num_classes < 1:
        raise ValueError(f"num_classes={num_classes}: must be at least 1")
    if 0 <= ignore_index < num_classes:
        raise ValueError(
            f"ignore_index={ignore_index}: must not be one of the classes 0 to {num_classes - 1}"
        )


def check_maps(prediction: Tensor, target: Tensor, channels: int) -> None:
    """Refuse maps that are not both floating-point B x ``channels`` x H x W and finite.

    Raises:
        ValueError: with the argument, its shape or value, and the requirement.
    """
    for name, maps in (("prediction", prediction), ("target", target)):
        if maps.ndim != 4 or maps.shape[1] != channels or not maps.is_floating_point():
            raise ValueError(
                f"{name} is {maps.dtype} of shape {tuple(maps.shape)}; "
                f"it must be floating point, B x {channels} x H x W"
            )
        if not maps.isfinite().all():
            raise ValueError(f"{name} holds NaN or infinite values; all must be finite")
    _check_shapes(prediction, target)


def check_labels(prediction: Tensor, target: Tensor, num_classes: int, ignore_index: int) -> None:
    """Refuse label maps that are not both int64 B x H x W with labels in range.

    Raises:
        ValueError: with the argument, its shape or value, and the requirement.
    """
    for name, labels in (("prediction", prediction), ("target", target)):
        if labels.ndim != 3 or labels.dtype != torch.int64:
            raise ValueError(
                f"{name} is {labels.dtype} of shape {tuple(labels.shape)}; "
                "it must be int64, B x H x W"
            )
        wrong = (labels < 0) | (labels >= num_classes)
        if name == "target":
            wrong &= labels != ignore_index
        if wrong.any():
            raise ValueError(
                f"{name} holds the label {labels[wrong][0].item()}; labels are 0 to "
                f"{num_classes - 1}" + (f" and {ignore_index}" if name == "target" else "")
            )
    _check_shapes(prediction, target)


def _check_shapes(prediction: Tensor, target: Tensor) -> None:
    if prediction.shape != target.shape:
        raise ValueError(
            f"prediction has shape {tuple(prediction.shape)} and target {tuple(target.shape)}; "
            "they must be the same: resize the prediction to the target first"
        )


def mean_where(values: Tensor, valid: Tensor) -> float:
    """Mean of the valid values; NaN if there is none."""
    return values[valid].double().mean().item() if valid.any() else float("nan")
