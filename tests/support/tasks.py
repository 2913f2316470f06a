"""Every task in its variants, with samples and outputs of random numbers."""

from typing import Any

import pytest
import torch
from torch import Tensor

from dejavu.data.sample import IGNORE_INDEX, Batch
from dejavu.tasks.base import Task
from dejavu.tasks.registry import create_task, task_names

PALETTE = [(0, 0, 0), (255, 0, 0), (0, 255, 0), (0, 0, 255)]
BINS = 12
HEADS = {"log": {}, "linear": {"head": "linear"}, "bins": {"head": "bins", "bins": BINS}}
VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    **{name: (name, {}) for name in task_names()},
    "ohem": ("segmentation", {"loss": "ohem"}),
    "depth-linear": ("depth", HEADS["linear"] | {"loss": "l1"}),
    "depth-bins": ("depth", HEADS["bins"] | {"loss": "berhu"}),
    "normals-angular": ("normals", {"loss": "angular"}),
    "normals-l1": ("normals", {"loss": "l1"}),
}
every = pytest.mark.parametrize("name", VARIANTS)


def made(name: str) -> Task:
    task, settings = VARIANTS[name]
    return create_task(task, PALETTE, settings)


def sample(seed: int = 0) -> Batch:
    g = torch.Generator().manual_seed(seed)
    return Batch(
        image=torch.randn(2, 3, 6, 5, generator=g),
        label=torch.randint(0, 4, (2, 6, 5), generator=g),
        depth=torch.rand(2, 1, 6, 5, generator=g) * 5 + 0.5,
        normals=torch.nn.functional.normalize(torch.randn(2, 3, 6, 5, generator=g), dim=1),
    )


def output(task: Task, seed: int = 1) -> Tensor:
    return torch.randn(2, task.channels, 6, 5, generator=torch.Generator().manual_seed(seed))


def masked(target: Tensor) -> Tensor:
    """The target with the first image's truth taken away."""
    changed = target.clone()
    changed[0] = IGNORE_INDEX if target.dtype == torch.int64 else 0
    return changed
