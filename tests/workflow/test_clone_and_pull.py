"""A fresh clone after `dvc pull`: nothing to do, whatever the times; what changes is noticed."""

import json
import os
import random
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from tests.support.pipeline import run

pytestmark = pytest.mark.pipeline
Plan = Callable[..., dict[str, int]]
PHASES = ("python", "-m", "dejavu", "phases")
WRITE_PHASES = (*PHASES, "--write")
RUNS = 3 * 3 * 2  # tasks x methods x seeds


@pytest.fixture(scope="module")
def pushed(finished_tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The finished tree, recorded by DVC, committed, and pushed to a remote on the disk."""
    folder = tmp_path_factory.mktemp("pushed")
    tree = Path(shutil.copytree(finished_tree, folder / "origin"))
    run(tree, "dvc", "remote", "add", "--default", "disk", str(folder / "remote"))
    run(tree, "dvc", "repro")
    run(tree, "git", "add", "-A")
    run(tree, "git", "commit", "-q", "-m", "results")
    run(tree, "dvc", "push")
    return tree


@pytest.fixture(scope="module")
def pulled_tree(pushed: Path) -> Path:
    """A fresh clone after `dvc pull`, its times scrambled. Do not change it."""
    tree = pushed.with_name("clone")
    run(pushed, "git", "clone", "-q", str(pushed), str(tree))
    run(tree, "dvc", "pull")
    scramble(tree)
    return tree


@pytest.fixture
def pulled(pulled_tree: Path, tmp_path: Path) -> Path:
    """A copy of the clone that a test may change; times are kept."""
    return Path(shutil.copytree(pulled_tree, tmp_path / "tree", symlinks=True))


def scramble(tree: Path) -> None:
    """Make every file some days older or newer."""
    draw, now = random.Random(0), time.time()
    for file in sorted(tree.rglob("*")):
        if file.is_file() and not file.is_relative_to(tree / ".git"):
            moment = now + draw.uniform(-1e6, 1e6)
            os.utime(file, (moment, moment))


def replace(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def flip_a_byte(path: Path, moment: float) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    os.utime(path, (moment, moment))


def changed(tree: Path) -> str:
    return run(tree, "dvc", "status")


def stale_stages(tree: Path) -> set[str]:
    """The stages of which DVC says that their inputs changed, not those that follow from it."""
    status = json.loads(run(tree, "dvc", "status", "--json").splitlines()[-1])
    return {stage for stage, changes in status.items() if changes}


def test_a_pulled_clone_has_nothing_to_do(pulled: Path, planned: Plan) -> None:
    """Nor do the leftovers of a killed process count."""
    assert planned(pulled) == {}
    leftover = next((pulled / "results/default/checkpoints").rglob("*.safetensors"))
    leftover.with_name(f".{leftover.name}.tmp").write_text("half")
    assert "up to date" in changed(pulled)
    assert run(pulled, "git", "status", "--short") == ""


def test_dvc_repro_of_a_pulled_clone_runs_no_stage(pulled: Path) -> None:
    started = time.monotonic()
    said = run(pulled, "dvc", "repro")
    seconds = time.monotonic() - started
    assert said.count("didn't change, skipping") == 3
    assert "Running stage" not in said
    assert seconds < 60
    print(f"dvc repro of a pulled clone: {seconds:.1f} s")


@pytest.mark.parametrize(
    ("file", "old", "new", "runs"),
    [
        ("params/default.yaml", "cutoff: 0.2", "cutoff: 0.3", 3 * 2),
        ("params/default.yaml", "seeds: [0, 1]", "seeds: [0, 1, 2]", 3 * 3),
        (
            "dejavu/training/optimisation.py",
            "\nimport math\n",
            "\nimport math\n\nCHANGED = 1\n",
            RUNS,
        ),
    ],
    ids=["a method's setting", "a seed", "code"],
)
def test_a_change_trains_what_depends_on_it(
    file: str, old: str, new: str, runs: int, pulled: Path, planned: Plan
) -> None:
    replace(pulled / file, old, new)
    assert planned(pulled)["train"] == runs
    run(pulled, *WRITE_PHASES)
    assert "train" in stale_stages(pulled)


def test_words_leave_everything_current(pulled: Path, planned: Plan) -> None:
    replace(pulled / "dejavu/training/loop.py", '"""', '"""In other words: ')
    replace(pulled / "dejavu/method/loss.py", "\nimport torch\n", "\nimport torch  # a comment\n")
    replace(pulled / "dejavu/training/loop.py", "the loss is ", "this loss is ")  # an error's
    run(pulled, *PHASES)
    assert planned(pulled) == {}
    assert stale_stages(pulled) == set()


@pytest.mark.parametrize(
    ("file", "rules"),
    [
        ("dejavu/reporting/tables.py", {"tables", "figures", "write_report"}),
        ("dejavu/metrics/segmentation.py", {"evaluate", "tables", "figures", "write_report"}),
    ],
    ids=["reporting", "a metric"],
)
def test_what_is_measured_and_shown_trains_nothing(
    file: str, rules: set[str], pulled: Path, planned: Plan
) -> None:
    replace(pulled / file, "\nimport ", "\nCHANGED = 1\nimport ")
    assert set(planned(pulled)) == {*rules, "all", "total"}
    run(pulled, *WRITE_PHASES)
    assert stale_stages(pulled) == {"report"}


def test_phases_of_older_code_are_refused(pulled: Path) -> None:
    """DVC knows the code by that file alone, and would call stale results current."""
    replace(
        pulled / "dejavu/training/optimisation.py", "\nimport math\n", "\nimport math\n\nX = 1\n"
    )
    assert stale_stages(pulled) == set()
    assert "workflow/phases.json: does not match" in run(pulled, *PHASES, expect=1)
    commands = yaml.safe_load((pulled / "dvc.yaml").read_text())["stages"]
    assert {stage["cmd"][0] for stage in commands.values()} == {" ".join(PHASES)}
    replace(pulled / "params/default.yaml", "cutoff: 0.2", "cutoff: 0.3")
    said = run(pulled, "dvc", "repro", expect=255)
    assert "workflow/phases.json: does not match" in said
    assert "rule train" not in said


def test_a_byte_of_a_newer_file_is_noticed(pulled: Path, planned: Plan) -> None:
    flip_a_byte(pulled / "data/default/train.npy", moment=time.time() + 1e7)
    assert planned(pulled)["train"] == RUNS
    assert "modified:           data/default" in changed(pulled)


def test_dvc_notices_a_byte_of_an_older_file(pulled: Path) -> None:
    """Snakemake does not look into a file that is older than what was made of it."""
    flip_a_byte(pulled / "data/default/train.npy", moment=1e9)
    assert "modified:           data/default" in changed(pulled)


def test_a_repository_without_a_remote_works(fresh: Path, planned: Plan) -> None:
    said = run(fresh, "dvc", "pull", expect=1)
    assert "Traceback" not in said
    assert "no default remote set" in said
    assert planned(fresh)["train"] > 0
