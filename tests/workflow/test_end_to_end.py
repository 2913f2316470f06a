"""The tiny study for real: Snakemake, then DVC, then whatever happens to people."""

import csv
import json
import os
import random
import re
import signal
import subprocess
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from dejavu.config import load_params
from tests.support.pipeline import ENVIRONMENT, run, write_study

pytestmark = pytest.mark.pipeline
Plan = Callable[..., dict[str, int]]
RESULTS = Path("results/default")
RUN_COLUMNS = [
    *("study", "dataset", "task", "network", "method", "seed", "split"),
    *("metric", "unit", "value"),
]
TABLE_COLUMNS = [
    *("task", "network", "method", "metric", "unit", "higher_is_better"),
    *("mean", "std", "n", "delta", "delta_low", "delta_high"),
]


def change(tree: Path, old: str, new: str) -> None:
    path = tree / "params/default.yaml"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def rows(path: Path) -> list[dict[str, str]]:
    with path.open() as file:
        return list(csv.DictReader(file))


def test_every_result_is_there(finished_tree: Path) -> None:
    study = yaml.safe_load((finished_tree / "params/default.yaml").read_text())
    table = rows(finished_tree / RESULTS / "tables/main.csv")
    assert list(table[0]) == TABLE_COLUMNS
    assert len(table) == 3 * 1 * 3 * 2  # tasks x networks x methods x (primary, boundary)
    assert {row["n"] for row in table} == {"2"}
    runs = rows(finished_tree / RESULTS / "metrics/runs.csv")
    assert list(runs[0]) == RUN_COLUMNS
    assert len({(r["task"], r["method"], r["seed"]) for r in runs}) == 3 * 3 * 2
    summary = json.loads((finished_tree / RESULTS / "metrics/summary.json").read_text())
    assert set(summary) == set(study["tasks"])
    for name in ("paired_differences", "training_curves", "gap", "qualitative_depth"):
        assert (finished_tree / RESULTS / f"figures/{name}.png").stat().st_size > 5_000
    assert (finished_tree / RESULTS / "report.html").stat().st_size > 50_000


def test_the_table_is_the_mean_of_the_runs(finished_tree: Path) -> None:
    runs = rows(finished_tree / RESULTS / "metrics/runs.csv")
    for row in rows(finished_tree / RESULTS / "tables/main.csv"):
        values = [
            float(r["value"])
            for r in runs
            if all(r[k] == row[k] for k in ("task", "network", "method", "metric"))
        ]
        assert float(row["mean"]) == pytest.approx(sum(values) / 2, rel=1e-5)


def test_every_number_knows_where_it_came_from(finished_tree: Path) -> None:
    head = run(finished_tree, "git", "rev-parse", "HEAD").strip()
    said = run(finished_tree, "python", "-m", "dejavu", "why", f"{RESULTS}/tables/main.csv")
    assert said.count("made by train: run ") == 3 * 3 * 2
    assert set(re.findall(r"commit (\w+)\n", said)) == {head}
    assert said.rstrip().endswith("no disagreements")
    said = run(finished_tree, "python", "-m", "dejavu", "why", f"{RESULTS}/report.html")
    assert said.rstrip().endswith("no disagreements")


def test_each_record_names_what_its_rule_read(finished_tree: Path) -> None:
    """By Snakemake's own account; of the data, records name the manifest alone."""
    lines = run(finished_tree, "snakemake", "--detailed-summary").splitlines()
    header = next(line for line in lines if line.startswith("output_file")).split("\t")
    rows = [dict(zip(header, line.split("\t"), strict=False)) for line in lines]
    records = [row for row in rows if "/records/" in row["output_file"]]
    assert len(records) == 1 + 2 * 18 + 3 * 3 + 3
    for row in records:
        read = json.loads((finished_tree / row["output_file"]).read_text())["inputs"]
        listed = {name for name in row["input-file(s)"].split(",") if name.startswith("results/")}
        assert listed == {name for name in read if name.startswith("results/")}


def test_a_run_that_is_found_finished_keeps_its_record(finished: Path) -> None:
    record = finished / RESULTS / "records/train/depth/fpn/baseline/seed0.json"
    before = record.read_text()
    record.unlink()
    train = ("train", "--task", "depth", "--method", "baseline")
    assert "already trained" in run(finished, "python", "-m", "dejavu", *train)
    assert record.read_text() == before


def test_a_second_run_has_nothing_to_do(finished: Path, planned: Plan) -> None:
    assert planned(finished) == planned(finished, "--use-conda") == {}
    assert "Nothing to be done" in run(finished, "snakemake", "--cores", "2")


def test_one_methods_change_trains_that_method_alone(finished: Path, planned: Plan) -> None:
    change(finished, "cutoff: 0.2", "cutoff: 0.3")
    jobs = planned(finished)
    assert jobs["train"] == jobs["evaluate"] == 3 * 2
    assert "prepare_rooms" not in jobs


def test_an_added_seed_trains_that_seed_alone(finished: Path, planned: Plan) -> None:
    change(finished, "seeds: [0, 1]", "seeds: [0, 1, 2]")
    assert planned(finished)["train"] == 3 * 3


def test_the_protocols_change_trains_nothing(finished: Path, planned: Plan) -> None:
    change(finished, "edge_width: 2", "edge_width: 3")
    jobs = planned(finished)
    assert "train" not in jobs
    assert jobs["evaluate"] == 3 * 3 * 2


def test_a_second_run_at_once_is_refused(finished: Path) -> None:
    (finished / RESULTS / "report.html").unlink()
    holder = subprocess.Popen(
        ["flock", ".snakemake/dejavu.lock", "sleep", "60"], cwd=finished, env=ENVIRONMENT
    )
    try:
        time.sleep(0.5)
        said = run(finished, "snakemake", "--cores", "2", expect=1)
    finally:
        holder.kill()
    assert "another run is at work in this folder" in " ".join(said.split())


def test_snakemakes_own_report_has_captions(finished: Path) -> None:
    run(finished, "snakemake", "--report", "workflow-report.zip")
    with zipfile.ZipFile(finished / "workflow-report.zip") as archive:
        pages = [n for n in archive.namelist() if n.endswith((".html", ".js")) and "/raw/" not in n]
        assert any(b"paired difference to the reference" in archive.read(n) for n in pages)


def test_dvc_records_what_snakemake_made(finished: Path, planned: Plan) -> None:
    """After a plain `snakemake`, `dvc repro` verifies and records, and trains nothing."""
    checkpoints = finished / RESULTS / "checkpoints"
    before = {p: p.stat().st_mtime_ns for p in checkpoints.rglob("*.safetensors")}
    said = run(finished, "dvc", "repro")
    assert "Nothing to be done" in said
    assert {p: p.stat().st_mtime_ns for p in checkpoints.rglob("*.safetensors")} == before
    assert "up to date" in run(finished, "dvc", "status")
    assert "didn't change" in run(finished, "dvc", "repro")
    assert planned(finished) == {}
    assert "miou" in run(finished, "dvc", "metrics", "show")
    assert "report" in run(finished, "dvc", "dag")
    run(finished, "dvc", "plots", "show")
    run(finished, "git", "add", "-A")
    run(finished, "git", "commit", "-q", "-m", "recorded")
    confidence = "params/default.yaml:report.confidence=0.9"
    assert "Ran experiment" in run(finished, "dvc", "exp", "run", "-S", confidence)
    assert load_params(finished / "params/default.yaml").report.confidence == 0.9
    assert "confidence" in run(finished, "dvc", "params", "diff")


def test_kills_change_no_number(finished_tree: Path, finished: Path) -> None:
    """kill -9 to the whole group, then the same numbers; `make soak` kills many times more."""
    table = (finished_tree / RESULTS / "metrics/runs.csv").read_text().splitlines()
    expected = [table[0], *(row for row in table if row.split(",")[2] == "depth")]
    assert len(expected) > 10
    run(finished, "rm", "-rf", "results", "data/default", ".runs", ".snakemake", "logs")
    write_study(finished, tasks=["depth"])
    moments = random.Random(1)
    for _ in range(2):
        process = subprocess.Popen(
            ["dvc", "repro"],
            cwd=finished,
            env=ENVIRONMENT,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        time.sleep(moments.uniform(4, 20))
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    run(finished, "dvc", "repro")
    assert (finished / RESULTS / "metrics/runs.csv").read_text().splitlines() == expected
    assert "up to date" in run(finished, "dvc", "status")
