"""Predictions and their errors as pictures, by task.

A task is drawn by its condition, unless a picture of its own is registered here.
"""

import math
from functools import singledispatch

import torch
from matplotlib import colormaps
from torch import Tensor

from dejavu.data.sample import IGNORE_INDEX
from dejavu.tasks.base import Task
from dejavu.tasks.depth import Depth
from dejavu.tasks.normals import Normals
from dejavu.tasks.segmentation import Segmentation


@singledispatch
def colour(task: Task, prediction: Tensor) -> Tensor:
    """Draw predictions, or ground truths, of a task.

    Labels have the colours of the palette, and unknown ones are black. Metres are drawn on a log
    scale: near is red, unknown is black. Normals towards the camera are bluish, as usual. Of other
    tasks, the mean channel of the condition is drawn, -1 dark and 1 bright, unknown black.

    Args:
        task: the task of the predictions.
        prediction: result of `Task.predict`, on the CPU.

    Returns:
        B x H x W x 3 uint8.

    Example:
        >>> task = Segmentation([(0, 0, 0), (255, 128, 0)])
        >>> colour(task, torch.tensor([[[1, 0]]])).tolist()
        [[[[255, 128, 0], [0, 0, 0]]]]
    """
    condition = task.encode(prediction)
    known = (condition != 0).any(1).unsqueeze(-1)
    return _colour_map((condition.mean(1) + 1) / 2, "viridis") * known


@singledispatch
def error(task: Task, prediction: Tensor, target: Tensor) -> Tensor:
    """Return each pixel's error.

    For labels it is 1 where they differ, for metres |prediction - truth| / truth, at most 1, and
    for normals the angle between them as a fraction of 180 degrees. For other tasks it is half the
    mean absolute difference of their conditions.

    Args:
        task: the task of the predictions.
        prediction: result of `Task.predict`.
        target: the ground truth.

    Returns:
        B x H x W in [0, 1]; 0 where the truth is unknown.

    Example:
        >>> metres = torch.tensor([3.0, 5.0]).view(1, 1, 1, 2)
        >>> error(Depth(), metres, torch.tensor([2.0, 0.0]).view(1, 1, 1, 2)).tolist()
        [[[0.5, 0.0]]]
    """
    truth = task.encode(target)
    return (task.encode(prediction) - truth).abs().mean(1) / 2 * (truth != 0).any(1)


def colour_error(task: Task, prediction: Tensor, target: Tensor) -> Tensor:
    """Draw the `error` as B x H x W x 3 uint8; black means no error."""
    return _colour_map(error(task, prediction, target), "inferno")


@colour.register
def _(task: Segmentation, prediction: Tensor) -> Tensor:
    return task.palette[prediction.clamp(max=task.channels)]


@error.register
def _(task: Segmentation, prediction: Tensor, target: Tensor) -> Tensor:
    return ((prediction != target) & (target != IGNORE_INDEX)).float()


@colour.register
def _(task: Depth, prediction: Tensor) -> Tensor:
    # A wide range is coloured from five times the nearest to half the farthest depth only:
    # hardly any depth lies outside.
    near, far = task.settings.near, task.settings.far
    if far > 20 * near:
        near, far = 5 * near, far / 2
    depth = prediction[:, 0]
    position = (depth.clamp(near, far) / near).log() / math.log(far / near)
    return _colour_map(1 - position, "turbo") * (depth > 0).unsqueeze(-1)


@error.register
def _(task: Depth, prediction: Tensor, target: Tensor) -> Tensor:
    relative = (prediction - target).abs() / target.clamp(min=task.settings.near)
    return (relative * (target > 0))[:, 0].clamp(0, 1)


@colour.register
def _(task: Normals, prediction: Tensor) -> Tensor:
    facing = prediction * torch.tensor([1.0, -1.0, -1.0]).view(1, 3, 1, 1)
    return ((facing + 1) * 127.5).round().to(torch.uint8).permute(0, 2, 3, 1)


@error.register
def _(task: Normals, prediction: Tensor, target: Tensor) -> Tensor:
    cosine = (prediction * target).sum(1).clamp(-1, 1)
    return cosine.acos() / math.pi * (target != 0).any(1)


def _colour_map(values: Tensor, name: str) -> Tensor:
    coloured = colormaps[name](values.clamp(0, 1).numpy(), bytes=True)
    return torch.from_numpy(coloured[..., :3].copy())
