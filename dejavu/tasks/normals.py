"""Surface normals."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from dejavu.config.tasks import NormalsParams
from dejavu.data.sample import Batch, mirror_normals
from dejavu.tasks.base import Settings, Task
from dejavu.tasks.losses import Loss, masked_mean

TRUTH = "normals"


def create(
    palette: Sequence[Sequence[int]], settings: NormalsParams | Settings | None = None
) -> Task:
    """Create the task; the palette is not used."""
    return Normals(settings)


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
        return LOSSES[self.settings.loss](self.predict(output), target, weight)

    def edges(self, target: Tensor) -> Tensor:  # noqa: D102
        from dejavu.metrics.edges import normal_edges

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

    The angle is 2 atan2(|a - b|, |a + b|), after Kahan (2006): exact for small angles, and with a
    finite gradient also at equal and at opposite vectors, unlike the arc cosine.

    Args:
        prediction: B x 3 x H x W unit vectors.
        target: B x 3 x H x W unit vectors; zero where unknown.
        weight: B x H x W, or None.

    Returns:
        A scalar in [0, pi].

    Example:
        >>> x, y = torch.eye(3)[:2].view(2, 1, 3, 1, 1)
        >>> round(angular(x, y).rad2deg().item(), 3)
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


LOSSES: dict[str, Loss] = {
    "cosine": cosine,
    "angular": angular,
    "l1": absolute_normals,
}
"""Losses on unit vectors by their name in params."""
