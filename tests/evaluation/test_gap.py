"""The oracle gap: a CRM conditioned on the truth must beat a CRM conditioned on zeros."""

import json
from pathlib import Path

import pytest

from dejavu.evaluation.gap import measure_gaps, redaction_label
from dejavu.study.layout import Layout
from tests.support.studies import TINY, tiny_params


@pytest.fixture(autouse=True)
def _in_the_study(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A working directory with the data, because layouts are relative to it."""
    (tmp_path / "data").symlink_to(data.parent)
    monkeypatch.chdir(tmp_path)


def test_gap_file_holds_every_redaction_once() -> None:
    layout = Layout(tiny_params())
    rows = measure_gaps(layout, "segmentation")
    assert json.loads(layout.measurement("gap", "segmentation").read_text())["rows"] == rows
    assert {(row["redaction"], row["method"]) for row in rows} == {
        ("random_blocks(block=8, keep=0.1)", "dejavu-spatial"),
        ("high_pass(cutoff=0.2)", "dejavu-spectral"),
        ("blank", None),
    }
    assert [row["gap"] for row in rows] == sorted((r["gap"] for r in rows), reverse=True)
    for row in rows:
        assert row["gap"] == pytest.approx(1 - row["ground_truth"] / row["zeros"])


def test_a_redaction_that_methods_share_is_measured_once() -> None:
    used = TINY["methods"]["dejavu-spectral"]["dejavu"]["redaction"]
    params = tiny_params(gap={"steps": 1, "candidates": [used]})
    assert len(measure_gaps(Layout(params), "depth")) == 2
    methods = TINY["methods"] | {"again": TINY["methods"]["dejavu-spatial"]}
    params = tiny_params(methods=methods, gap={"steps": 1, "candidates": []})
    rows = measure_gaps(Layout(params), "depth")
    assert {row["method"] for row in rows} == {"dejavu-spatial", "dejavu-spectral"}


def test_the_truth_helps_where_the_image_is_blank() -> None:
    params = tiny_params(gap={"steps": 40, "candidates": [{"name": "blank"}]})
    rows = measure_gaps(Layout(params), "segmentation")
    blank = next(row for row in rows if row["redaction"] == "blank")
    assert blank["gap"] > 0.05


def test_labels_name_what_is_unusual() -> None:
    blocks = {"name": "random_blocks", "block": 8, "keep": 0.1}
    named = {
        "random_blocks(block=8, keep=0.1)": blocks,
        "random_blocks(block=8, keep=0.1, fill=noise)": blocks | {"fill": "noise"},
        "identity": {"name": "identity"},
        "compose(low_pass(cutoff=0.1), random_blocks(block=8, keep=0.1))": {
            "name": "compose",
            "redactions": [{"name": "low_pass", "cutoff": 0.1}, blocks],
        },
    }
    params = tiny_params(gap={"candidates": list(named.values())})
    assert [redaction_label(redaction) for redaction in params.gap.candidates] == [*named]


def test_few_labels_in_training_leave_the_oracle_its_truth() -> None:
    dense = {"steps": 2, "candidates": []}
    few = TINY["train"] | {"labelled": 1, "label_density": 0.1}
    rows = [
        measure_gaps(Layout(tiny_params(gap=dense, train=train)), "segmentation")
        for train in (TINY["train"], few)
    ]
    assert rows[0] == rows[1]
