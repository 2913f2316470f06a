"""The oracle gap: what regeneration could gain from a perfect prediction.

The CRM alone is trained twice for a few steps, once conditioned on zeros and once on the ground
truth, and its reconstruction loss L_DV is read on val. Where both are alike, the redacted image
tells as much as the prediction does, and no gain is possible.
"""

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from dejavu.checkpoint import best_device, create_criterion
from dejavu.config import CRMParams, Params, RedactionParams
from dejavu.data.store import PreparedSplit
from dejavu.files import write_text
from dejavu.losses import DejaVuLoss
from dejavu.redaction import create_redaction
from dejavu.seeding import fold, generator
from dejavu.tasks import TASKS, Task
from dejavu.training import create_optimizer, draw_batch, draw_subset, learning_rate


def measure_gaps(params: Params, task_name: str, data: Path, output: Path) -> list[dict[str, Any]]:
    """Measure the oracle gap of every method's and candidate's redaction for one task.

    Args:
        params: the study; `gap.steps` says how long each short run is.
        task_name: a task of the study.
        data: folder of the prepared data.
        output: JSON file to write.

    Returns:
        The rows that were written, widest gap first.
    """
    torch.set_num_threads(params.train.threads)
    torch.use_deterministic_algorithms(True, warn_only=torch.cuda.is_available())
    train, val = PreparedSplit(data, "train"), PreparedSplit(data, "val")
    train.verify()
    val.verify()
    task = TASKS[task_name](train.manifest.palette)
    rows: list[dict[str, Any]] = []
    for method, redaction, crm in _entries(params):
        settings = {
            "redaction": redaction.model_dump(),
            "crm": crm.model_dump(),
            "gamma": 1.0,
        }
        losses = {
            kind: _short_run(params, task, settings, kind == "ground_truth", train, val)
            for kind in ("zeros", "ground_truth")
        }
        named = redaction.model_dump()
        frozen = create_redaction(named.pop("name"), **named)
        rows.append(
            {
                "task": task_name,
                "redaction": _label(redaction),
                "method": method,
                "kind": frozen.kind,
                **losses,
                "gap": 1 - losses["ground_truth"] / losses["zeros"],
            }
        )
    rows.sort(key=lambda row: -row["gap"])
    result = {"study": params.study, "steps": params.gap.steps, "split": "val", "rows": rows}
    write_text(output, json.dumps(result, indent=1) + "\n")
    return rows


def _entries(params: Params) -> list[tuple[str | None, RedactionParams, CRMParams]]:
    """Redactions to measure: those of the methods, then the candidates that no method uses."""
    entries: list[tuple[str | None, RedactionParams, CRMParams]] = [
        (label, method.dejavu.redaction, method.dejavu.crm)
        for label, method in params.methods.items()
        if method.dejavu
    ]
    used = [redaction for _, redaction, _ in entries]
    crm = entries[0][2] if entries else CRMParams()
    return entries + [(None, r, crm) for r in params.gap.candidates if r not in used]


def _label(redaction: RedactionParams) -> str:
    settings = redaction.model_dump()
    name = settings.pop("name")
    return f"{name}({', '.join(f'{k}={v}' for k, v in settings.items())})" if settings else name


def _short_run(
    params: Params,
    task: Task,
    settings: dict[str, Any],
    truth: bool,
    train: PreparedSplit,
    val: PreparedSplit,
) -> float:
    """Train the CRM alone on the first seed's subset; return L_DV on val."""
    seed, device = params.seeds[0], best_device()
    short = params.train.model_copy(update={"steps": params.gap.steps})
    with torch.random.fork_rng():
        torch.manual_seed(fold(seed, "criterion"))
        criterion = create_criterion(settings, task)
    assert criterion is not None
    criterion = criterion.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = create_optimizer(criterion, None, short)
    subset = draw_subset(len(train), short.subset, seed)
    for step in range(short.steps):
        sample = draw_batch(train, subset, short, seed, step).to(device)
        condition = _condition(task, task.target(sample), truth)
        draws = generator(seed, "redaction", step)
        optimizer.param_groups[0]["lr"] = learning_rate(step, short)
        optimizer.zero_grad(set_to_none=True)
        criterion.loss_from_condition(sample.image, condition, draws).backward()
        optimizer.step()
    return _held_out(criterion, task, truth, val, params.evaluation.batch_size)


def _held_out(
    criterion: DejaVuLoss, task: Task, truth: bool, val: PreparedSplit, batch_size: int
) -> float:
    """L_DV over a whole split, each image with redaction draws of its own."""
    device = best_device()
    total = 0.0
    with torch.inference_mode():
        for start in range(0, len(val), batch_size):
            indices = range(start, min(start + batch_size, len(val)))
            sample = val.batch(indices).to(device)
            condition = _condition(task, task.target(sample), truth)
            draws = generator(0, "held out", start)
            loss = criterion.loss_from_condition(sample.image, condition, draws)
            total += loss.item() * len(indices)
    return total / len(val)


def _condition(task: Task, target: Tensor, truth: bool) -> Tensor:
    encoded = task.encode(target)
    return encoded if truth else torch.zeros_like(encoded)
