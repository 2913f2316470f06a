"""One training loop for every task, network and method, read top to bottom in one sitting.

Arms are paired: at the same seed, all methods start from the same base weights and see the same
batches, and the base network's own randomness has a stream of its own. Whatever the DejaVu loss
draws, initialises or clips is apart. So an arm whose loss sends no gradient to the base network
trains exactly the baseline's network, byte for byte.
"""

import json
import math
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from dejavu.checkpoint import best_device, create_criterion, save_checkpoint
from dejavu.config import NetworkParams, TrainParams
from dejavu.data.sample import Sample
from dejavu.data.store import PreparedSplit
from dejavu.errors import CheckpointError, DejaVuError
from dejavu.files import copy_file, locked, whole_file
from dejavu.identity import Run
from dejavu.losses import DejaVuLoss
from dejavu.models import create_model
from dejavu.progress import Progress, silent
from dejavu.seeding import fold, generator
from dejavu.tasks import TASKS, Task


def train(run: Run, data: Path, store: Path, output: Path, progress: Progress = silent) -> bool:
    """Train ``run``, or find it finished in the store, and put it where it is wanted.

    Args:
        run: what to train.
        data: folder of the prepared data.
        store: folder of all runs, keyed by their hash; a killed run resumes from there.
        output: checkpoint to write; the training log goes beside it as ``.jsonl``.
        progress: called after each step.

    Returns:
        Whether any step was trained.

    Raises:
        DejaVuError: the loss is not finite; the message names the step.
        DataError: the data is missing or damaged.
        CheckpointError: the resume state cannot be read.
    """
    PreparedSplit(data, "train").verify()
    work = store / run.hash
    with locked(work):
        finished = (work / "model.safetensors").exists()
        if not finished:
            _fit(run, data, work, progress)
        copy_file(work / "log.jsonl", output.with_suffix(".jsonl"))
        copy_file(work / "model.safetensors", output)
    return not finished


def _fit(run: Run, data: Path, work: Path, progress: Progress) -> None:
    # ---- deterministic arithmetic, data, networks -------------------------------------------
    params, device = run.params.train, best_device()
    torch.set_num_threads(params.threads)
    torch.use_deterministic_algorithms(True, warn_only=device.type == "cuda")
    scenes = PreparedSplit(data, "train")
    task = TASKS[run.task](scenes.manifest.palette)
    model, criterion = build(run, task, device)
    optimizer = create_optimizer(model, criterion, params)
    subset = draw_subset(len(scenes), params.subset, run.seed)

    # ---- where an earlier attempt stopped ---------------------------------------------------
    state_file, log_file = work / "state.pt", work / "log.jsonl"
    state = _load_state(state_file, run.hash)
    if state:
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        if criterion:
            criterion.load_state_dict(state["criterion"])
    first, seconds = state.get("step", 0), state.get("seconds", 0.0)
    log_file.touch()
    os.truncate(log_file, state.get("log_bytes", 0))

    with log_file.open("a", encoding="utf-8") as log:
        for step in range(first, params.steps):
            started = time.perf_counter()

            # ---- one step -------------------------------------------------------------------
            sample = draw_batch(scenes, subset, params, run.seed, step).to(device)
            rate = learning_rate(step, params)
            losses = training_step(run, step, sample, task, model, criterion, optimizer, rate)

            # ---- log, resume state ----------------------------------------------------------
            seconds += time.perf_counter() - started
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
                    "model": model.state_dict(),
                    "criterion": criterion.state_dict() if criterion else {},
                    "optimizer": optimizer.state_dict(),
                }
                with whole_file(state_file) as temporary:
                    torch.save(state, temporary)

    # ---- the finished run -------------------------------------------------------------------
    palette = scenes.manifest.palette
    path = work / "model.safetensors"
    save_checkpoint(path, run.hash, run.identity(), palette, model.cpu(), criterion)
    state_file.unlink(missing_ok=True)


def training_step(
    run: Run,
    step: int,
    sample: Sample,
    task: Task,
    model: nn.Module,
    criterion: DejaVuLoss | None,
    optimizer: torch.optim.Optimizer,
    rate: float,
) -> dict[str, float | None]:
    """Take one optimiser step; return the losses and the base network's gradient norm.

    Raises:
        DejaVuError: a loss is not finite.
    """
    clip = run.params.train.clip_norm
    output = forward(model, sample.image, run.seed, step)
    target = task.target(sample)
    task_loss = task.loss(output, target)
    loss = task_loss
    if criterion:
        condition = _condition(run, task, output, target)
        draws = generator(run.seed, "redaction", step)
        dejavu_loss = criterion.loss_from_condition(sample.image, condition, draws)
        loss = loss + dejavu_loss

    losses = {
        "task_loss": task_loss.item(),
        "dejavu_loss": dejavu_loss.item() / run.gamma if criterion else None,
    }
    if not math.isfinite(loss.item()):
        raise DejaVuError(
            f"step {step} of {run.task}/{run.network}/{run.method} seed {run.seed}: the loss is "
            f"not finite ({losses}); lower train.learning_rate or the method's gamma"
        )

    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    norm = nn.utils.clip_grad_norm_(model.parameters(), clip)
    if criterion:
        nn.utils.clip_grad_norm_(criterion.parameters(), clip)
    for group in optimizer.param_groups:
        group["lr"] = rate
    optimizer.step()
    return {**losses, "grad_norm": norm.item()}


def _condition(run: Run, task: Task, output: Tensor, target: Tensor) -> Tensor:
    dejavu = run.params.methods[run.method].dejavu
    assert dejavu is not None
    kinds: dict[str, Callable[[], Tensor]] = {
        "live": lambda: task.condition(output),
        "detached": lambda: task.condition(output.detach()),
        "ground_truth": lambda: task.encode(target),
        "zeros": lambda: torch.zeros_like(output),
    }
    return kinds[dejavu.condition]()


def forward(model: nn.Module, image: Tensor, seed: int, step: int) -> Tensor:
    """Run the base network; its dropout draws from (seed, "forward", step) alone."""
    with torch.random.fork_rng():
        torch.manual_seed(fold(seed, "forward", step))
        output: Tensor = model(image)
    return output


def build(run: Run, task: Task, device: torch.device) -> tuple[nn.Module, DejaVuLoss | None]:
    """Build the networks of a run; the base's initial weights depend on the seed alone."""
    identity = run.identity()
    with torch.random.fork_rng():
        torch.manual_seed(fold(run.seed, "model"))
        model = create_model(NetworkParams(**identity["network"]), task.channels)
        torch.manual_seed(fold(run.seed, "criterion"))
        criterion = create_criterion(identity["dejavu"], task)
    # Channels last halves nothing in the result, but a third of a convolution's time on a CPU.
    model = model.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    if criterion:
        criterion = criterion.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    return model.train(), criterion


def create_optimizer(
    model: nn.Module, criterion: nn.Module | None, params: TrainParams
) -> torch.optim.Optimizer:
    """AdamW over the base network and, as a group of its own, the CRM."""
    groups: list[dict[str, Any]] = [{"params": list(model.parameters())}]
    if criterion:
        groups.append({"params": list(criterion.parameters())})
    return torch.optim.AdamW(groups, lr=params.learning_rate, weight_decay=params.weight_decay)


def draw_subset(pool: int, size: int, seed: int) -> Tensor:
    """Draw the training scenes of a seed: sorted indices into the pool, without repetition."""
    drawn = torch.randperm(pool, generator=generator(seed, "subset"))[:size]
    return drawn.sort().values


def draw_batch(
    scenes: PreparedSplit, subset: Tensor, params: TrainParams, seed: int, step: int
) -> Sample:
    """Return the batch of a step: each epoch is a permutation; a last partial batch is left out."""
    per_epoch = len(subset) // params.batch_size
    epoch, position = divmod(step, per_epoch)
    order = torch.randperm(len(subset), generator=generator(seed, "batches", epoch))
    chosen = order[position * params.batch_size :][: params.batch_size]
    sample = scenes.batch(subset[chosen])
    if not params.flip:
        return sample
    mirrored = torch.rand(params.batch_size, generator=generator(seed, "flip", step)) < 0.5
    return sample.flip(mirrored)


def learning_rate(step: int, params: TrainParams) -> float:
    """Learning rate of a step, a pure function, so that resuming restores nothing.

    ``one_cycle`` (Smith and Topin, 2018, as in torch's OneCycleLR with cosine annealing): from
    1/25 of the peak up to it during the first 30 % of the steps, then down to 1/250,000 of it.
    ``poly`` (as in Chen et al., 2017): peak * (1 - step / steps) ** 0.9.
    """
    peak = params.learning_rate
    if params.schedule == "poly":
        return peak * math.pow(1 - step / params.steps, 0.9)
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
