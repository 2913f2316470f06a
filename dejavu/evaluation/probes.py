"""Probes: whether regeneration needs the prediction, and which part of it.

Regeneration modules are trained for the same number of steps on the same batches under different
conditions: zeros, the live prediction (the method itself), the detached prediction of a network
that learns from its labels alone, and the ground truth. Their held-out loss L_DV is measured on
val. The live module is also measured with a hard prediction: soft masks may smuggle texture.
"""

from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import Tensor

from dejavu.config import Params
from dejavu.data.sample import Batch
from dejavu.data.split import Split
from dejavu.evaluation.gap import redaction_label
from dejavu.evaluation.oracle import (
    Condition,
    ground_truth,
    held_out,
    open_pool_and_val,
    train_alone,
    zeros,
)
from dejavu.evaluation.score import load_run
from dejavu.runtime.strict_json import write_json
from dejavu.study.layout import Layout
from dejavu.study.run import Run
from dejavu.training.checkpoint import Checkpoint, best_device, load_checkpoint
from dejavu.training.loop import prepare_torch, train


def measure_probes(layout: Layout, task_name: str, store: Path) -> list[dict[str, Any]]:
    """Measure the probes of every method that regenerates from a live prediction.

    The first seed is measured. The cyclic and text losses are left out of all but the live run.

    Args:
        layout: the study, with its data and checkpoints in place.
        task_name: a task of the study.
        store: folder of all runs: the detached run is trained, or found, there.

    Returns:
        The rows written to the task's probes file.
    """
    params = layout.params
    prepare_torch(params.train)
    pool, val = open_pool_and_val(layout, task_name)
    rows = [_probe(run, layout, store, pool, val) for run in layout.probed(task_name)]
    result = {
        "study": params.study,
        "split": "val",
        "seed": params.seeds[0],
        "steps": params.train.steps,
        "rows": rows,
    }
    write_json(layout.measurement("probes", task_name), result)
    return rows


def _probe(run: Run, layout: Layout, store: Path, pool: Split, val: Split) -> dict[str, Any]:
    """Measure one method's row."""
    params = run.params
    method = params.methods[run.method]
    assert method.dejavu is not None
    live = load_run(run, layout.checkpoint(run), pool.manifest)
    row: dict[str, Any] = {"task": run.task, "network": run.network, "method": run.method}
    row["redaction"] = redaction_label(method.dejavu.redaction)
    for name, condition in (
        ("zeros", zeros(live.task)),
        ("ground_truth", ground_truth(live.task)),
    ):
        other = _with_condition(run, name)
        if method.attention:  # it cannot be trained apart from its network
            trained = _finished(other, layout.data, store)
            row[name] = _read(trained, condition, val, params)
        else:
            row[name] = held_out(
                train_alone(other, live.task, condition, pool), condition, val, params
            )
    detached = _finished(_with_condition(run, "detached"), layout.data, store)
    for name, trained in (("live", live), ("detached", detached)):
        row[name] = _read(trained, None, val, params)
    hard = live.task.harden(torch.zeros(1, live.task.condition_channels, 1, 1)) is not None
    row["argmax"] = _read(live, None, val, params, hard=True) if hard else None
    return row


def _read(
    trained: Checkpoint,
    condition: Condition | None,
    val: Split,
    params: Params,
    hard: bool = False,
) -> float:
    """Held-out L_DV of a trained run under a condition; None is its network's own prediction."""
    model, task = trained.model.to(best_device()), trained.task

    def given(batch: Batch) -> Tensor:
        output = model(batch.image)  # shared attention regenerates from this pass
        if condition:
            return condition(batch)
        soft = task.condition(output)
        hardened = task.harden(soft) if hard else None
        return soft if hardened is None else hardened

    assert trained.criterion is not None
    return held_out(trained.criterion.to(best_device()), given, val, params)


def _with_condition(run: Run, condition: str) -> Run:
    """Return the run with another condition, and without the cyclic and text losses.

    One process trains it, even if several trained the original run, which differs by rounding.
    """
    method = run.params.methods[run.method]
    assert method.dejavu is not None
    changes = {"condition": condition, "cyclic": None, "text": None}
    changed = method.model_copy(update={"dejavu": method.dejavu.model_copy(update=changes)})
    methods = {**run.params.methods, run.method: changed}
    alone = run.params.train.model_copy(update={"processes": 1})
    return replace(run, params=run.params.model_copy(update={"methods": methods, "train": alone}))


def _finished(run: Run, data: Path, store: Path) -> Checkpoint:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "probe.safetensors"
        train(run, data, store, path)
        return load_checkpoint(path)
