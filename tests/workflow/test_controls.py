"""Every method, extension and control, selected from params alone and made by Snakemake."""

import json
from pathlib import Path

import pytest
from safetensors.torch import load_file

from dejavu.config import load_params
from tests.support.pipeline import ROOT, clone, run, write_study

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


def weights(results: Path, method: str) -> dict[str, bytes]:
    """The base network's weights, under its own names."""
    tensors = load_file(results / f"checkpoints/segmentation/fpn/{method}/seed0.safetensors")
    own = {name.removeprefix("network."): tensor for name, tensor in tensors.items()}
    return {name: tensor.numpy().tobytes() for name, tensor in own.items()}


def test_every_method_is_trained_and_scored(made: Path) -> None:
    methods = load_params(ROOT / "params/controls.yaml").methods
    baseline = weights(made, "baseline")
    for method in methods:
        found = weights(made, method)
        same = {name: found[name] for name in baseline} == baseline
        assert same == (method in PROBES | {"baseline"}), method
        path = made / f"metrics/runs/segmentation/fpn/{method}/seed0.json"
        assert all(m["value"] >= 0 for m in json.loads(path.read_text())["metrics"])


def test_every_table_and_figure_comes_out(made: Path) -> None:
    for name in ("main", "all_metrics", "gap", "probes", "cost"):
        assert (made / f"tables/{name}.md").stat().st_size > 200
    table = (made / "tables/probes.md").read_text()
    assert "attention-dejavu" in table
    assert "deranged" not in table
    assert (made / "report.html").stat().st_size > 50_000
    pair = json.loads((made / "metrics/text_pair.json").read_text())
    assert set(pair["trained"]) == set(pair["untrained"]) == {"recall_at_1", "recall_at_5"}
