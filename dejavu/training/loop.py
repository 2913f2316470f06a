"""The training loop of every task, network and method, to be read from top to bottom."""

import math
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any, NamedTuple, TextIO

import torch

from dejavu.config import TrainParams
from dejavu.data.opening import open_split
from dejavu.data.split import Split
from dejavu.runtime.collective import Share, average_gradients, mean_across
from dejavu.runtime.errors import CheckpointError, DejaVuError, is_out_of_memory
from dejavu.runtime.files import copy_file, locked, whole_file
from dejavu.runtime.progress import Progress, silent
from dejavu.runtime.strict_json import to_json
from dejavu.study.run import Run
from dejavu.training.batches import Batches, StepBatch
from dejavu.training.build import build_task
from dejavu.training.checkpoint import Provenance, best_device, check_checkpoint, save_checkpoint
from dejavu.training.optimisation import (
    clip_gradients,
    create_optimizer,
    encoder_digest,
    learning_rate,
    set_rate,
)
from dejavu.training.parallel import shared_batches
from dejavu.training.step import TrainingModule

Describe = Callable[[Path, float], None]
"""Callback that gets a run's folder in the store and its training time in seconds."""


class Trained(NamedTuple):
    """A finished run.

    Attributes:
        folder: its folder in the store.
        fresh: True if this process trained it, at least in part; False if it was finished before.
    """

    folder: Path
    fresh: bool


def train(
    run: Run,
    data: Path,
    store: Path,
    output: Path,
    progress: Progress = silent,
    text_pair: Path | None = None,
    describe: Describe = lambda folder, seconds: None,
) -> Trained:
    """Train ``run``, or find it finished in the store, and copy it to ``output``.

    Args:
        run: the run to train.
        data: folder of the prepared data.
        store: folder of all runs, keyed by their hash; a killed run resumes from there.
        output: checkpoint to write; the training log goes beside it as ``.jsonl``.
        progress: called after each step.
        text_pair: checkpoint of the image-text pair, for methods that it supervises.
        describe: called before a trained run's weights appear in the store, so that the files
            which it writes are there by then.

    Returns:
        The run's folder in the store, and whether this process trained it.

    Raises:
        DejaVuError: the loss is not finite; the message names the step.
        DataError: the data is missing or damaged.
        CheckpointError: the resume state or the finished run in the store cannot be read.
    """
    scenes = open_split(data, run.params.data, "train", [run.task])
    scenes.verify()
    work = work_folder(store, run, scenes)
    with shared_batches(run.train.processes) as share, _alone(work, share):
        model = work / "model.safetensors"
        finished = model.exists()
        if finished:
            check_checkpoint(model, run.hash)
        else:
            _fit(run, scenes, work, progress, text_pair, share, describe)
        if share.first:
            copy_file(work / "log.jsonl", output.with_suffix(".jsonl"))
            copy_file(model, output)
    return Trained(work, fresh=not finished)


@contextmanager
def _alone(work: Path, share: Share) -> Iterator[None]:
    """Lock a run's folder for all processes that train it; the first one holds the lock."""
    with locked(work) if share.first else nullcontext():
        share.wait()
        yield
        share.wait()


def work_folder(store: Path, run: Run, scenes: Split) -> Path:
    """Return the folder of a run in the store.

    Its name includes the fingerprint of the data: equal params on other images are another run.
    """
    return store / f"{run.hash}-{scenes.record.fingerprints[run.truth][:8]}"


def _fit(
    run: Run,
    scenes: Split,
    work: Path,
    progress: Progress,
    text_pair: Path | None,
    share: Share,
    describe: Describe,
) -> None:
    # ---- deterministic arithmetic, data, networks -------------------------------------------
    params, device = run.train, best_device()
    prepare_torch(params)
    batches = Batches(scenes, params, run.seed, share)
    palette = scenes.manifest.palette
    module = TrainingModule(run, build_task(run.identity(), palette), device, share)
    module.supervise([scenes.caption(i) for i in batches.subset.tolist()], text_pair)
    optimizer = create_optimizer(module.model, module.criterion, params)

    pretrained = run.params.networks[run.network].pretrained
    weights = encoder_digest(module.model) if pretrained else None

    # ---- where an earlier attempt stopped ---------------------------------------------------
    state_file, log_file = work / "state.pt", work / "log.jsonl"
    state = _load_state(state_file, run.hash)
    share.wait()  # until all have read it: the first process removes it after the run
    if state:
        module.model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        if module.criterion:
            module.criterion.load_state_dict(state["criterion"])
    first, seconds = state.get("step", 0), state.get("seconds", 0.0)
    if share.first:
        _cut_log(log_file, state.get("log_bytes", 0))

    log_path = log_file if share.first else Path(os.devnull)
    with (
        log_path.open("a", encoding="utf-8") as log,
        batches.steps(first, params.steps) as prepared,
    ):
        started = time.perf_counter()
        for step, batch in enumerate(prepared, start=first):
            # ---- one step -------------------------------------------------------------------
            rate = learning_rate(step, params)
            losses = training_step(run, module, optimizer, batch.to(device), step, rate)

            # ---- log, resume state ----------------------------------------------------------
            seconds, started = seconds + time.perf_counter() - started, time.perf_counter()
            progress(step + 1, params.steps, f"loss {losses['task_loss']:.3f}")
            if step % params.log_every == 0 or step + 1 == params.steps:
                line = {"step": step, "seconds": round(seconds, 3), "learning_rate": rate, **losses}
                log.write(to_json(line) + "\n")
            if share.first and (step + 1) % params.checkpoint_every == 0:
                _sync(log)
                state = {
                    "run": run.hash,
                    "step": step + 1,
                    "seconds": seconds,
                    "log_bytes": log_file.stat().st_size,
                    "model": module.model.state_dict(),
                    "criterion": module.criterion.state_dict() if module.criterion else {},
                    "optimizer": optimizer.state_dict(),
                }
                with whole_file(state_file) as temporary:
                    torch.save(state, temporary)
        _sync(log)

    # ---- the finished run -------------------------------------------------------------------
    if not share.first:
        return
    images = scenes.record.fingerprints[run.truth]
    provenance = Provenance(run.hash, run.identity(), palette, images, weights)
    describe(work, seconds)
    save_checkpoint(work / "model.safetensors", provenance, module.model.cpu(), module.criterion)
    state_file.unlink(missing_ok=True)


def training_step(
    run: Run,
    module: TrainingModule,
    optimizer: torch.optim.Optimizer,
    batch: StepBatch,
    step: int,
    rate: float,
) -> dict[str, float | None]:
    """Take one optimiser step; return the unweighted losses and the network's gradient norm.

    Raises:
        DejaVuError: a loss is not finite.
    """
    weighted = module.losses(batch, step)
    terms = mean_across(torch.stack([loss.detach() for loss in weighted.values()])).tolist()
    losses = {f"{name}_loss": term for name, term in zip(weighted, terms, strict=True)}
    if not all(map(math.isfinite, losses.values())):
        raise DejaVuError(
            f"step {step} of {run.task}/{run.network}/{run.method} seed {run.seed}: the loss is "
            f"not finite ({losses}); lower train.learning_rate or the method's gamma"
        )

    optimizer.zero_grad(set_to_none=True)
    torch.stack([*weighted.values()]).sum().backward()
    average_gradients([module.model, module.criterion])
    norm = clip_gradients(module.model, run.train)
    if module.criterion:
        clip_gradients(module.criterion, run.train)
    set_rate(optimizer, rate)
    optimizer.step()
    unweighted = {f"{name}_loss": losses[f"{name}_loss"] / w for name, w in module.weights.items()}
    return {"dejavu_loss": None, **losses, **unweighted, "grad_norm": norm}


def prepare_torch(params: TrainParams) -> None:
    """Make arithmetic repeatable: a fixed number of threads, deterministic kernels."""
    torch.set_num_threads(params.threads)
    torch.use_deterministic_algorithms(True, warn_only=torch.cuda.is_available())


def _load_state(path: Path, run: str) -> dict[str, Any]:
    """Read a resume state; an empty dictionary if there is none."""
    if not path.exists():
        return {}
    try:
        # On the CPU first: the device that wrote the state may be gone.
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch has no common error type for damaged files
        if isinstance(error, OSError) or is_out_of_memory(error):
            raise  # the file may be intact
        raise CheckpointError(
            f"{path}: cannot be read as a resume state ({type(error).__name__}); "
            "delete it to start the run anew"
        ) from None
    if state.get("run") != run:
        raise CheckpointError(
            f"{path}: belongs to run {state.get('run')}, not {run}; delete it to start the run anew"
        )
    return state


def _cut_log(path: Path, size: int) -> None:
    """Drop the log lines written after the resume state."""
    path.touch()
    if path.stat().st_size < size:
        raise CheckpointError(
            f"{path}: shorter than the {size} bytes recorded in the resume state beside it; "
            f"delete {path.parent} to start the run anew"
        )
    os.truncate(path, size)


def _sync(log: TextIO) -> None:
    """Flush a log to disk, before a resume state or checkpoint is written that relies on it."""
    log.flush()
    if log.name != os.devnull:
        os.fsync(log.fileno())
