"""`python -m dejavu why`: the tree, JSON, and what it says to a mistake."""

import json
import platform
import shutil

import pytest

from dejavu.study.layout import Layout
from dejavu.study.record import file_sha256
from dejavu.study.trace import explain
from tests.support.command import dejavu_here
from tests.support.recorded import MAIN, edit_record, first_run


def test_the_tree_names_all_that_a_cell_came_from(
    layout: Layout, capsys: pytest.CaptureFixture[str]
) -> None:
    run = first_run(layout)
    flags = ["--task", run.task, "--method", run.method, "--metric", "score"]
    shutil.rmtree(layout.results / "checkpoints")
    said = dejavu_here("why", str(MAIN.absolute()), *flags, capsys=capsys)
    assert said.startswith(f"{MAIN}, sha256 {file_sha256(MAIN)[:12]}, as recorded\n")
    assert f"{run.task} fpn {run.method} score: 0.166667 %, the mean of 2: 0, 0.333333" in said
    assert f"{layout.metrics(run)}, sha256" in said
    assert f"{layout.checkpoint(run)}, missing: dvc pull, or git checkout" in said
    assert f"made by train: run {run.hash}" in said
    assert f"data: {json.dumps(run.identity()['data'])}" in said  # on one line, however long
    assert f"commit {'a' * 40}\n" in said
    assert "fingerprints of train: " in said
    assert said.count(f", with python {platform.python_version()}, ") == 1
    assert said.count("on the machine and with the versions above") == 5  # of six jobs
    assert said.count(f"{layout.manifest}, sha256") == 4  # two runs, each trained and scored
    assert said.count(f"{layout.manifest}, sha256") - said.count("(above)") == 1
    assert said.rstrip().endswith("no disagreements")
    layout.metrics(run).write_text(layout.metrics(run).read_text() + " ")
    said = dejavu_here("why", str(MAIN), capsys=capsys)
    assert f"disagreement: {layout.metrics(run)}: changed since it was recorded" in said


def test_a_metrics_file_shows_its_values(
    layout: Layout, capsys: pytest.CaptureFixture[str]
) -> None:
    run = first_run(layout)
    said = dejavu_here("why", str(layout.metrics(run)), capsys=capsys)
    assert "edge_score: 100 %" in said


def test_the_tree_says_which_run_several_processes_trained(
    layout: Layout, capsys: pytest.CaptureFixture[str]
) -> None:
    run = first_run(layout)
    flags = ["--task", run.task, "--method", run.method, "--metric", "score"]
    edit_record(layout.record("train", run), execution__processes=2)
    said = dejavu_here("why", str(MAIN), *flags, capsys=capsys)
    assert said.count(" s, 2 processes\n") == 1


def test_programs_get_json(layout: Layout, capsys: pytest.CaptureFixture[str]) -> None:
    found = explain(layout, MAIN)
    said = json.loads(dejavu_here("why", str(MAIN), "--json", capsys=capsys))
    assert said == json.loads(found.model_dump_json())
    assert [cell["mean"] for cell in said["cells"]] == [cell.mean for cell in found.cells]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["README.md"], "dejavu: README.md: not a result; results are in results/STUDY/"),
        (["results/tiny/tables/mian.csv"], "dejavu: results/tiny/tables/mian.csv: no result of"),
        (["results/other/tables/main.csv"], "dejavu: params/other.yaml: no such params file"),
        (["results/tiny/tables/main.csv", "--params", "gone.yaml"], "gone.yaml: no such params"),
        (["../main.csv"], "not a result"),
    ],
)
def test_a_users_mistake_is_one_message(
    layout: Layout, arguments: list[str], expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    said = dejavu_here("why", *arguments, capsys=capsys, expect=1)
    assert expected in said
    assert "Traceback" not in said
