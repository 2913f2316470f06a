import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from dejavu.config import Params
from dejavu.data.sample import IGNORE_INDEX
from dejavu.data.store import PreparedSplit
from dejavu.evaluation.score import evaluate
from dejavu.runtime.errors import CheckpointError, DataError
from dejavu.study.run import Run
from dejavu.tasks.registry import create_task
from dejavu.training.build import build_network
from dejavu.training.checkpoint import load_checkpoint, load_model
from dejavu.training.loop import train
from tests.support.rooms import damaged, other_rooms
from tests.support.studies import TINY, tiny_params


@pytest.fixture(scope="module")
def checkpoint(params: Params, data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("evaluation")
    path = folder / "model.safetensors"
    train(spatial(params), data, folder, path)
    return path


def spatial(params: Params) -> Run:
    return Run(params, "segmentation", "fpn", "dejavu-spatial", 0)


def test_metrics_file_is_what_the_arrays_say(
    params: Params, data: Path, checkpoint: Path, tmp_path: Path
) -> None:
    output = tmp_path / "metrics.json"
    evaluate(spatial(params), checkpoint, data, output)
    result = json.loads(output.read_text())
    values = {m["name"]: m["value"] for m in result["metrics"]}

    scenes = PreparedSplit(data, "test")
    sample = scenes.batch(range(len(scenes)))
    with torch.inference_mode():
        predicted = load_model(checkpoint)(sample.image).argmax(1).numpy()
    truth = sample.label.numpy()
    known = truth != IGNORE_INDEX
    assert values["pixel_accuracy"] == pytest.approx(
        100 * np.mean(predicted[known] == truth[known]), abs=0.05
    )
    assert (result["split"], result["images"], result["seed"]) == ("test", 6, 0)
    assert result["protocol"]["boundary_ratio"] == 0.02
    assert result["primary"] in values
    assert result["boundary"] in values


def test_metrics_do_not_depend_on_the_batch_size(
    params: Params, data: Path, checkpoint: Path, tmp_path: Path
) -> None:
    other = tiny_params(evaluation={"batch_size": 6})
    results = [
        evaluate(spatial(p), checkpoint, data, tmp_path / "m.json")["metrics"]
        for p in (params, other)
    ]
    for a, b in zip(*results, strict=True):
        assert a["value"] == pytest.approx(b["value"], rel=1e-3, nan_ok=True)


def test_a_checkpoint_of_other_params_is_refused(
    data: Path, checkpoint: Path, tmp_path: Path
) -> None:
    other = tiny_params(train=TINY["train"] | {"learning_rate": 0.1})
    with pytest.raises(CheckpointError, match=r"different: train\)"):
        evaluate(spatial(other), checkpoint, data, tmp_path / "m.json")
    assert not (tmp_path / "m.json").exists()


def test_damaged_data_is_not_scored(
    params: Params, data: Path, checkpoint: Path, tmp_path: Path
) -> None:
    broken = damaged(data, tmp_path / "data", "test")
    with pytest.raises(DataError, match=r"test\.npy: its SHA-256 is"):
        evaluate(spatial(params), checkpoint, broken, tmp_path / "m.json")


def test_deployed_weights_are_the_base_networks_alone(params: Params, checkpoint: Path) -> None:
    """The plain names are exactly the state dict of the baseline's network."""
    baseline = Run(params, "segmentation", "fpn", "baseline", 0)
    model = build_network(baseline.identity(), create_task("segmentation", [(0, 0, 0)] * 12))
    plain = {k for k in load_file(checkpoint) if not k.startswith("criterion.")}
    assert set(load_model(checkpoint).state_dict()) == plain == set(model.state_dict())


def test_a_truncated_checkpoint_is_named(checkpoint: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.safetensors"
    broken.write_bytes(checkpoint.read_bytes()[:-100])
    with pytest.raises(CheckpointError, match=r"broken\.safetensors: truncated"):
        load_checkpoint(broken)


def test_a_foreign_checkpoint_is_named(tmp_path: Path) -> None:
    foreign = tmp_path / "foreign.safetensors"
    save_file({"weight": torch.zeros(2)}, foreign)
    with pytest.raises(CheckpointError, match=r"foreign\.safetensors: .*'dejavu'"):
        load_checkpoint(foreign)


def test_a_missing_checkpoint_is_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"gone\.safetensors: no such checkpoint"):
        load_checkpoint(tmp_path / "gone.safetensors")


def test_a_checkpoint_of_other_images_is_refused(
    params: Params, data: Path, checkpoint: Path, tmp_path: Path
) -> None:
    """Params, code and the scored images are the same; only the training images differ."""
    other = other_rooms(params, tmp_path / "data")
    for path in (data / "test.npy", data / "val.npy"):
        (other / path.name).write_bytes(path.read_bytes())
    manifests = [json.loads((folder / "manifest.json").read_text()) for folder in (data, other)]
    splits = manifests[0]["splits"] | {"train": manifests[1]["splits"]["train"]}
    (other / "manifest.json").write_text(json.dumps(manifests[0] | {"splits": splits}))
    with pytest.raises(CheckpointError, match=r"different: images\)"):
        evaluate(spatial(params), checkpoint, other, tmp_path / "m.json")
    assert not (tmp_path / "m.json").exists()
