"""Losses of the tasks: means over the pixels whose truth is known.

Each takes a weight per pixel: 2 counts a pixel twice, 0 leaves it out, and a common factor changes
nothing. Without any pixel that counts the loss is 0, and so is its gradient. Where processes share
a batch (`dejavu.runtime.collective`), the mean of their losses is the loss of the whole batch.
"""

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from dejavu.data.sample import IGNORE_INDEX
from dejavu.runtime.collective import gather_across, mean_across


def masked_mean(values: Tensor, valid: Tensor, weight: Tensor | None = None) -> Tensor:
    """Weighted mean over the valid pixels; 0, without gradient, where there is none.

    Args:
        values: B x H x W, finite at pixels that are not valid, too.
        valid: B x H x W bool.
        weight: B x H x W, at least 0; ones if None.

    Returns:
        A scalar.

    Example:
        >>> values = torch.tensor([[[1.0, 4.0, 9.0]]])
        >>> masked_mean(values, values < 9, torch.tensor([[[2.0, 1.0, 1.0]]])).item()
        2.0
    """
    weight = valid.to(values.dtype) if weight is None else weight * valid
    total = mean_across(weight.sum())
    return (values * weight).sum() / total.where(total > 0, 1)


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

    After Shrivastava et al. (2016), by pixels, as real-time segmentation networks are trained:
    hard are those whose class is given a probability below the threshold. Where these are fewer
    than the fraction ``min_kept`` of the labelled pixels, that many of the largest losses are kept
    (and what ties with the last of them). A pixel of weight 0 is not labelled.

    Args:
        logits: B x K x H x W.
        target: B x H x W int64; `IGNORE_INDEX` where there is no label.
        weight: B x H x W, or None; no part in the choice of pixels but for 0.
        threshold: probability in (0, 1).
        min_kept: fraction of the labelled pixels, in (0, 1); one pixel is kept at least.

    Returns:
        A scalar.

    Example:
        >>> logits = torch.tensor([[4.0, 0.0], [0.0, 0.0]]).view(1, 2, 1, 2)
        >>> target = torch.zeros(1, 1, 2, dtype=torch.int64)
        >>> round(ohem_cross_entropy(logits, target).exp().item(), 3)  # the second pixel alone
        2.0
    """
    losses = F.cross_entropy(logits, target, ignore_index=IGNORE_INDEX, reduction="none")
    valid = _counted(target != IGNORE_INDEX, weight)
    kept = max(1, int(min_kept * int(gather_across(valid.sum()).sum())))
    least = gather_across(losses.masked_fill(~valid, 0)).topk(kept).values[-1]
    hard = (losses > -math.log(threshold)) | (losses >= least)
    return masked_mean(losses, valid & hard, weight)


def silog(prediction: Tensor, target: Tensor, weight: Tensor | None = None) -> Tensor:
    """Scale-invariant log error of Eigen et al. (2014), in the form in use since.

    With e = ln prediction - ln truth, sqrt(var(e) + 0.15 mean(e)^2), over the pixels of the batch.

    Args:
        prediction: B x 1 x H x W metres, above 0.
        target: B x 1 x H x W metres; 0 where unknown.
        weight: B x H x W, or None.

    Returns:
        A scalar.

    Example:
        >>> truth = torch.tensor([1.0, 2.0, 0.0]).view(1, 1, 1, 3)
        >>> loss = silog(truth.where(truth > 0, 9) * math.e, truth)  # e = 1 at both known pixels
        >>> round(loss.item() ** 2, 4)
        0.15
    """
    valid = _counted((target > 0)[:, 0], weight)
    if not gather_across(valid.any()).any():  # the root would be of its epsilon, not 0
        return prediction.sum() * 0
    error = (prediction.log() - target.where(target > 0, 1).log())[:, 0]
    mean = mean_across(masked_mean(error, valid, weight))
    variance = mean_across(masked_mean((error - mean).square(), valid, weight))
    return (variance + 0.15 * mean.square() + 1e-8).sqrt()


def berhu(prediction: Tensor, target: Tensor, weight: Tensor | None = None) -> Tensor:
    """Reversed Huber loss in metres (Laina et al., 2016): L1 for small errors, L2 for large ones.

    With x = |prediction - truth| and c a fifth of the batch's largest x: x up to c, and
    (x^2 + c^2) / 2c above, which meets it with the same slope. No gradient flows through c.

    Args:
        prediction: B x 1 x H x W metres.
        target: B x 1 x H x W metres; 0 where unknown.
        weight: B x H x W, or None; a pixel of weight 0 has no part in c either.

    Returns:
        A scalar.

    Example:
        >>> truth = torch.tensor([1.0, 1.0, 0.0]).view(1, 1, 1, 3)
        >>> errors = torch.tensor([0.5, 5.0, 99.0]).view(1, 1, 1, 3)
        >>> berhu(truth + errors, truth).item()  # c = 1: (0.5 + (25 + 1) / 2) / 2
        6.75
    """
    valid = _counted((target > 0)[:, 0], weight)
    error = (prediction - target).abs()[:, 0]
    # Without any error c is 0, and the branch that is not taken must not divide by it.
    c = (0.2 * gather_across((error * valid).max()).max()).clamp(min=1e-6)
    losses = torch.where(error <= c, error, (error.square() + c.square()) / (2 * c))
    return masked_mean(losses, valid, weight)


def absolute_depth(prediction: Tensor, target: Tensor, weight: Tensor | None = None) -> Tensor:
    """Mean absolute error in metres.

    Args:
        prediction: B x 1 x H x W metres.
        target: B x 1 x H x W metres; 0 where unknown.
        weight: B x H x W, or None.

    Returns:
        A scalar.

    Example:
        >>> truth = torch.tensor([1.0, 0.0]).view(1, 1, 1, 2)
        >>> absolute_depth(torch.full_like(truth, 3.0), truth).item()
        2.0
    """
    return masked_mean((prediction - target).abs()[:, 0], (target > 0)[:, 0], weight)


def cosine(prediction: Tensor, target: Tensor, weight: Tensor | None = None) -> Tensor:
    """Mean of 1 - cosine of the angle between the vectors.

    Args:
        prediction: B x 3 x H x W unit vectors.
        target: B x 3 x H x W unit vectors; zero where unknown.
        weight: B x H x W, or None.

    Returns:
        A scalar in [0, 2].

    Example:
        >>> x, y = torch.eye(3)[:2].view(2, 1, 3, 1, 1)
        >>> cosine(x, y).item(), cosine(x, -x).item()
        (1.0, 2.0)
    """
    return masked_mean(1 - (prediction * target).sum(1), (target != 0).any(1), weight)


def angular(prediction: Tensor, target: Tensor, weight: Tensor | None = None) -> Tensor:
    """Mean angle between the vectors, in radians.

    It is 2 atan2(|a - b|, |a + b|), after Kahan (2006): exact for small angles, and its gradient
    stays finite where that of an arc cosine does not, at equal and at opposite vectors.

    Args:
        prediction: B x 3 x H x W unit vectors.
        target: B x 3 x H x W unit vectors; zero where unknown.
        weight: B x H x W, or None.

    Returns:
        A scalar in [0, pi].

    Example:
        >>> x, y = torch.eye(3)[:2].view(2, 1, 3, 1, 1)
        >>> round(math.degrees(angular(x, y).item()), 3)
        90.0
    """
    apart, along = (torch.linalg.vector_norm(prediction + sign * target, dim=1) for sign in (-1, 1))
    return masked_mean(2 * torch.atan2(apart, along), (target != 0).any(1), weight)


def absolute_normals(prediction: Tensor, target: Tensor, weight: Tensor | None = None) -> Tensor:
    """Mean absolute difference of the vectors, over the known pixels and the three components.

    Args:
        prediction: B x 3 x H x W unit vectors.
        target: B x 3 x H x W unit vectors; zero where unknown.
        weight: B x H x W, or None.

    Returns:
        A scalar: a third of the mean L1 norm of the difference.

    Example:
        >>> x, y = torch.eye(3)[:2].view(2, 1, 3, 1, 1)
        >>> round(absolute_normals(x, y).item(), 4)
        0.6667
    """
    return masked_mean((prediction - target).abs().mean(1), (target != 0).any(1), weight)


Loss = Callable[[Tensor, Tensor, Tensor | None], Tensor]

DEPTH_LOSSES: dict[str, Loss] = {
    "silog": silog,
    "berhu": berhu,
    "l1": absolute_depth,
}
"""Losses of metres by their name in params."""

NORMALS_LOSSES: dict[str, Loss] = {
    "cosine": cosine,
    "angular": angular,
    "l1": absolute_normals,
}
"""Losses of unit vectors by their name in params."""


def _counted(valid: Tensor, weight: Tensor | None) -> Tensor:
    """Mark the valid pixels of a weight above 0."""
    return valid if weight is None else valid & (weight > 0)
