"""A finished study of made-up numbers, recorded as the verbs record it."""

import csv
import json
import math
import shutil
from pathlib import Path
from typing import Any

import pytest

from dejavu.config import Params
from dejavu.config.generated import render_params
from dejavu.runtime.environment import Commit
from dejavu.study.jobs import every_job
from dejavu.study.layout import Layout
from dejavu.study.record import recorded
from dejavu.study.run import Run

MAIN = Path("results/tiny/tables/main.csv")
METRICS = ("score", "edge_score")
COMMIT = Commit(commit="a" * 40, dirty=False)


def score(run: Run, metric: str) -> float:
    """A number that no two runs share."""
    place = [*run.params.tasks].index(run.task) + 10 * [*run.params.methods].index(run.method)
    return place + run.seed / 3 + (100 if metric == "edge_score" else 0)


def write_metrics(layout: Layout, run: Run) -> None:
    rows = [{"name": m, "unit": "%", "value": score(run, m)} for m in METRICS]
    tree = {"run": run.hash, "metrics": rows}
    layout.metrics(run).write_text(json.dumps(tree))


def write_table(layout: Layout, path: Path) -> None:
    p = layout.params
    with path.open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["task", "network", "method", "metric", "unit", "mean", "n"])
        for task in p.tasks:
            for method in p.methods:
                runs = [Run(p, task, "fpn", method, seed) for seed in p.seeds]
                for metric in METRICS:
                    mean = math.fsum(score(run, metric) for run in runs) / len(runs)
                    table.writerow([task, "fpn", method, metric, "%", f"{mean:.10g}", len(runs)])


def make_tree(root: Path, params: Params, data: Path) -> None:
    """Write a tree with a finished study, whose prepared data is copied."""
    layout = Layout(params)
    shutil.copytree(data, root / layout.data)
    (root / "params").mkdir()
    (root / "params/tiny.yaml").write_text(render_params(params))
    runs = {layout.metrics(run): run for run in layout.runs()}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        patch.setattr("dejavu.study.record.read_commit", lambda: COMMIT)
        for job in every_job(layout):
            with recorded(job):
                for path in () if job.verb == "data" else job.outputs:
                    path.parent.mkdir(parents=True, exist_ok=True)
                    path.write_text(f"made: {path}")
                    if path in runs:
                        write_metrics(layout, runs[path])
                    elif path.stem in ("main", "all_metrics") and path.suffix == ".csv":
                        write_table(layout, path)


def first_run(layout: Layout) -> Run:
    return next(layout.runs())


def edit_record(path: Path, **changes: Any) -> None:
    record = json.loads(path.read_text())
    for dotted, value in changes.items():
        *parents, key = dotted.split("__")
        section = record
        for parent in parents:
            section = section[parent]
        section[key] = value
    path.write_text(json.dumps(record))
