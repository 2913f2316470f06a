"""The workflows of GitHub call make, are checked as they claim, and compare what they should."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pathspec
import pytest
import yaml

from dejavu.config import load_params
from tests.support.pipeline import ENVIRONMENT, ROOT, run
from tests.support.studies import tiny_params

FOLDER = Path(".github/workflows")
NAMES = ["ci", "gpu"]
LINES = {
    'cat build/comparison.md >> "$GITHUB_STEP_SUMMARY"',
    "git clean -ffd",
    'gh pr comment "$NUMBER" --edit-last --create-if-none --body-file build/comparison.md',
}
"""What may stand beside make targets: it means nothing outside GitHub."""


def read(name: str) -> dict[str, Any]:
    # The key `on` is a truth value of YAML 1.1.
    tree: dict[str, Any] = yaml.safe_load((ROOT / FOLDER / f"{name}.yml").read_text())
    return tree


def jobs(name: str) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = read(name)["jobs"]
    return found


def steps(name: str) -> Iterator[dict[str, Any]]:
    for job in jobs(name).values():
        yield from job["steps"]


def make(tree: Path, *words: str) -> str:
    """Run a target of the Makefile in a tree, with the environment that runs the tests."""
    return run(tree, "make", "-o", "install", f"BIN={Path(sys.executable).parent}", *words)


@pytest.mark.parametrize("name", NAMES)
def test_every_command_is_a_make_target(name: str) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
    commands = {step["run"] for step in steps(name) if "run" in step}
    assert len(commands) > 3
    for command in commands - LINES:
        program, *words = command.split()
        assert program == "make"
        assert set(words) <= targets, f"{command}: the Makefile has no such target"


@pytest.mark.parametrize("name", NAMES)
def test_no_expression_stands_in_a_command(name: str) -> None:
    """GitHub pastes its value into the script, whatever a stranger wrote there."""
    assert not [step["run"] for step in steps(name) if "${{" in step.get("run", "")]


@pytest.mark.parametrize("name", NAMES)
def test_jobs_end_wait_for_each_other_and_may_little(name: str) -> None:
    assert read(name)["permissions"] in ({}, {"contents": "read"})
    assert "concurrency" in (read(name) if name == "ci" else jobs(name)["study"])
    for label, job in jobs(name).items():
        assert job["timeout-minutes"] > 0
        assert job.get("needs", label) in jobs(name)
        rights = job.get("permissions", {})
        assert [r for r, kind in rights.items() if kind == "write"] == (
            ["pull-requests"] if label == "comment" else []
        )


def test_the_right_to_comment_never_meets_code_of_a_branch() -> None:
    comment = jobs("gpu")["comment"]["steps"]
    assert [step.get("uses", "").partition("@")[0] for step in comment] == [
        "actions/download-artifact",
        "",
    ]


@pytest.mark.parametrize(
    ("event", "fork", "labels", "added", "expected"),
    [
        ("workflow_dispatch", False, [], "", True),
        ("pull_request", False, ["gpu"], "gpu", True),
        ("pull_request", False, ["gpu"], "", True),
        ("pull_request", False, ["gpu", "docs"], "docs", False),
        ("pull_request", False, ["docs"], "docs", False),
        ("pull_request", True, ["gpu"], "gpu", False),
        ("pull_request", True, [], "", False),
    ],
)
def test_the_gpu_runs_when_asked_and_never_for_a_fork(
    event: str, fork: bool, labels: list[str], added: str, expected: bool
) -> None:
    condition = jobs("gpu")["study"]["if"].replace("&&", "and").replace("||", "or")
    values = {
        "github.event_name": event,
        "github.event.action": "labeled" if added else "synchronize",
        "github.event.label.name": added,
        "github.event.pull_request.head.repo.full_name": "fork/study" if fork else "own/study",
        "github.event.pull_request.labels.*.name": labels,
        "github.repository": "own/study",
    }
    for name in sorted(values, key=len, reverse=True):
        condition = condition.replace(name, repr(values[name]))
    contains = list.__contains__
    assert eval(condition, {"__builtins__": {}, "contains": contains}) is expected


BROKEN = [
    ("runs-on: ubuntu", "run-on: ubuntu"),
    ("branches: [main]", "branchs: [main]"),
    ("run: make ci-plan", "run: echo ${{ github.event.pull_request.title }}"),
    ("checkout@de0fac2e4500dabe0009e67214ff5f5447ce83dd", "checkout@v6"),
    ("persist-credentials: false", "fetch-tags: true"),
]


@pytest.mark.parametrize(("old", "new"), [("", ""), *BROKEN], ids=lambda text: text[:24])
def test_make_lint_catches_a_broken_workflow(old: str, new: str, tmp_path: Path) -> None:
    for name in NAMES:
        text = (ROOT / FOLDER / f"{name}.yml").read_text()
        (tmp_path / FOLDER).mkdir(parents=True, exist_ok=True)
        (tmp_path / FOLDER / f"{name}.yml").write_text(text.replace(old, new) if old else text)
    recipe = (ROOT / "Makefile").read_text()
    checks = re.findall(r"^\t((?:check-jsonschema|zizmor) .*)$", recipe, flags=re.MULTILINE)
    assert len(checks) == 2
    failed = [
        subprocess.run(check, shell=True, cwd=tmp_path, env=ENVIRONMENT, check=False).returncode
        for check in checks
    ]
    assert any(failed) == bool(old)


def test_the_tiny_study_is_put_into_a_copy(tmp_path: Path) -> None:
    run(ROOT, "python", "-m", "tests.support.tiny", str(tmp_path))
    assert load_params(tmp_path / "params/tiny.yaml") == tiny_params(study="tiny")
    assert not (ROOT / "params/tiny.yaml").exists()
    assert (tmp_path / "Snakefile").read_text() == (ROOT / "Snakefile").read_text()


def test_without_a_remote_the_targets_say_so(fresh: Path) -> None:
    assert "nothing to pull" in make(fresh, "ci-pull")
    assert "nothing to push" in make(fresh, "ci-push")


def test_the_remote_that_is_pushed_to_need_not_be_the_default(fresh: Path, tmp_path: Path) -> None:
    run(fresh, "dvc", "remote", "add", "--default", "public", "https://dejavu.invalid/study")
    run(fresh, "dvc", "remote", "add", "writable", str(tmp_path / "remote"))
    (fresh / "data/default").mkdir(parents=True)
    (fresh / "data/default/train.npy").write_bytes(b"rooms")
    run(fresh, "dvc", "commit", "--force", "data")
    make(fresh, "ci-push", "PUSH_REMOTE=writable")
    assert b"rooms" in [f.read_bytes() for f in (tmp_path / "remote").rglob("*") if f.is_file()]


def test_the_plan_says_what_the_change_makes_stale_and_what_was_only_not_pulled(
    fresh: Path,
) -> None:
    def modified() -> set[str]:
        said = make(fresh, "ci-plan")
        assert "not in cache" in said or "deleted" in said
        return set(re.findall(r"modified: +(\S+)", said))

    before = modified()
    params = fresh / "params/default.yaml"
    params.write_text(params.read_text().replace("edge_width: 2", "edge_width: 5", 1))
    assert modified() - before == {"evaluation"}


def test_the_comparison_holds_what_changed(fresh: Path) -> None:
    path = fresh / "results/default/metrics/summary.json"
    summary = json.loads(path.read_text())
    metrics = summary["depth"]["fpn"]["baseline"]
    old = metrics["rmse"]
    metrics["rmse"] = old + 0.25
    path.write_text(json.dumps(summary))
    params = fresh / "params/default.yaml"
    params.write_text(params.read_text().replace("edge_width: 2", "edge_width: 5", 1))
    make(fresh, "ci-compare", "BASE=HEAD")
    text = (fresh / "build/comparison.md").read_text()
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines()]
    found = {row[1]: row[2:] for row in rows if len(row) > 2 and "." in row[1]}
    assert set(found) == {"depth.fpn.baseline.rmse", "evaluation.edge_width"}
    change = [float(cell) for cell in found["depth.fpn.baseline.rmse"]]
    assert change == pytest.approx([old, old + 0.25, 0.25], rel=1e-3)
    assert found["evaluation.edge_width"] == ["2", "5"]
    assert "paired_differences.png" in (fresh / "build/plots/index.html").read_text()


def test_the_container_holds_what_git_holds() -> None:
    """Docker anchors its patterns at the root, where git lets them match anywhere."""
    ignored = (ROOT / ".containerignore").read_text().splitlines()
    anchored = [re.sub(r"^(!?)", r"\1/", line) for line in ignored if line[:1] not in ("", "#")]
    context = pathspec.GitIgnoreSpec.from_lines(anchored)
    tracked = subprocess.check_output(["git", "ls-files"], cwd=ROOT, text=True).splitlines()
    assert not [name for name in tracked if context.match_file(name)]
    for name in [".git/config", ".venv/bin/python", ".runs/a/state.pt", "data/default/train.npy"]:
        assert context.match_file(name), name


def test_lint_checks_the_container_recipe(tmp_path: Path) -> None:
    text = (ROOT / "Containerfile").read_text()
    assert "hadolint Containerfile" in (ROOT / "Makefile").read_text()
    broken = tmp_path / "Containerfile"
    broken.write_text(text.replace("--no-cache-dir ", ""))
    hadolint = shutil.which("hadolint", path=ENVIRONMENT["PATH"])
    done = subprocess.run([str(hadolint), broken], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "DL3042" in done.stdout
