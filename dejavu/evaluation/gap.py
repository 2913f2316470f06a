"""The oracle gap: how much regeneration could gain from a perfect prediction.

The CRM alone is trained twice for a few steps, once conditioned on zeros and once on the ground
truth, and its held-out loss L_DV is measured on val. If both losses are equal, the prediction adds
nothing to the redacted image, and no gain is possible.
"""

from typing import Any

from dejavu.config import CRMParams, DejaVuParams, MethodParams, Params, RedactionParams
from dejavu.evaluation.oracle import ground_truth, held_out, open_pool_and_val, train_alone, zeros
from dejavu.runtime.strict_json import write_json
from dejavu.study.layout import Layout
from dejavu.study.run import Run
from dejavu.training.build import build_task
from dejavu.training.criterion import build_redaction
from dejavu.training.loop import prepare_torch


def measure_gaps(layout: Layout, task_name: str) -> list[dict[str, Any]]:
    """Measure the oracle gap of every method's and candidate's redaction for one task.

    Args:
        layout: the study, with its data in place; `gap.steps` is the length of each short run.
        task_name: a task of the study.

    Returns:
        The rows written to the task's gap file, widest gap first.
    """
    params = layout.params
    prepare_torch(params.train)
    pool, val = open_pool_and_val(layout, task_name)
    rows: list[dict[str, Any]] = []
    for method, redaction, crm in _entries(params):
        run = _short_run(params, task_name, redaction, crm)
        task = build_task(run.identity(), pool.manifest.palette)
        losses = {}
        for name, condition in (("zeros", zeros(task)), ("ground_truth", ground_truth(task))):
            trained = train_alone(run, task, condition, pool)
            losses[name] = held_out(trained, condition, val, params)
        rows.append(
            {
                "task": task_name,
                "redaction": redaction_label(redaction),
                "method": method,
                "kind": build_redaction(redaction.model_dump()).kind,
                **losses,
                "gap": 1 - losses["ground_truth"] / losses["zeros"],
            }
        )
    rows.sort(key=lambda row: -row["gap"])
    result = {"study": params.study, "steps": params.gap.steps, "split": "val", "rows": rows}
    write_json(layout.measurement("gap", task_name), result)
    return rows


def redaction_label(redaction: RedactionParams) -> str:
    """Format a redaction for tables: its name, and the settings that differ from the defaults."""
    settings = redaction.model_dump(exclude={"name"}, exclude_defaults=True)
    parts = [f"{key}={value}" for key, value in settings.items() if key != "redactions"]
    parts += map(redaction_label, getattr(redaction, "redactions", ()))
    return f"{redaction.name}({', '.join(parts)})" if parts else redaction.name


def _entries(params: Params) -> list[tuple[str | None, RedactionParams, CRMParams]]:
    """List the redactions to measure: the methods' own, each once, then the other candidates."""
    entries: list[tuple[str | None, RedactionParams, CRMParams]] = []
    for label, method in params.methods.items():
        if method.dejavu and all(method.dejavu.redaction != r for _, r, _ in entries):
            entries.append((label, method.dejavu.redaction, method.dejavu.crm))
    used = [redaction for _, redaction, _ in entries]
    crm = entries[0][2] if entries else CRMParams()
    return entries + [(None, r, crm) for r in params.gap.candidates if r not in used]


def _short_run(params: Params, task: str, redaction: RedactionParams, crm: CRMParams) -> Run:
    """Create a run whose CRM is trained for a few steps on the first seed's scenes."""
    dejavu = DejaVuParams(redaction=redaction, gamma={task: 1.0}, crm=crm)
    changes = {
        "methods": {"gap": MethodParams(dejavu=dejavu)},
        # The oracle uses the whole ground truth, even if the study trains on few labels.
        "train": params.train.model_copy(
            update={"steps": params.gap.steps, "labelled": None, "label_density": 1.0}
        ),
    }
    network, seed = next(iter(params.networks)), params.seeds[0]
    return Run(params.model_copy(update=changes), task, network, "gap", seed)
