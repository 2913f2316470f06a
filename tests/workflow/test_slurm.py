"""The study on a cluster: a real Slurm of one node, with the profile of profiles/slurm."""

import shutil
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from time import monotonic, sleep

import pytest
import yaml

from tests.support import slurm
from tests.support.pipeline import ENVIRONMENT, ROOT, clone, run, write_study

Plan = Callable[..., dict[str, int]]
PROFILE = ("--workflow-profile", "profiles/slurm")
# The profile waits for a busy cluster; a job of this study ends within seconds.
SUBMIT = ("snakemake", *PROFILE, "--slurm-init-seconds-before-status-checks", "6")
GPU_RULES = {"train", "evaluate", "measure_gap", "measure_probes", "measure_cost"}
CPU_RULES = {"prepare_rooms", "tables", "figures", "write_report"}


def profile(name: str) -> dict[str, object]:
    found: dict[str, object] = yaml.safe_load((ROOT / f"profiles/{name}/profile.yaml").read_text())
    return found


def test_the_profile_decides_on_staleness_as_the_default_does() -> None:
    """Beside them the default limits the GPUs of one machine: on a cluster, nothing does."""
    default = profile("default")
    assert default.pop("resources") == ["gpu=1"]
    assert default.items() <= profile("slurm").items()
    assert "resources" not in profile("slurm")


@pytest.mark.pipeline
def test_what_one_profile_made_is_up_to_date_under_the_other(
    finished_tree: Path, planned: Plan
) -> None:
    assert planned(finished_tree, *PROFILE) == {}


@pytest.mark.pipeline
def test_a_gpu_setting_that_is_none_is_refused(fresh: Path) -> None:
    said = run(fresh, "env", "DEJAVU_GPU=yes", "snakemake", "-n", expect=1)
    assert "DEJAVU_GPU is 1 where jobs use a GPU and 0 where not, got 'yes'" in said


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[None]:
    if reason := slurm.why_not():
        pytest.skip(f"NO SLURM WAS TESTED: {reason}")
    with slurm.cluster(tmp_path / "slurm"):
        yield


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A clone whose default study is one run of two steps."""
    tree = clone(tmp_path / "tree")
    shutil.rmtree(tree / "results")
    write_study(
        tree,
        tasks=["segmentation"],
        methods={"baseline": {}},
        seeds=[0],
        data={"rooms": {"train": 4, "val": 2, "test": 2}},
        train={"steps": 2, "batch_size": 2, "subset": None},
        gap={"steps": 1, "candidates": [{"name": "blank"}]},
        cost={"rounds": 1},
    )
    return tree


def cancel_when_running(rule: str) -> None:
    """Cancel a rule's job once it runs."""
    end = monotonic() + 120
    while True:
        rows = [row.split() for row in slurm.ask("squeue", "-h", "-o", "%i %T %k").splitlines()]
        if found := [row[0] for row in rows if row[1] == "RUNNING" and row[2].startswith(rule)]:
            break
        assert monotonic() < end, f"no job of {rule} ran: {rows}"
        sleep(0.1)
    subprocess.run(["scancel", *found], check=True)


@pytest.mark.pipeline
def test_the_study_runs_through_slurm_and_survives_a_cancelled_job(
    cluster: None, tree: Path, planned: Plan
) -> None:
    with subprocess.Popen(
        [*SUBMIT, "trained"],
        cwd=tree,
        env=ENVIRONMENT | {"DEJAVU_GPU": "0"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as first:
        try:
            cancel_when_running("rule_train_")
            said, _ = first.communicate(timeout=300)
        finally:
            first.kill()
    assert first.returncode == 1
    assert "SLURM status is: 'CANCELLED'" in said

    run(tree, "env", "DEJAVU_GPU=1", *SUBMIT)
    assert (tree / "results/default/report.html").stat().st_size > 50_000
    assert planned(tree) == planned(tree, *PROFILE) == {}

    known = slurm.jobs()
    ran = Counter((rule_of(job), job["JobState"]) for job in known)
    assert ran == {
        ("train", "CANCELLED"): 1,
        **{(rule, "COMPLETED"): 1 for rule in GPU_RULES | CPU_RULES},
    }
    gpus = {rule_of(job): job.get("TresPerJob") for job in known if job["JobState"] == "COMPLETED"}
    assert gpus == dict.fromkeys(GPU_RULES, "gres:gpu:1") | dict.fromkeys(CPU_RULES)
    memory = {rule_of(job): job["MinMemoryNode"] for job in known}
    assert (memory["train"], memory["measure_cost"]) == ("2000M", "4000M")


def rule_of(job: dict[str, str]) -> str:
    """The rule that the Slurm plugin wrote into the job's comment."""
    return job["Comment"].removeprefix("rule_").partition("_wildcards")[0]
