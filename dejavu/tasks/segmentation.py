"""Semantic segmentation."""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from dejavu.config.tasks import SegmentationParams
from dejavu.data.sample import IGNORE_INDEX, Batch
from dejavu.runtime.collective import gather_across
from dejavu.tasks.base import Settings, Task
from dejavu.tasks.losses import counted, masked_mean

TRUTH = "segmentation"


def create(
    palette: Sequence[Sequence[int]], settings: SegmentationParams | Settings | None = None
) -> Task:
    """Create the task."""
    return Segmentation(palette, settings)


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
        from dejavu.metrics.edges import label_changes

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


def cross_entropy(logits: Tensor, target: Tensor, weight: Tensor | None = None) -> Tensor:
    """Mean cross entropy in nats over the labelled pixels of the batch.

    Args:
        logits: B x K x H x W.
        target: B x H x W int64; `IGNORE_INDEX` where there is no label.
        weight: B x H x W, or None.

    Returns:
        A scalar.

    Example:
        >>> logits = torch.tensor([0.0, math.log(3)]).view(1, 2, 1, 1)
        >>> round(cross_entropy(logits, torch.zeros(1, 1, 1, dtype=torch.int64)).exp().item(), 3)
        4.0
    """
    losses = F.cross_entropy(logits, target, ignore_index=IGNORE_INDEX, reduction="none")
    return masked_mean(losses, target != IGNORE_INDEX, weight)


def ohem_cross_entropy(
    logits: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    *,
    threshold: float = 0.7,
    min_kept: float = 1 / 16,
) -> Tensor:
    """Mean cross entropy over the hard pixels of the batch (online hard example mining).

    After Shrivastava et al. (2016), per pixel, as in the training of real-time segmentation
    networks: a pixel is hard if the probability of its class is below the threshold. If the hard
    pixels are fewer than the fraction ``min_kept`` of the labelled ones, that many pixels with the
    largest losses are kept (and ties with the last of them). A pixel of weight 0 is not labelled.

    Args:
        logits: B x K x H x W.
        target: B x H x W int64; `IGNORE_INDEX` where there is no label.
        weight: B x H x W, or None; the choice of pixels depends on it only where it is 0.
        threshold: probability in (0, 1).
        min_kept: fraction of the labelled pixels, in (0, 1); at least one pixel is kept.

    Returns:
        A scalar.

    Example:
        >>> logits = torch.tensor([[4.0, 0.0], [0.0, 0.0]]).view(1, 2, 1, 2)
        >>> target = torch.zeros(1, 1, 2, dtype=torch.int64)
        >>> round(ohem_cross_entropy(logits, target).exp().item(), 3)  # the second pixel alone
        2.0
    """
    losses = F.cross_entropy(logits, target, ignore_index=IGNORE_INDEX, reduction="none")
    valid = counted(target != IGNORE_INDEX, weight)
    kept = max(1, int(min_kept * int(gather_across(valid.sum()).sum())))
    least = gather_across(losses.masked_fill(~valid, 0)).topk(kept).values[-1]
    hard = (losses > -math.log(threshold)) | (losses >= least)
    return masked_mean(losses, valid & hard, weight)
