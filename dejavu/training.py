"""One training loop for every task, network and method, read top to bottom in one sitting."""

import json
import math
import os
import time
from pathlib import Path
from typing import Any

import torch
from torch import nn

from dejavu.arms import Arm
from dejavu.batches import Batch, Batches
from dejavu.build import build_task
from dejavu.checkpoint import Provenance, best_device, save_checkpoint
from dejavu.config import TrainParams
from dejavu.data.opening import open_split
from dejavu.data.split import Split
from dejavu.errors import CheckpointError, DejaVuError, ParamsError
from dejavu.files import copy_file, locked, whole_file
from dejavu.identity import Run
from dejavu.progress import Progress, silent


def train(
    run: Run,
    data: Path,
    store: Path,
    output: Path,
    progress: Progress = silent,
    text_pair: Path | None = None,
) -> bool:
    """Train ``run``, or find it finished in the store, and put it where it is wanted.

    Args:
        run: what to train.
        data: folder of the prepared data.
        store: folder of all runs, keyed by their hash; a killed run resumes from there.
        output: checkpoint to write; the training log goes beside it as ``.jsonl``.
        progress: called after each step.
        text_pair: the trained image-text pair; only a method that is supervised by it needs it.

    Returns:
        Whether any step was trained.

    Raises:
        DejaVuError: the loss is not finite; the message names the step.
        DataError: the data is missing or damaged.
        CheckpointError: the resume state cannot be read.
    """
    scenes = open_split(data, "train", [run.task])
    scenes.verify()
    work = work_folder(store, run, scenes)
    with locked(work):
        finished = (work / "model.safetensors").exists()
        if not finished:
            _fit(run, scenes, work, progress, text_pair)
        copy_file(work / "log.jsonl", output.with_suffix(".jsonl"))
        copy_file(work / "model.safetensors", output)
    return not finished


def work_folder(store: Path, run: Run, scenes: Split) -> Path:
    """Name the folder of a run in the store.

    On other images it is another run, though the same params found them.
    """
    return store / f"{run.hash}-{scenes.record.sha256[:8]}"


def _fit(run: Run, scenes: Split, work: Path, progress: Progress, text_pair: Path | None) -> None:
    # ---- deterministic arithmetic, data, networks -------------------------------------------
    params, device = run.train, best_device()
    prepare_torch(params)
    batches = Batches(scenes, params, run.seed)
    palette = scenes.manifest.palette
    arm = Arm(run, build_task(run.identity(), palette), device)
    arm.supervise([scenes.caption(i) for i in batches.subset.tolist()], text_pair)
    optimizer = create_optimizer(arm.model, arm.criterion, params)

    # ---- where an earlier attempt stopped ---------------------------------------------------
    state_file, log_file = work / "state.pt", work / "log.jsonl"
    state = _load_state(state_file, run.hash)
    if state:
        arm.model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        if arm.criterion:
            arm.criterion.load_state_dict(state["criterion"])
    first, seconds = state.get("step", 0), state.get("seconds", 0.0)
    log_file.touch()
    os.truncate(log_file, state.get("log_bytes", 0))

    with log_file.open("a", encoding="utf-8") as log:
        started = time.perf_counter()
        for step, batch in enumerate(batches.steps(first, params.steps), start=first):
            # ---- one step -------------------------------------------------------------------
            rate = learning_rate(step, params)
            losses = training_step(run, arm, optimizer, batch.to(device), step, rate)

            # ---- log, resume state ----------------------------------------------------------
            seconds, started = seconds + time.perf_counter() - started, time.perf_counter()
            progress(step + 1, params.steps, f"loss {losses['task_loss']:.3f}")
            if step % params.log_every == 0 or step + 1 == params.steps:
                line = {"step": step, "seconds": round(seconds, 3), "learning_rate": rate, **losses}
                log.write(json.dumps(line) + "\n")
            if (step + 1) % params.checkpoint_every == 0:
                log.flush()
                state = {
                    "run": run.hash,
                    "step": step + 1,
                    "seconds": seconds,
                    "log_bytes": log_file.stat().st_size,
                    "model": arm.model.state_dict(),
                    "criterion": arm.criterion.state_dict() if arm.criterion else {},
                    "optimizer": optimizer.state_dict(),
                }
                with whole_file(state_file) as temporary:
                    torch.save(state, temporary)

    # ---- the finished run -------------------------------------------------------------------
    made_from = Provenance(run.hash, run.identity(), palette, scenes.record.sha256)
    save_checkpoint(work / "model.safetensors", made_from, arm.model.cpu(), arm.criterion)
    state_file.unlink(missing_ok=True)


def training_step(
    run: Run, arm: Arm, optimizer: torch.optim.Optimizer, batch: Batch, step: int, rate: float
) -> dict[str, float | None]:
    """Take one optimiser step; return the unweighted losses and the network's gradient norm.

    Raises:
        DejaVuError: a loss is not finite.
    """
    weighted = arm.losses(batch, step)
    losses = {f"{name}_loss": loss.item() for name, loss in weighted.items()}
    if not all(map(math.isfinite, losses.values())):
        raise DejaVuError(
            f"step {step} of {run.task}/{run.network}/{run.method} seed {run.seed}: the loss is "
            f"not finite ({losses}); lower train.learning_rate or the method's gamma"
        )

    optimizer.zero_grad(set_to_none=True)
    torch.stack([*weighted.values()]).sum().backward()
    norm = clip_gradients(arm.model, run.train)
    if arm.criterion:
        clip_gradients(arm.criterion, run.train)
    set_rate(optimizer, rate)
    optimizer.step()
    unweighted = {f"{name}_loss": losses[f"{name}_loss"] / w for name, w in arm.weights.items()}
    return {"dejavu_loss": None, **losses, **unweighted, "grad_norm": norm}


def prepare_torch(params: TrainParams) -> None:
    """Make arithmetic repeatable: a fixed number of threads, deterministic kernels."""
    torch.set_num_threads(params.threads)
    torch.use_deterministic_algorithms(True, warn_only=torch.cuda.is_available())


def clip_gradients(module: nn.Module, params: TrainParams) -> float:
    """Clip a module's gradients by their norm, apart from any other's; return the norm before."""
    return nn.utils.clip_grad_norm_([*module.parameters()], params.clip_norm).item()


def set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Set the learning rate of every group, by its own factor."""
    for group in optimizer.param_groups:
        group["lr"] = rate * group.get("rate_factor", 1)


def create_optimizer(
    model: nn.Module | None, criterion: nn.Module | None, params: TrainParams
) -> torch.optim.Optimizer:
    """Optimiser of the base network and, as a group of its own, the CRM; either may be absent."""
    groups = _network_groups(model, params.head_rate) if model else []
    if criterion:
        groups.append({"params": list(criterion.parameters())})
    rate, decay = params.learning_rate, params.weight_decay
    if params.optimizer == "sgd":
        return torch.optim.SGD(groups, lr=rate, momentum=params.momentum, weight_decay=decay)
    kind = torch.optim.AdamW if params.optimizer == "adamw" else torch.optim.Adam
    return kind(groups, lr=rate, weight_decay=decay)


def _network_groups(model: nn.Module, head_rate: float) -> list[dict[str, Any]]:
    """One group; or two, where a network has an encoder and all else learns at another rate."""
    if head_rate == 1:
        return [{"params": list(model.parameters())}]
    named = [*model.named_parameters()]
    encoder = [p for name, p in named if "encoder." in f".{name}"]
    others = [p for name, p in named if "encoder." not in f".{name}"]
    if not encoder:
        raise ParamsError(
            "train.head_rate: the network has no encoder that could learn at another rate; "
            "leave it at 1"
        )
    return [{"params": encoder}, {"params": others, "rate_factor": head_rate}]


def learning_rate(step: int, params: TrainParams) -> float:
    """Learning rate of a step, a pure function, so that resuming restores nothing.

    ``one_cycle`` (Smith and Topin, 2018, as in torch's OneCycleLR with cosine annealing): from
    1/25 of the peak up to it during the first 30 % of the steps, then down to 1/250,000 of it.
    ``poly`` (as in Chen et al., 2017): peak * (1 - step / steps) ** power, during the warm-up
    times a factor that rises linearly from 1/1000 to 1.
    """
    peak = params.learning_rate
    if params.schedule == "poly":
        decayed = peak * math.pow(1 - step / params.steps, params.power)
        if step >= params.warmup:
            return decayed
        return decayed * (1e-3 + (1 - 1e-3) * step / params.warmup)
    turn, last = 0.3 * params.steps - 1, params.steps - 1
    if step <= turn:
        return _cosine(peak / 25, peak, step / turn)
    return _cosine(peak, peak / 25e4, (step - turn) / (last - turn))


def _cosine(start: float, end: float, fraction: float) -> float:
    return end + (start - end) / 2 * (1 + math.cos(math.pi * fraction))


def _load_state(path: Path, run: str) -> dict[str, Any]:
    """Read a resume state; empty where there is none."""
    if not path.exists():
        return {}
    try:
        state: dict[str, Any] = torch.load(path, weights_only=True)
    except Exception as error:  # torch names no common type for what a damaged file raises
        raise CheckpointError(
            f"{path}: cannot be read as a resume state ({type(error).__name__}); "
            "delete it to start the run anew"
        ) from None
    if state.get("run") != run:
        raise CheckpointError(f"{path}: belongs to another run; delete it to start this one anew")
    return state
