"""`python -m dejavu adopt`: results outlive changes of code that compute the same, only those."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.pipeline import clone, run, write_study

pytestmark = pytest.mark.pipeline
Plan = Callable[..., dict[str, int]]
ADOPT = ("python", "-m", "dejavu", "adopt", "--steps", "2")
ADOPTED = "results/default/adopted.json"
METHODS = {
    "baseline": {},
    "blocks": {
        "dejavu": {"redaction": {"name": "random_blocks", "block": 8, "keep": 0.3}, "gamma": 0.3}
    },
}


@pytest.fixture(scope="module")
def recorded_tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tree with a finished study of two runs, recorded, pushed and committed."""
    tree = clone(tmp_path_factory.mktemp("recorded") / "tree")
    shutil.rmtree(tree / "results", ignore_errors=True)
    (tree / "dvc.lock").unlink(missing_ok=True)
    write_study(tree, tasks=["depth"], methods=METHODS, seeds=[0])
    commit(tree, "study")
    run(tree, "dvc", "remote", "add", "--default", "disk", str(tree.with_name("remote")))
    run(tree, "dvc", "repro")
    run(tree, "dvc", "push")
    commit(tree, "results")
    return tree


@pytest.fixture
def recorded(recorded_tree: Path, tmp_path: Path) -> Path:
    """A copy that a test may change; times are kept."""
    return Path(shutil.copytree(recorded_tree, tmp_path / "tree", symlinks=True))


def commit(tree: Path, message: str) -> None:
    run(tree, "git", "add", "-A")
    run(tree, "git", "commit", "-q", "-m", message)


def change(tree: Path, file: str, old: str, new: str) -> None:
    path = tree / file
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    commit(tree, f"change {file}")


def test_a_rename_is_adopted_and_nothing_is_made_again(
    recorded: Path, tmp_path: Path, planned: Plan
) -> None:
    before = run(recorded, "python", "-m", "dejavu", "params")
    change(recorded, "dejavu/training/optimisation.py", "_cosine(", "_half_wave(")
    assert planned(recorded)["train"] == 2
    said = run(recorded, *ADOPT)
    assert "adopted 2 x train" in said
    assert run(recorded, "python", "-m", "dejavu", "params") == before
    # The file that DVC's stages depend on is as it was when the results were made.
    run(recorded, "python", "-m", "dejavu", "phases")
    assert run(recorded, "git", "status", "--short") == f"?? {ADOPTED}\n"
    assert planned(recorded) == {}
    assert "up to date" in run(recorded, "dvc", "status")
    assert "no disagreements" in run(
        recorded, "python", "-m", "dejavu", "why", "results/default/tables/main.csv"
    )
    compared = json.loads((recorded / ADOPTED).read_text())["comparisons"]
    made_by = run(recorded, "git", "rev-parse", "HEAD~2").strip()
    assert [one["recorded"] for one in compared] == [made_by]
    assert "nothing to adopt" in run(recorded, *ADOPT)
    commit(recorded, "adopt")
    pulled = tmp_path / "pulled"
    run(recorded, "git", "clone", "-q", str(recorded), str(pulled))
    run(pulled, "dvc", "pull")
    assert planned(pulled) == {}
    assert "up to date" in run(pulled, "dvc", "status")
    # Later code is compared with the code that made the results, not with what was adopted.
    change(recorded, "dejavu/training/optimisation.py", "_half_wave(", "_cosine_wave(")
    assert "adopted 2 x train" in run(recorded, *ADOPT)
    compared = json.loads((recorded / ADOPTED).read_text())["comparisons"]
    assert [one["recorded"] for one in compared] == [made_by, made_by]
    assert run(recorded, "python", "-m", "dejavu", "params") == before


LOSS = '{"task": self._task.loss(output, target, weights)}'
LATE = "    return _cosine(peak, peak / 25e4, (step - turn) / (last - turn))"


@pytest.mark.parametrize(
    ("file", "old", "new", "difference"),
    [
        (
            "dejavu/training/step.py",
            LOSS,
            LOSS.replace("self._task.loss(", "1.001 * self._task.loss("),
            "first steps",
        ),
        (
            "dejavu/training/optimisation.py",
            LATE,
            f"    if step > 0.8 * params.steps:\n        return 0.0\n{LATE}",
            "last steps",
        ),
        (
            "dejavu/training/optimisation.py",
            "return kind(groups, lr=rate, weight_decay=decay)",
            "return kind(groups, lr=rate, weight_decay=0.0)",
            "first steps",
        ),
        (
            "dejavu/metrics/depth.py",
            "_numbers(sums / count",
            "_numbers(1.01 * sums / count",
            "evaluation of depth fpn baseline seed 0",
        ),
    ],
    ids=["loss", "late schedule", "weight decay", "metric"],
)
def test_a_change_that_computes_something_else_is_refused(
    file: str, old: str, new: str, difference: str, recorded: Path
) -> None:
    change(recorded, file, old, new)
    said = run(recorded, *ADOPT, expect=1)
    assert "differs from commit" in said
    assert difference in said
    assert "Traceback" not in said
    assert not (recorded / ADOPTED).exists()
    assert run(recorded, "git", "worktree", "list").count("\n") == 1


def test_what_cannot_be_compared_is_refused(recorded: Path) -> None:
    """Nothing is computed, so that each refusal is quick."""
    record = next(recorded.glob("results/default/records/train/depth/fpn/baseline/*.json"))
    whole = record.read_text()
    optimisation = recorded / "dejavu/training/optimisation.py"
    optimisation.write_text(optimisation.read_text().replace("_cosine(", "_half_wave("))
    assert "uncommitted changes in dejavu/" in run(recorded, *ADOPT, expect=1)
    commit(recorded, "rename")
    made = json.loads(whole)["execution"]
    for old, new, reason in (
        (made["code"]["commit"], "0" * 40, "this repository lacks"),
        ('"dirty": false', '"dirty": true', "uncommitted"),
        (made["versions"]["torch"], "2.0.0", "made with torch 2.0.0"),
        ('"weight_decay": 0.01', '"weight_decay": 0.02', "other params"),
    ):
        assert old in whole
        record.write_text(whole.replace(old, new))
        said = run(recorded, *ADOPT, expect=1)
        assert reason in said
        assert str(record.relative_to(recorded)) in said
    record.write_text(whole)
    evaluation = next(recorded.glob("results/default/records/evaluate/depth/fpn/baseline/*.json"))
    run_hash = json.loads(whole)["hashes"]["run"]
    evaluation.write_text(evaluation.read_text().replace(run_hash, "0" * 16))
    said = run(recorded, *ADOPT, expect=1)
    assert f"evaluates run {'0' * 16}, but the recorded training is {run_hash}" in said
    assert not (recorded / ADOPTED).exists()
