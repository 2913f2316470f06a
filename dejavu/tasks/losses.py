"""Common parts of the task losses: a loss is a mean over the pixels with known ground truth.

Each takes a weight per pixel: 2 counts a pixel twice, 0 leaves it out, and a common factor changes
nothing. If no pixel counts, the loss and its gradient are 0. If processes share a batch
(`dejavu.runtime.collective`), the mean of their losses is the loss of the whole batch.
"""

from collections.abc import Callable

from torch import Tensor

from dejavu.runtime.collective import mean_across

Loss = Callable[[Tensor, Tensor, Tensor | None], Tensor]
"""A loss of prediction, target and weights per pixel (or None): a scalar."""


def masked_mean(values: Tensor, valid: Tensor, weight: Tensor | None = None) -> Tensor:
    """Weighted mean over the valid pixels; 0, without gradient, if there is none.

    Args:
        values: B x H x W, finite also at invalid pixels.
        valid: B x H x W bool.
        weight: B x H x W, at least 0; ones if None.

    Returns:
        A scalar.

    Example:
        >>> import torch
        >>> values = torch.tensor([[[1.0, 4.0, 9.0]]])
        >>> masked_mean(values, values < 9, torch.tensor([[[2.0, 1.0, 1.0]]])).item()
        2.0
    """
    weight = valid.to(values.dtype) if weight is None else weight * valid
    total = mean_across(weight.sum())
    return (values * weight).sum() / total.where(total > 0, 1)


def counted(valid: Tensor, weight: Tensor | None) -> Tensor:
    """Mark the valid pixels with a weight above 0.

    Args:
        valid: B x H x W bool.
        weight: B x H x W, or None.

    Returns:
        B x H x W bool.

    Example:
        >>> import torch
        >>> counted(torch.tensor([[[True, True]]]), torch.tensor([[[0.0, 2.0]]])).tolist()
        [[[False, True]]]
    """
    return valid if weight is None else valid & (weight > 0)
