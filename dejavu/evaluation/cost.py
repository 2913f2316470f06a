"""Training cost of each method, as ratios to the reference method measured in one process.

Every round, each method takes one training step in turn; the ratio is computed within the round,
so that drift in the machine's speed cancels. Peak memory counts all tensors of one step:
parameters, optimiser state, activations, gradients.
"""

import statistics
import time
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from dejavu.data.opening import open_split
from dejavu.evaluation.memory import PeakMemory
from dejavu.runtime.strict_json import write_json
from dejavu.study.layout import Layout
from dejavu.study.run import Run
from dejavu.training.batches import Batches
from dejavu.training.build import build_task
from dejavu.training.checkpoint import best_device
from dejavu.training.loop import training_step
from dejavu.training.optimisation import create_optimizer
from dejavu.training.step import TrainingModule

_WARM_UP = 3


class Stepper:
    """A run that takes training steps on one batch, without log or resume state."""

    def __init__(self, run: Run, data: Path, text_pair: Path) -> None:
        self.run = run
        self.device = best_device()
        pool = open_split(data, run.params.data, "train", [run.task])
        batches = Batches(pool, run.train, run.seed)
        self.module = TrainingModule(
            run, build_task(run.identity(), pool.manifest.palette), self.device
        )
        self.module.supervise([pool.caption(i) for i in batches.subset.tolist()], text_pair)
        self.optimizer = create_optimizer(self.module.model, self.module.criterion, run.train)
        self.batch = batches.draw(0).to(self.device)

    def step(self) -> float:
        """Take one step; return its duration in seconds."""
        started = time.perf_counter()
        training_step(self.run, self.module, self.optimizer, self.batch, 0, 1e-4)
        if self.device.type == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter() - started

    def peak_memory(self) -> int:
        """Take one step; return the peak size of all tensors in bytes."""
        modules = [part for part in (self.module.model, self.module.criterion) if part]
        present = [tensor for part in modules for tensor in part.state_dict().values()]
        present += [t for state in self.optimizer.state.values() for t in state.values()]
        self.optimizer.zero_grad(set_to_none=True)
        with PeakMemory([*present, *vars(self.batch.images).values()]) as memory:
            self.step()
        return int(memory.peak)


def measure_costs(layout: Layout, task: str) -> list[dict[str, Any]]:
    """Measure every network x method of a task against the reference method.

    Args:
        layout: the study; its `cost.rounds` is the number of timed rounds.
        task: a task of the study.

    Returns:
        The rows written to the task's cost file: seconds and bytes of a training step with their
        ratios to the reference, trained and deployed parameters, FLOPs of inference on one image.
    """
    params = layout.params
    torch.set_num_threads(params.train.threads)
    rows: list[dict[str, Any]] = []
    for network in params.networks:
        runs = {m: Run(params, task, network, m, params.seeds[0]) for m in params.methods}
        steppers = {m: Stepper(run, layout.data, layout.text_pair) for m, run in runs.items()}
        seconds = _interleave(steppers, params.cost.rounds)
        memory = {method: stepper.peak_memory() for method, stepper in steppers.items()}
        reference = params.report.reference
        for method, stepper in steppers.items():
            ratios = [a / b for a, b in zip(seconds[method], seconds[reference], strict=True)]
            deployed = _parameters(stepper.module.model)
            size = [*stepper.batch.images.image.shape[-2:]]
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
                    "training_parameters": deployed + _parameters(stepper.module.criterion),
                    "flops": _flops(stepper),
                }
            )
    result = {
        "rows": rows,
        "device": best_device().type,
        "batch_size": params.train.batch_size,
        "image_size": size,
        "rounds": params.cost.rounds,
    }
    write_json(layout.measurement("cost", task), result)
    return rows


def _interleave(steppers: dict[str, Stepper], rounds: int) -> dict[str, list[float]]:
    """Time ``rounds`` steps of each method, in turn, after a warm-up."""
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
    # Not all fused attention kernels are counted; the plain one has the same FLOPs.
    with counter, torch.inference_mode(), sdpa_kernel(SDPBackend.MATH):
        stepper.module.model.eval()(stepper.batch.images.image[:1])
    return int(counter.get_total_flops())
