"""What a fresh clone plans and refuses, without running a job."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from dejavu.config import load_params
from dejavu.runtime.errors import ParamsError
from dejavu.study.jobs import job_of
from dejavu.study.layout import Layout
from tests.support.pipeline import run, write_study

Plan = Callable[..., dict[str, int]]


def test_a_fresh_clone_plans_every_training_run(fresh: Path, planned: Plan) -> None:
    """Also with the tables in git: a table must not hide that no network was trained."""
    study = yaml.safe_load((fresh / "params/default.yaml").read_text())
    assert (fresh / "results/default/tables/main.csv").exists()
    runs = [len(study[k]) for k in ("tasks", "networks", "methods", "seeds")]
    expected = runs[0] * runs[1] * runs[2] * runs[3]
    jobs = planned(fresh)
    assert jobs["train"] == jobs["evaluate"] == expected
    assert jobs["prepare_rooms"] == 1


def test_dvcs_lock_agrees_with_the_committed_results(fresh: Path) -> None:
    """Data and checkpoints are not in git, so they are missing; what is there is what was made."""
    status = json.loads(run(fresh, "dvc", "status", "--json"))
    changed = {
        name
        for changes in status.values()
        for change in changes
        if isinstance(change, dict)
        for name in change.get("changed outs", {})
    }
    assert changed == {
        "data/default",
        "results/default/checkpoints",
        "results/default/report.html",
        ".snakemake/metadata",
    }


def test_a_study_file_replaces_the_default(fresh: Path, planned: Plan) -> None:
    write_study(fresh, "small", methods={"baseline": {}}, tasks=["depth"])
    assert planned(fresh, "--configfile", "params/small.yaml")["train"] == 2


def test_use_conda_without_a_conda_says_so_and_goes_on(fresh: Path, planned: Plan) -> None:
    said = run(fresh, "snakemake", "-n", "--cores", "2", "--use-conda")
    assert said.count("no conda on PATH") == 1
    assert planned(fresh, "--use-conda") == planned(fresh)


VERBS = {
    "prepare_rooms": "data",
    "measure_gap": "gap",
    "measure_probes": "probes",
    "measure_cost": "cost",
    "write_report": "report",
}
"""Verbs that are not called as their rule is."""


def test_each_rule_makes_what_its_verb_records(fresh: Path) -> None:
    """The files of every job, by the workflow on one side and by the records on the other."""
    layout = Layout(load_params(fresh / "params/default.yaml"))
    lines = run(fresh, "snakemake", "--summary").splitlines()
    rows = [line.split("\t") for line in lines if line.startswith(("data/", "results/"))]
    rules = {Path(row[0]): row[2] for row in rows}
    records = {path for path in rules if "records" in path.parts}
    jobs = {path: job_of(layout, path) for path in rules.keys() - records}
    for path, job in jobs.items():
        assert job.verb == VERBS.get(rules[path], rules[path])
        assert rules[job.record] == rules[path]
    assert len(records) == 1 + 2 * 27 + 3 * 3 + 3
    assert {job.record for job in jobs.values()} == records
    assert {path for job in jobs.values() for path in job.outputs} == jobs.keys()


def refused(tree: Path, *flags: str) -> str:
    said = run(tree, "snakemake", "-n", "--cores", "2", *flags, expect=1)
    assert "Traceback" not in said
    return re.sub(r"\s+", " ", said)


def test_wrong_params_stop_the_plan_and_name_the_key(fresh: Path) -> None:
    path = fresh / "params/default.yaml"
    path.write_text(path.read_text().replace("  steps:", "  stepps:", 1))
    said = refused(fresh)
    assert "params/default.yaml: train: unknown key 'stepps'; did you mean 'steps'?" in said


def test_the_plan_reads_yaml_as_the_verbs_do(fresh: Path) -> None:
    """Snakemake itself reads 8, DVC 10."""
    path = fresh / "params/mine.yaml"
    text = (fresh / "params/default.yaml").read_text().replace("seeds: [0, 1, 2]", "seeds: [010]")
    path.write_text(text)
    with pytest.raises(ParamsError) as caught:
        load_params(path)
    said = refused(fresh, "--configfile", "params/mine.yaml")
    assert str(caught.value).removeprefix(f"{fresh}/") in said


def test_a_missing_study_file_is_named(fresh: Path) -> None:
    (fresh / "params/default.yaml").unlink()
    assert "params/default.yaml: no such params file" in refused(fresh)


def test_a_value_given_beside_the_study_file_is_refused(fresh: Path) -> None:
    assert "a study is one complete params file" in refused(fresh, "--config", "seeds=[0]")
