"""`compare` and `spread`, in a repository with a committed study."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from dejavu.config.generated import render_params
from dejavu.study.layout import Layout
from tests.support.command import dejavu_here
from tests.support.measured import metrics_of
from tests.support.studies import tiny_params

PARAMS = Path("params/default.yaml")
SCORES, SPREAD = Path("results/tiny/metrics/runs.csv"), Path("results/tiny/spread.csv")
Capture = pytest.CaptureFixture[str]


def git(*arguments: str) -> None:
    identity = ("-c", "user.name=t", "-c", "user.email=t@localhost")
    subprocess.run(["git", *identity, *arguments], check=True, capture_output=True)


def scores(*values: float) -> str:
    rows = [f"tiny,rooms,depth,fpn,baseline,{s},test,rmse,m,{v}\n" for s, v in enumerate(values)]
    return "study,dataset,task,network,method,seed,split,metric,unit,value\n" + "".join(rows)


@pytest.fixture(autouse=True)
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A repository with the scores of two runs and a spread of 0.1 m: a limit of 0.28 m."""
    monkeypatch.chdir(tmp_path)
    for path in (PARAMS, SCORES):
        path.parent.mkdir(parents=True)
    PARAMS.write_text(render_params(tiny_params()))
    SCORES.write_text(scores(0.5, 0.7))
    SPREAD.write_text("task,metric,unit,spread,count\ndepth,rmse,m,0.1,4\n")
    git("init", "-q")
    git("add", "-A")
    git("commit", "-q", "-m", "study")


def test_the_same_bytes_are_all_that_is_to_say(capsys: Capture) -> None:
    said = dejavu_here("compare", capsys=capsys)
    assert said.splitlines() == [f"{SCORES}: the same bytes as the committed file"]


def test_another_processors_scores_are_within(capsys: Capture) -> None:
    SCORES.write_text(scores(0.6, 0.9))
    said = dejavu_here("compare", capsys=capsys)
    assert "within: depth fpn baseline rmse: 0.75, committed 0.6 (+0.15 m; limit 0.28)" in said
    assert "git restore results/tiny dvc.lock\n" in said


def test_farther_scores_fail(capsys: Capture) -> None:
    SCORES.write_text(scores(0.8, 1.0))
    said = dejavu_here("compare", capsys=capsys, expect=1)
    assert f"dejavu: {SCORES}: " in said


def test_another_studys_scores_are_not_compared(capsys: Capture) -> None:
    PARAMS.write_text(PARAMS.read_text() + "# mine\n")
    SCORES.write_text(scores(9.0))
    assert "nothing to compare" in dejavu_here("compare", capsys=capsys)


def test_a_tree_without_git_has_nothing_to_compare(capsys: Capture) -> None:
    shutil.rmtree(".git")
    SCORES.write_text(scores(9.0, 9.0))
    assert "nothing to compare" in dejavu_here("compare", capsys=capsys)


def test_what_is_not_committed_is_named(capsys: Capture) -> None:
    git("rm", "-q", "--cached", str(SPREAD))
    git("commit", "-q", "-m", "no spread")
    SCORES.write_text(scores(0.6, 0.9))
    assert str(SPREAD) in dejavu_here("compare", capsys=capsys, expect=1)
    git("rm", "-q", "--cached", str(PARAMS))
    git("commit", "-q", "-m", "no params")
    assert "nothing to compare" in dejavu_here("compare", capsys=capsys)


def test_a_tree_inside_another_repository_has_nothing_to_compare(capsys: Capture) -> None:
    """As a ZIP that is unpacked below a repository of one's own."""
    shutil.copytree(".", "inner", ignore=shutil.ignore_patterns(".git"))
    os.chdir("inner")
    assert "nothing to compare" in dejavu_here("compare", capsys=capsys)
    os.chdir("..")


def test_the_params_file_may_be_named_from_the_root(capsys: Capture) -> None:
    said = dejavu_here("compare", "--params", str(PARAMS.absolute()), capsys=capsys)
    assert "the same bytes" in said


def test_the_spread_is_written_from_reruns(capsys: Capture) -> None:
    """Of a study of two runs; in each of two reruns, one of them scored 0.1 m apart."""
    params = tiny_params(methods={"baseline": {}}, tasks=["depth"])
    PARAMS.write_text(render_params(params))
    for folder, values in {"sse": (0.5, 0.8), "avx2": (0.4, 0.7)}.items():
        for run, value in zip(Layout(params).runs(), values, strict=True):
            metrics = metrics_of(run.task, run.method, run.seed)
            kept = [metrics["metrics"][0] | {"value": value}]
            path = folder / Layout(params).metrics(run)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(metrics | {"metrics": kept, "boundary": "rmse"}))
    dejavu_here("spread", "sse", "avx2", capsys=capsys)
    assert SPREAD.read_text().splitlines()[1:] == ["depth,rmse,m,0.07071067812,4"]
    assert "gone/results" in dejavu_here("spread", "gone", capsys=capsys, expect=1)
