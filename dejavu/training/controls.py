"""Controls without regeneration: random erasing, and loss weights at boundaries."""

import torch
from torch import Tensor

from dejavu.metrics.edges import distance_to
from dejavu.runtime.collective import Share
from dejavu.runtime.seeding import fold
from dejavu.runtime.torchvision_import import import_torchvision
from dejavu.study.run import Run
from dejavu.tasks.base import Task


class Controls:
    """The controls of a run's method, in its training steps.

    Args:
        run: a run with a control.
        task: its task.
        share: this process's part of every batch.
    """

    def __init__(self, run: Run, task: Task, share: Share) -> None:
        self._method = run.params.methods[run.method]
        self._task, self._share, self._seed = task, share, run.seed

    def alter(self, image: Tensor, step: int) -> Tensor:
        """Change the images that the network is given, b x 3 x H x W, normalised."""
        if self._method.erasing:
            image = erase(image, self._method.erasing, self._share, self._seed, step)
        return image

    def pixel_weights(self, target: Tensor) -> Tensor | None:
        """Weigh the pixels of the task loss, B x H x W; None if all count alike."""
        if not self._method.boundary_weight:
            return None
        extra, width = self._method.boundary_weight, self._method.boundary_width
        return boundary_weights(self._task, target, extra, width)


def boundary_weights(task: Task, target: Tensor, extra: float, width: int) -> Tensor:
    """Weigh pixels near the edges of the ground truth more: a control for sharper boundaries.

    Args:
        task: the task, which defines the edges.
        target: the ground truth of a batch.
        extra: weight added near an edge to the 1 of all pixels.
        width: largest distance to an edge, in pixels, at which a pixel is near.

    Returns:
        B x H x W.
    """
    return 1 + extra * (distance_to(task.edges(target)) <= width)


def erase(image: Tensor, probability: float, share: Share, seed: int, step: int) -> Tensor:
    """Erase random rectangles (Zhong et al., 2020), to mean grey: a control for redaction.

    Args:
        image: b x 3 x H x W, this process's part of the batch, normalised.
        probability: probability that an image loses a rectangle.
        share: this process's part of the batch.
        seed: seed of the run.
        step: number of the training step.
    """
    import_torchvision()
    from torchvision.transforms import v2

    erasing = v2.RandomErasing(probability)
    with torch.random.fork_rng():
        torch.manual_seed(fold(seed, "erasing", step))
        return share.draw_for_all(image, lambda batch: torch.stack([erasing(one) for one in batch]))
