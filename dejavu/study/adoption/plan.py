"""The plan of a comparison of code: verbs to run on two variants of a study."""

import copy
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from dejavu.config.reading import read_tree
from dejavu.config.scalars import write_yaml
from dejavu.study.jobs import Job
from dejavu.study.layout import Layout
from dejavu.study.measurements import MEASUREMENTS
from dejavu.study.run import Run

Step = dict[str, Any]
"""A step of the plan, read by `dejavu.study.adoption.driver`."""

LONG, SHORT = Path("long.yaml"), Path("short.yaml")
"""The study with its own number of training steps, and with few."""


def write_params(file: Path, folder: Path, steps: int) -> None:
    """Write the two variants of a study to compare.

    They copy the file without filling in defaults, whose fields older code may not know. Evaluation
    reads val: test is not opened to compare code.

    Args:
        file: the study's params.
        folder: output folder.
        steps: number of training steps to compare at each end of a run.
    """
    tree = read_tree(file)
    changes: dict[str, dict[str, Any]] = {
        "data": {"cache": False},
        "train": {"log_every": 1, "checkpoint_every": steps, "processes": 1, "workers": 0},
        "evaluation": {"split": "val"},
        "gap": {"steps": steps},
        "cost": {"rounds": 1},
        "text_pair": {"steps": steps},
    }
    for section, values in changes.items():
        tree[section] = (tree.get(section) or {}) | values
    for method in (tree["methods"] or {}).values():
        text = ((method or {}).get("dejavu") or {}).get("text") or {}
        if text.get("clip_weights"):
            text["clip_weights"] = str(Path(text["clip_weights"]).resolve())
    short = copy.deepcopy(tree)
    short["train"]["steps"] = 2 * steps
    if "warmup" in short["train"]:
        short["train"]["warmup"] = min(short["train"]["warmup"], steps)
    for path, content in ((LONG, tree), (SHORT, short)):
        (folder / path).write_text(write_yaml(content), encoding="utf-8")


def plan_steps(
    layout: Layout, jobs: Iterable[tuple[Job, Run | str | None]], steps: int
) -> list[Step]:
    """List the steps that compare some jobs of a study.

    Args:
        layout: the study.
        jobs: each with its run or task.
        steps: number of training steps to compare at each end of a run.

    Returns:
        Steps in the order in which they run; steps of the same name are equal.
    """
    chosen = [*jobs]
    trained = [of for job, of in chosen if job.verb == "train" and isinstance(of, Run)]
    runs = {run.hash: run for run in trained}.values()  # two labels may stand for one run
    scored = [of for job, of in chosen if job.verb == "evaluate" and isinstance(of, Run)]
    measured = [(job.verb, str(of)) for job, of in chosen if job.verb in _MEASUREMENTS]
    plan = [_data(layout)]
    if layout.params.uses_text_pair:
        files = [layout.text_pair, layout.text_pair_metrics]
        plan.append(_verb("text pair", ["text-pair", "--params", str(LONG)], files))
    plan += [_training(layout, run, steps) for run in runs]
    probed = {task for verb, task in measured if verb == "probes"}
    cells = {(run.task, run.network, run.method) for run in scored}
    cells |= {(r.task, r.network, r.method) for r in layout.runs() if r.task in probed}
    first = [r for r in layout.runs() if r.seed == layout.params.seeds[0]]
    short = [r for r in first if (r.task, r.network, r.method) in cells]
    plan += [_short_training(layout, run) for run in short]
    plan += [_evaluation(layout, run) for run in short]
    return plan + [_measurement(layout, verb, task) for verb, task in measured]


_MEASUREMENTS = {one.verb for one in MEASUREMENTS}


def _data(layout: Layout) -> Step:
    data = layout.params.data
    verb = ["rooms"] if data.is_rooms else ["data", "check", data.name]
    files = [*layout.splits, layout.manifest]
    return _verb("data", [*verb, "--params", str(LONG)], files)


def _training(layout: Layout, run: Run, steps: int) -> Step:
    return {
        "kind": "train",
        "name": _name(run),
        "argv": ["train", *_arguments(run, LONG)],
        "late": max(0, run.train.steps - steps),
        "checkpoint": str(layout.checkpoint(run)),
    }


def _short_training(layout: Layout, run: Run) -> Step:
    argv = ["train", *_arguments(run, SHORT)]
    return _verb(f"short {_name(run)}", argv, [layout.checkpoint(run), layout.log(run)])


def _evaluation(layout: Layout, run: Run) -> Step:
    argv = ["evaluate", *_arguments(run, SHORT)]
    return _verb(f"evaluation of {_name(run)}", argv, [layout.metrics(run)])


def _measurement(layout: Layout, verb: str, task: str) -> Step:
    argv = [verb, "--params", str(SHORT), "--task", task]
    return _verb(f"{verb} of {task}", argv, [layout.measurement(verb, task)])


def _verb(name: str, argv: list[str], files: list[Path]) -> Step:
    return {"kind": "verb", "name": name, "argv": argv, "files": [str(file) for file in files]}


def _arguments(run: Run, params: Path) -> list[str]:
    cell = ["--task", run.task, "--network", run.network, "--method", run.method]
    return ["--params", str(params), *cell, "--seed", str(run.seed)]


def _name(run: Run) -> str:
    return f"{run.task} {run.network} {run.method} seed {run.seed}"
