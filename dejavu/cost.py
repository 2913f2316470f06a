"""What a method costs in training, as ratios to the reference measured in one process.

Every round, each method takes one training step in turn; the ratio is taken within the round, so
that a machine whose speed drifts slows both alike. Peak memory is that of all tensors during one
step: parameters, optimiser state, activations, gradients.
"""

import json
import statistics
import time
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from dejavu.checkpoint import best_device
from dejavu.config import Params
from dejavu.data.store import PreparedSplit
from dejavu.files import write_text
from dejavu.identity import Run
from dejavu.memory import PeakMemory
from dejavu.tasks import TASKS
from dejavu.training import (
    build,
    create_optimizer,
    draw_batch,
    draw_subset,
    training_step,
)

_WARM_UP = 3


class Stepper:
    """A run that takes training steps on one batch, without log or resume state."""

    def __init__(self, run: Run, data: Path) -> None:
        self.run = run
        self.device = best_device()
        scenes = PreparedSplit(data, "train")
        params = run.params.train
        self.task = TASKS[run.task](scenes.manifest.palette)
        self.model, self.criterion = build(run, self.task, self.device)
        self.optimizer = create_optimizer(self.model, self.criterion, params)
        subset = draw_subset(len(scenes), params.subset, run.seed)
        self.sample = draw_batch(scenes, subset, params, run.seed, 0).to(self.device)

    def step(self) -> float:
        """Take one step; return its seconds."""
        started = time.perf_counter()
        training_step(
            self.run, 0, self.sample, self.task, self.model, self.criterion, self.optimizer, 1e-4
        )
        if self.device.type == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter() - started

    def peak_memory(self) -> int:
        """Take one step; return the most bytes that tensors held at once."""
        modules = [module for module in (self.model, self.criterion) if module]
        present = [tensor for module in modules for tensor in module.state_dict().values()]
        present += [t for state in self.optimizer.state.values() for t in state.values()]
        self.optimizer.zero_grad(set_to_none=True)
        with PeakMemory([*present, *vars(self.sample).values()]) as memory:
            self.step()
        return int(memory.peak)


def measure_costs(params: Params, task: str, data: Path, output: Path) -> list[dict[str, Any]]:
    """Measure every network x method of a task against the reference method.

    Args:
        params: the study; `cost.rounds` says how many rounds are timed.
        task: a task of the study.
        data: folder of the prepared data.
        output: JSON file to write.

    Returns:
        The rows that were written: seconds and bytes of a training step with their ratios to the
        reference, parameters trained and deployed, FLOPs of one image at inference.
    """
    torch.set_num_threads(params.train.threads)
    rows: list[dict[str, Any]] = []
    for network in params.networks:
        runs = {m: Run(params, task, network, m, params.seeds[0]) for m in params.methods}
        steppers = {m: Stepper(run, data) for m, run in runs.items()}
        seconds = _interleave(steppers, params.cost.rounds)
        memory = {method: stepper.peak_memory() for method, stepper in steppers.items()}
        reference = params.report.reference
        for method, stepper in steppers.items():
            ratios = [a / b for a, b in zip(seconds[method], seconds[reference], strict=True)]
            deployed = _parameters(stepper.model)
            rows.append(
                {
                    "task": task,
                    "network": network,
                    "method": method,
                    "step_seconds": statistics.median(seconds[method]),
                    "step_ratio": statistics.median(ratios),
                    "memory_bytes": memory[method],
                    "memory_ratio": memory[method] / memory[reference],
                    "parameters": deployed,
                    "training_parameters": deployed + _parameters(stepper.criterion),
                    "flops": _flops(stepper),
                }
            )
    rooms = params.data.rooms
    result = {
        "rows": rows,
        "device": best_device().type,
        "batch_size": params.train.batch_size,
        "image_size": [rooms.height, rooms.width],
        "rounds": params.cost.rounds,
    }
    write_text(output, json.dumps(result, indent=1) + "\n")
    return rows


def _interleave(steppers: dict[str, Stepper], rounds: int) -> dict[str, list[float]]:
    """Time ``rounds`` steps of each, turn by turn, after a warm-up."""
    seconds: dict[str, list[float]] = {method: [] for method in steppers}
    for turn in range(_WARM_UP + rounds):
        for method, stepper in steppers.items():
            taken = stepper.step()
            if turn >= _WARM_UP:
                seconds[method].append(taken)
    return seconds


def _parameters(module: nn.Module | None) -> int:
    return sum(p.numel() for p in module.parameters()) if module else 0


def _flops(stepper: Stepper) -> int:
    """FLOPs (two per multiply-add) of the deployed network on one image."""
    counter = FlopCounterMode(display=False)
    with counter, torch.inference_mode():
        stepper.model.eval()(stepper.sample.image[:1])
    return int(counter.get_total_flops())
