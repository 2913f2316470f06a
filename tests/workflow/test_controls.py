"""Every method, extension and control, selected from params alone and made by Snakemake."""

import json
from pathlib import Path

import pytest

from dejavu.config import load_params
from tests.workflow.conftest import ROOT, clone, run, write_study

pytestmark = pytest.mark.pipeline

PROBES = {"detached", "zeros", "ground-truth"}
"""They send no gradient to the network: it must be the baseline's, to the last bit."""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    tree = clone(tmp_path_factory.mktemp("controls"))
    controls = load_params(ROOT / "params/controls.yaml")
    methods = {label: method.model_dump() for label, method in controls.methods.items()}
    evaluation = {"split": "val", "batch_size": 4}
    write_study(
        tree, "controls", methods=methods, tasks=["segmentation"], seeds=[0], evaluation=evaluation
    )
    run(tree, "snakemake", "--cores", "2", "--configfile", "params/controls.yaml")
    return tree / "results/controls"


def scores(results: Path, method: str) -> list[float]:
    path = results / f"metrics/runs/segmentation/fpn/{method}/seed0.json"
    return [metric["value"] for metric in json.loads(path.read_text())["metrics"]]


def test_every_method_is_trained_and_scored(made: Path) -> None:
    methods = load_params(ROOT / "params/controls.yaml").methods
    found = {method: scores(made, method) for method in methods}
    for method in PROBES:
        assert found[method] == found["baseline"], method
    different = {method for method in methods if found[method] != found["baseline"]}
    # `attention` starts as the bare network, and six steps with a redaction of its own move it.
    assert set(methods) - different <= PROBES | {"baseline"}


def test_every_table_and_figure_comes_out(made: Path) -> None:
    for name in ("main", "all_metrics", "gap", "probes", "cost"):
        assert (made / f"tables/{name}.md").stat().st_size > 200
    table = (made / "tables/probes.md").read_text()
    assert "attention-dejavu" in table
    assert "deranged" not in table
    assert (made / "report.html").stat().st_size > 50_000
    pair = json.loads((made / "metrics/text_pair.json").read_text())
    assert set(pair["trained"]) == set(pair["untrained"]) == {"recall_at_1", "recall_at_5"}
