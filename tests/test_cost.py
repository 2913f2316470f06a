import json
from pathlib import Path

import pytest

from dejavu.cost import measure_costs
from tests.conftest import TINY, tiny_params


@pytest.fixture(scope="module")
def rows(data: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, float]]:
    output = tmp_path_factory.mktemp("cost") / "cost.json"
    methods = {k: TINY["methods"][k] for k in ("baseline", "dejavu-spatial")}
    measured = measure_costs(tiny_params(methods=methods), "depth", data, output)
    assert json.loads(output.read_text())["rows"] == measured
    return {row["method"]: row for row in measured}


def test_what_is_deployed_costs_the_same(rows: dict[str, dict[str, float]]) -> None:
    baseline, treated = rows["baseline"], rows["dejavu-spatial"]
    assert treated["parameters"] == baseline["parameters"] == baseline["training_parameters"]
    assert treated["flops"] == baseline["flops"] > 0


def test_training_costs_more_with_the_crm(rows: dict[str, dict[str, float]]) -> None:
    baseline, treated = rows["baseline"], rows["dejavu-spatial"]
    assert baseline["step_ratio"] == baseline["memory_ratio"] == 1
    assert treated["training_parameters"] > treated["parameters"]
    assert treated["step_ratio"] > 1
    assert min(treated["memory_bytes"], baseline["memory_bytes"]) > 0
