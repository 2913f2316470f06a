"""The oracle gap: a CRM that is told the truth must come closer than one that is told nothing."""

import json
from pathlib import Path

import pytest

from dejavu.gap import measure_gaps
from tests.conftest import TINY, tiny_params


def test_gap_file_holds_every_redaction_once(data: Path, tmp_path: Path) -> None:
    output = tmp_path / "gap.json"
    rows = measure_gaps(tiny_params(), "segmentation", data, output)
    assert json.loads(output.read_text())["rows"] == rows
    assert {(row["redaction"], row["method"]) for row in rows} == {
        ("random_blocks(block=8, keep=0.1)", "dejavu-spatial"),
        ("high_pass(cutoff=0.2)", "dejavu-spectral"),
        ("blank", None),
    }
    assert [row["gap"] for row in rows] == sorted((r["gap"] for r in rows), reverse=True)
    for row in rows:
        assert row["gap"] == pytest.approx(1 - row["ground_truth"] / row["zeros"])


def test_a_candidate_that_a_method_uses_is_measured_once(data: Path, tmp_path: Path) -> None:
    used = TINY["methods"]["dejavu-spectral"]["dejavu"]["redaction"]
    params = tiny_params(gap={"steps": 1, "candidates": [used]})
    assert len(measure_gaps(params, "depth", data, tmp_path / "gap.json")) == 2


def test_the_truth_helps_where_the_image_is_blank(data: Path, tmp_path: Path) -> None:
    params = tiny_params(gap={"steps": 40, "candidates": [{"name": "blank"}]})
    rows = measure_gaps(params, "segmentation", data, tmp_path / "gap.json")
    blank = next(row for row in rows if row["redaction"] == "blank")
    assert blank["gap"] > 0.05
