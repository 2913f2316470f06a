import json
from pathlib import Path

import pytest

from dejavu.evaluation.cost import measure_costs
from dejavu.study.layout import Layout
from tests.support.studies import TINY, tiny_params


@pytest.fixture(scope="module")
def rows(data: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, float]]:
    folder = tmp_path_factory.mktemp("cost")
    (folder / "data").symlink_to(data.parent)
    methods = {k: TINY["methods"][k] for k in ("baseline", "dejavu-spatial")}
    redaction = {"name": "blank"}
    methods["attention"] = {"attention": {"redaction": redaction, "width": 8}}
    layout = Layout(tiny_params(methods=methods))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        measured = measure_costs(layout, "depth")
        assert json.loads(layout.measurement("cost", "depth").read_text())["rows"] == measured
    return {row["method"]: row for row in measured}


def test_what_is_deployed_costs_the_same(rows: dict[str, dict[str, float]]) -> None:
    baseline, treated = rows["baseline"], rows["dejavu-spatial"]
    assert treated["parameters"] == baseline["parameters"] == baseline["training_parameters"]
    assert treated["flops"] == baseline["flops"] > 0


def test_shared_attention_is_deployed_and_costs_more(rows: dict[str, dict[str, float]]) -> None:
    baseline, attention = rows["baseline"], rows["attention"]
    assert attention["parameters"] == attention["training_parameters"] > baseline["parameters"]
    assert attention["flops"] > baseline["flops"]


def test_training_costs_more_with_the_crm(rows: dict[str, dict[str, float]]) -> None:
    baseline, treated = rows["baseline"], rows["dejavu-spatial"]
    assert baseline["step_ratio"] == baseline["memory_ratio"] == 1
    assert treated["training_parameters"] > treated["parameters"]
    assert treated["step_ratio"] > 1
    assert min(treated["memory_bytes"], baseline["memory_bytes"]) > 0
