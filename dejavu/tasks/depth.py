"""Metric depth."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from dejavu.config.tasks import DepthParams
from dejavu.data.sample import Batch
from dejavu.runtime.collective import gather_across, mean_across
from dejavu.tasks.base import Settings, Task
from dejavu.tasks.losses import Loss, counted, masked_mean

TRUTH = "depth"


def create(
    palette: Sequence[Sequence[int]], settings: DepthParams | Settings | None = None
) -> Task:
    """Create the task; the palette is not used."""
    return Depth(settings)


class Depth(Task):
    """Metric depth between the settings' near and far.

    With head ``log`` or ``linear``, the output's sigmoid is the position between near and far on a
    log or linear scale. With head ``bins``, there is one logit for each of a number of fixed
    depths, evenly spaced on the log scale, and the prediction is their expectation (after Bhat et
    al., 2021, whose network predicts the bins, too).

    For every head, the condition is the position on the log scale from -1 (near) to 1 (far),
    centred like the image; for bins, the expected position.

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
        # Depths beyond far, such as the sky's by stereo, can never be predicted.
        reachable = target * (target <= self._far)
        return LOSSES[self.settings.loss](self.predict(output), reachable, weight)

    def edges(self, target: Tensor) -> Tensor:  # noqa: D102
        from dejavu.metrics.edges import depth_edges

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


def silog(prediction: Tensor, target: Tensor, weight: Tensor | None = None) -> Tensor:
    """Scale-invariant log error of Eigen et al. (2014), in its common later form.

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
    valid = counted((target > 0)[:, 0], weight)
    if not gather_across(valid.any()).any():  # the root of epsilon is not 0
        return prediction.sum() * 0
    error = (prediction.log() - target.where(target > 0, 1).log())[:, 0]
    mean = mean_across(masked_mean(error, valid, weight))
    variance = mean_across(masked_mean((error - mean).square(), valid, weight))
    return (variance + 0.15 * mean.square() + 1e-8).sqrt()


def berhu(prediction: Tensor, target: Tensor, weight: Tensor | None = None) -> Tensor:
    """Reversed Huber loss in metres (Laina et al., 2016): L1 for small errors, L2 for large ones.

    With x = |prediction - truth| and c a fifth of the batch's largest x: x up to c, and
    (x^2 + c^2) / 2c above; value and slope agree at c. No gradient flows through c.

    Args:
        prediction: B x 1 x H x W metres.
        target: B x 1 x H x W metres; 0 where unknown.
        weight: B x H x W, or None; a pixel of weight 0 does not count for c either.

    Returns:
        A scalar.

    Example:
        >>> truth = torch.tensor([1.0, 1.0, 0.0]).view(1, 1, 1, 3)
        >>> errors = torch.tensor([0.5, 5.0, 99.0]).view(1, 1, 1, 3)
        >>> berhu(truth + errors, truth).item()  # c = 1: (0.5 + (25 + 1) / 2) / 2
        6.75
    """
    valid = counted((target > 0)[:, 0], weight)
    error = (prediction - target).abs()[:, 0]
    # Without any error c is 0, and even the unused branch must not divide by 0.
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


LOSSES: dict[str, Loss] = {
    "silog": silog,
    "berhu": berhu,
    "l1": absolute_depth,
}
"""Losses on metres by their name in params."""
