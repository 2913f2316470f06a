"""The first training step of a method, on the tiny study's rooms."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from dejavu.data.store import PreparedSplit
from dejavu.study.run import Run
from dejavu.tasks.registry import create_task
from dejavu.training.batches import Batches
from dejavu.training.step import TrainingModule
from tests.support.studies import tiny_params


def first_losses(data: Path, method: dict[str, Any], **changes: Any) -> dict[str, Tensor]:
    """The losses of a depth run's first step, by name.

    Args:
        data: folder of the rooms.
        method: what its entry in params holds.
        changes: sections of the tiny study that are replaced, such as its networks.
    """
    params = tiny_params(methods={"baseline": {}, "new": method}, **changes)
    run = Run(params, "depth", next(iter(params.networks)), "new", seed=0)
    pool = PreparedSplit(data, "train")
    module = TrainingModule(run, create_task("depth", pool.manifest.palette), torch.device("cpu"))
    return module.losses(Batches(pool, run.train, run.seed).draw(0), step=0)
