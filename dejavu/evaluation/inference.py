"""Inference by the protocol of a study: predictions of a network at the size of the images.

The protocol may average the predictions of several views of an image, scaled or mirrored, and
slide a window over images that are too large for one pass.
"""

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dejavu.config import EvaluationParams
from dejavu.tasks.base import Task


def infer(model: nn.Module, task: Task, image: Tensor, protocol: EvaluationParams) -> Tensor:
    """Predict for a batch of images.

    With one view, the prediction comes from the output, resized to the image's size; with several,
    from the mean of their soft predictions (probabilities, metres, unit vectors).

    Args:
        model: maps B x 3 x H x W to outputs; in evaluation mode.
        task: the task, which interprets the outputs.
        image: B x 3 x H x W, normalised.
        protocol: views and window.

    Returns:
        Predictions for the task's metrics, at H x W.
    """
    size = image.shape[-2:]
    views = [*_views(image, protocol)]
    if len(views) == 1:
        return task.predict(_resized(task, _output(model, views[0][0], protocol), size))
    total = torch.zeros(())
    for view, mirrored in views:
        soft = task.soft(_resized(task, _output(model, view, protocol), size))
        total = total.to(soft.device) + (task.mirror(soft) if mirrored else soft)
    return task.decide(total / len(views))


def _views(image: Tensor, protocol: EvaluationParams) -> Iterator[tuple[Tensor, bool]]:
    """Yield each view of an image, and whether it is mirrored."""
    for scale in protocol.scales:
        size = [max(1, round(side * scale)) for side in image.shape[-2:]]
        view = image
        if scale != 1:
            # Antialiased, as training images are.
            view = F.interpolate(image, size, mode="bilinear", antialias=True)
        yield view, False
        if protocol.flip:
            yield view.flip(-1), True


def _output(model: nn.Module, view: Tensor, protocol: EvaluationParams) -> Tensor:
    """Run the network on a whole view, or average its outputs over sliding windows."""
    if protocol.window is None:
        whole: Tensor = model(view)
        return whole
    total, count = torch.zeros(()), torch.zeros(())
    for rows in _spans(view.shape[-2], protocol.window[0], protocol.overlap):
        for columns in _spans(view.shape[-1], protocol.window[1], protocol.overlap):
            output: Tensor = model(view[..., rows, columns])
            if not total.ndim:
                total = output.new_zeros(*output.shape[:2], *view.shape[-2:])
                count = output.new_zeros(view.shape[-2:])
            total[..., rows, columns] += output
            count[rows, columns] += 1
    return total / count


def _spans(length: int, window: int, overlap: float) -> list[slice]:
    """Cover ``length`` pixels with windows; the last one is shifted back to end at the border.

    Example:
        >>> [(span.start, span.stop) for span in _spans(10, 4, 0.5)]
        [(0, 4), (2, 6), (4, 8), (6, 10)]
        >>> [(span.start, span.stop) for span in _spans(9, 4, 0.0)]
        [(0, 4), (4, 8), (5, 9)]
    """
    window = min(window, length)
    stride = max(1, round(window * (1 - overlap)))
    starts = [*range(0, length - window, stride), length - window]
    return [slice(start, start + window) for start in starts]


def _resized(task: Task, output: Tensor, size: torch.Size) -> Tensor:
    return output if output.shape[-2:] == size else task.resize(output, size)
