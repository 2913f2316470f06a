"""Probes: regenerations under different conditions, trained and measured alike."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from dejavu.config import Params
from dejavu.data.store import PreparedSplit
from dejavu.evaluation.oracle import ground_truth, held_out, train_alone, zeros
from dejavu.evaluation.probes import measure_probes
from dejavu.study.layout import Layout
from dejavu.study.run import Run
from dejavu.tasks.registry import create_task, task_names
from dejavu.training.checkpoint import load_checkpoint
from dejavu.training.loop import prepare_torch, train
from tests.support.studies import TINY, tiny_params

BLOCKS = {"name": "random_blocks", "block": 8, "keep": 0.3}
LOSS: dict[str, Any] = {
    "redaction": BLOCKS,
    "gamma": dict.fromkeys(task_names(), 2.0),
    "crm": {"width": 4},
}
STORE = Path("store")


@pytest.fixture(autouse=True)
def _in_the_study(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "data").symlink_to(data.parent)
    monkeypatch.chdir(tmp_path)


def with_condition(condition: str) -> Params:
    return tiny_params(methods={"baseline": {}, "arm": {"dejavu": LOSS | {"condition": condition}}})


@pytest.mark.parametrize("task", TINY["tasks"])
@pytest.mark.parametrize("condition", ["zeros", "ground_truth"])
def test_alone_the_crm_is_what_it_would_be_beside_the_network(condition: str, task: str) -> None:
    run = Run(with_condition(condition), task, "fpn", "arm", 0)
    layout = Layout(run.params)
    train(run, layout.data, STORE, layout.checkpoint(run))
    beside = load_checkpoint(layout.checkpoint(run))
    prepare_torch(run.params.train)
    given = {"zeros": zeros, "ground_truth": ground_truth}[condition](beside.task)
    alone = train_alone(run, beside.task, given, PreparedSplit(layout.data, "train"))
    assert beside.criterion is not None
    for name, value in beside.criterion.state_dict().items():
        assert torch.equal(value, alone.state_dict()[name]), name


def finished(layout: Layout, task: str) -> None:
    for run in layout.probed(task):
        train(run, layout.data, STORE, layout.checkpoint(run))


@pytest.mark.parametrize("task", ["segmentation", "normals"])
def test_every_probe_is_a_regeneration_of_val(task: str) -> None:
    spectral = LOSS | {"redaction": {"name": "high_pass", "cutoff": 0.2}}
    methods = {"baseline": {}, "spatial": {"dejavu": LOSS}, "spectral": {"dejavu": spectral}}
    layout = Layout(tiny_params(methods=methods, train=TINY["train"] | {"steps": 40}))
    finished(layout, task)
    rows = measure_probes(layout, task, STORE)
    written = json.loads(layout.measurement("probes", task).read_text())
    assert written == {"study": "tiny", "split": "val", "seed": 0, "steps": 40, "rows": rows}
    assert [row["method"] for row in rows] == ["spatial", "spectral"]
    for row in rows:
        losses = [row[k] for k in ("zeros", "live", "detached", "ground_truth")]
        assert len(set(losses)) == 4
        assert all(0 < loss < 10 for loss in losses)
        assert (row["argmax"] is None) == (task == "normals")
        assert row["argmax"] != row["live"]


def test_the_live_probe_is_the_method_itself() -> None:
    layout = Layout(tiny_params(tasks=["segmentation"]))
    finished(layout, "segmentation")
    rows = measure_probes(layout, "segmentation", STORE)
    run = next(layout.probed("segmentation"))
    trained = load_checkpoint(layout.checkpoint(run))
    val = PreparedSplit(layout.data, "val")
    assert trained.criterion is not None
    expected = held_out(
        trained.criterion,
        lambda sample: trained.model(sample.image).softmax(1),
        val,
        layout.params,
    )
    assert rows[0]["live"] == pytest.approx(expected, rel=1e-6)


def test_held_out_is_the_mean_over_images_of_unequal_batches() -> None:
    val, task = PreparedSplit(Layout(tiny_params()).data, "val"), create_task("depth", [])

    class Counted:
        """Stands in for L_DV: the loss of a batch is the mean over its images."""

        def regenerate_from_condition(self, image: Any, condition: Any, draws: Any) -> Any:
            return image

        def distance(self, regeneration: Any, image: Any) -> Any:
            return image.mean()

    params = tiny_params(evaluation={"batch_size": 3})
    value = held_out(Counted(), zeros(task), val, params)  # type: ignore[arg-type]
    assert value == pytest.approx(val.batch(range(4)).image.mean().item(), rel=1e-4)


def test_only_live_regenerations_are_probed() -> None:
    methods = {
        "baseline": {},
        "ground_truth": {"dejavu": LOSS | {"condition": "ground_truth"}},
        "live": {"dejavu": LOSS},
        "attention": {"attention": {"redaction": BLOCKS, "width": 8}},
        "both": {"attention": {"redaction": BLOCKS, "width": 8}, "dejavu": LOSS},
    }
    layout = Layout(tiny_params(methods=methods))
    assert [(r.method, r.seed) for r in layout.probed("depth")] == [("live", 0), ("both", 0)]
    finished(layout, "depth")
    rows = measure_probes(layout, "depth", STORE)
    assert len({rows[1][k] for k in ("zeros", "live", "detached", "ground_truth")}) == 4


def test_probes_of_runs_that_several_processes_train_are_trained_by_one() -> None:
    methods = {"baseline": {}, "spatial": {"dejavu": LOSS}}
    alone = Layout(tiny_params(methods=methods))
    finished(alone, "depth")
    shared = Layout(tiny_params(methods=methods, train=TINY["train"] | {"processes": 2}))
    expected = measure_probes(alone, "depth", STORE)
    assert measure_probes(shared, "depth", Path("other store")) == expected


def test_a_study_without_regeneration_has_no_probes() -> None:
    layout = Layout(tiny_params(methods={"baseline": {}}, gap=TINY["gap"] | {"candidates": []}))
    assert measure_probes(layout, "depth", STORE) == []
    assert json.loads(layout.measurement("probes", "depth").read_text())["rows"] == []
