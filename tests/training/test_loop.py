import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
import torch

from dejavu.config import Params
from dejavu.data.store import PreparedSplit
from dejavu.runtime.errors import CheckpointError, DataError, DejaVuError, ParamsError
from dejavu.study.run import Run
from dejavu.tasks.registry import create_task, task_names
from dejavu.training.checkpoint import load_checkpoint
from dejavu.training.criterion import build_criterion
from dejavu.training.loop import train, work_folder
from dejavu.training.step import TrainingModule
from tests.support.rooms import damaged, other_rooms
from tests.support.studies import TINY, tiny_params


def weights(path: Path) -> dict[str, torch.Tensor]:
    return dict(load_checkpoint(path).model.state_dict())


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


def conditioned(condition: str) -> Params:
    spatial = json.loads(json.dumps(TINY["methods"]["dejavu-spatial"]))
    spatial["dejavu"] |= {"condition": condition, "crm": {"width": 4}}
    spatial["dejavu"]["gamma"] = dict.fromkeys(task_names(), 5.0)
    return tiny_params(methods={"baseline": {}, "arm": spatial})


@pytest.mark.parametrize("task", task_names())
def test_arms_are_paired_byte_for_byte(task: str, data: Path, tmp_path: Path) -> None:
    """No gradient from the DejaVu loss: exactly the baseline's network (METHOD's pairing test)."""
    made = {}
    for condition in ("detached", "zeros", "ground_truth", "live"):
        params = conditioned(condition)
        made[condition] = tmp_path / f"{condition}.safetensors"
        train(Run(params, task, "fpn", "arm", 1), data, tmp_path, made[condition])
    baseline = tmp_path / "baseline.safetensors"
    train(Run(params, task, "fpn", "baseline", 1), data, tmp_path, baseline)
    expected = weights(baseline)
    for condition in ("detached", "zeros", "ground_truth"):
        assert same(weights(made[condition]), expected), condition
    assert not same(weights(made["live"]), expected), "the live prediction must be trained"


def test_the_crm_trains_whatever_it_is_conditioned_on(data: Path, tmp_path: Path) -> None:
    params = conditioned("zeros")
    run = Run(params, "depth", "fpn", "arm", 0)
    path = tmp_path / "arm.safetensors"
    train(run, data, tmp_path, path)
    trained = load_checkpoint(path).criterion
    task = create_task("depth", [])
    fresh = TrainingModule(run, task, torch.device("cpu")).criterion
    assert trained is not None
    assert fresh is not None
    assert not same(dict(trained.state_dict()), dict(fresh.state_dict()))


class KilledError(Exception):
    """Stands in for kill -9: none of our code may catch it."""


@pytest.mark.parametrize("killed_at", [1, 2, 3, 5])
def test_resuming_ends_with_the_same_bytes(
    killed_at: int, params: Params, data: Path, tmp_path: Path
) -> None:
    run = Run(params, "segmentation", "fpn", "dejavu-spatial", 0)
    whole, resumed = tmp_path / "whole.safetensors", tmp_path / "resumed.safetensors"
    assert train(run, data, tmp_path / "a", whole).fresh

    def kill(done: int, total: int, note: str = "") -> None:
        if done == killed_at:
            raise KilledError

    with pytest.raises(KilledError):
        train(run, data, tmp_path / "b", resumed, kill)
    assert not resumed.exists()
    assert train(run, data, tmp_path / "b", resumed).fresh
    assert resumed.read_bytes() == whole.read_bytes()

    def lines(path: Path) -> list[dict[str, Any]]:
        records = [json.loads(line) for line in path.with_suffix(".jsonl").open()]
        return [{k: v for k, v in r.items() if k != "seconds"} for r in records]

    assert lines(resumed) == lines(whole)
    assert [record["step"] for record in lines(whole)] == [0, 2, 4, 5]


def test_a_finished_run_is_not_trained_again(params: Params, data: Path, tmp_path: Path) -> None:
    run = Run(params, "depth", "fpn", "baseline", 0)
    path = tmp_path / "model.safetensors"
    assert train(run, data, tmp_path / "store", path).fresh
    before = path.read_bytes()
    path.unlink()
    assert not train(run, data, tmp_path / "store", path).fresh
    assert path.read_bytes() == before


def test_a_run_is_described_before_it_can_be_found(
    params: Params, data: Path, tmp_path: Path
) -> None:
    described: list[tuple[Path, float]] = []

    def describe(folder: Path, seconds: float) -> None:
        assert not (folder / "model.safetensors").exists(), "found without its description"
        described.append((folder, seconds))

    run, path = Run(params, "depth", "fpn", "baseline", 0), tmp_path / "model.safetensors"
    made = train(run, data, tmp_path / "store", path, describe=describe)
    last = json.loads(path.with_suffix(".jsonl").read_text().splitlines()[-1])
    assert described == [(made.folder, pytest.approx(last["seconds"], abs=1e-3))]
    again = train(run, data, tmp_path / "store", path, describe=describe)
    assert again.folder == made.folder
    assert len(described) == 1


def test_damaged_data_is_named_even_for_a_finished_run(
    params: Params, data: Path, tmp_path: Path
) -> None:
    run = Run(params, "depth", "fpn", "baseline", 0)
    train(run, data, tmp_path, tmp_path / "model.safetensors")
    broken = damaged(data, tmp_path / "data", "train")
    with pytest.raises(DataError, match=r"train\.npy: its SHA-256 is"):
        train(run, broken, tmp_path, tmp_path / "model.safetensors")


def test_a_non_finite_loss_names_the_step(data: Path, tmp_path: Path) -> None:
    steep = TINY["train"] | {"learning_rate": 1e30}
    run = Run(tiny_params(train=steep), "depth", "fpn", "baseline", 0)
    with pytest.raises(DejaVuError, match=r"step \d of depth/fpn/baseline seed 0: the loss is not"):
        train(run, data, tmp_path, tmp_path / "model.safetensors")
    assert not (tmp_path / "model.safetensors").exists()


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 not a state", b"x" * 1000])
def test_a_damaged_resume_state_is_named(
    content: bytes, params: Params, data: Path, tmp_path: Path
) -> None:
    run = Run(params, "depth", "fpn", "baseline", 0)
    state = work_folder(tmp_path, run, PreparedSplit(data, "train")) / "state.pt"
    state.parent.mkdir()
    state.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"state\.pt: cannot be read.*delete it"):
        train(run, data, tmp_path, tmp_path / "model.safetensors")


@pytest.mark.parametrize("error", [MemoryError(), PermissionError(13, "no", "state.pt")])
def test_a_state_that_cannot_be_read_now_may_be_whole(
    error: Exception, params: Params, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Run(params, "depth", "fpn", "baseline", 0)
    state = work_folder(tmp_path, run, PreparedSplit(data, "train")) / "state.pt"
    state.parent.mkdir()
    state.write_bytes(b"whole")
    monkeypatch.setattr(torch, "load", Mock(side_effect=error))
    with pytest.raises(type(error)):
        train(run, data, tmp_path, tmp_path / "model.safetensors")
    assert state.read_bytes() == b"whole"


def test_a_log_that_lost_lines_is_named_not_filled_up(
    params: Params, data: Path, tmp_path: Path
) -> None:
    run = Run(params, "depth", "fpn", "baseline", 0)

    def kill(done: int, total: int, note: str = "") -> None:
        if done == 3:
            raise KilledError

    with pytest.raises(KilledError):
        train(run, data, tmp_path, tmp_path / "model.safetensors", kill)
    (log,) = tmp_path.glob("*/log.jsonl")
    log.write_bytes(log.read_bytes()[:-1])
    with pytest.raises(CheckpointError, match=rf"log\.jsonl: .* bytes .* delete {log.parent}"):
        train(run, data, tmp_path, tmp_path / "model.safetensors")


def test_a_log_is_on_the_disk_before_what_tells_its_length(
    params: Params, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_disk: dict[int, int] = {}
    sync, save = os.fsync, torch.save

    def note_sync(descriptor: int) -> None:
        sync(descriptor)
        on_disk[os.fstat(descriptor).st_ino] = os.fstat(descriptor).st_size

    def check(state: dict[str, Any], path: Path) -> None:
        log = (path.parent / "log.jsonl").stat()
        assert on_disk[log.st_ino] == state["log_bytes"] == log.st_size
        save(state, path)

    monkeypatch.setattr(os, "fsync", note_sync)
    monkeypatch.setattr(torch, "save", check)
    run = Run(params, "depth", "fpn", "baseline", 0)
    made = train(run, data, tmp_path, tmp_path / "model.safetensors")
    log = (made.folder / "log.jsonl").stat()
    assert on_disk[log.st_ino] == log.st_size


def test_a_machine_that_lost_its_gpu_resumes_on_the_cpu(
    params: Params, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Run(params, "depth", "fpn", "baseline", 0)
    steps: list[int] = []

    def kill(done: int, total: int, note: str = "") -> None:
        if done == 3:
            raise KilledError

    with monkeypatch.context() as gpu:
        gpu.setattr(torch.serialization, "location_tag", lambda storage: "cuda:0")
        with pytest.raises(KilledError):
            train(run, data, tmp_path, tmp_path / "out.safetensors", kill)
    train(run, data, tmp_path, tmp_path / "out.safetensors", lambda done, *_: steps.append(done))
    assert steps == [3, 4, 5, 6]


def test_base_and_crm_are_clipped_apart(data: Path, tmp_path: Path) -> None:
    """A huge gradient in the CRM must not shrink the base network's step."""
    params = conditioned("detached")
    huge = json.loads(params.model_dump_json())
    huge["methods"]["arm"]["dejavu"]["gamma"] = dict.fromkeys(task_names(), 1e6)
    paths = []
    for tree in (params.model_dump(), huge):
        paths.append(tmp_path / f"{len(paths)}.safetensors")
        run = Run(Params.model_validate(tree), "normals", "fpn", "arm", 0)
        train(run, data, tmp_path, paths[-1])
    assert same(weights(paths[0]), weights(paths[1]))


def test_a_crm_that_sees_too_little_is_named() -> None:
    identity = Run(conditioned("live"), "depth", "fpn", "arm", 0).identity()
    identity["method"]["dejavu"]["redaction"] |= {"block": 30}
    with pytest.raises(ParamsError, match=r"dejavu settings: .*18 pixels.*raise depth"):
        build_criterion(identity, create_task("depth", []), torch.nn.Identity())


def test_workers_and_a_recipe_change_no_byte_of_a_resumed_run(data: Path, tmp_path: Path) -> None:
    """Momentum is restored; rate and variations depend on the step alone."""
    recipe = {"optimizer": "sgd", "schedule": "poly", "warmup": 2, "learning_rate": 0.01}
    recipe |= {"augmentation": {"scale": [0.8, 1.2], "crop": [48, 48]}}
    whole, resumed = tmp_path / "whole.safetensors", tmp_path / "resumed.safetensors"
    plain, parallel = (
        Run(tiny_params(train=TINY["train"] | recipe | more), "depth", "fpn", "baseline", 0)
        for more in ({}, {"workers": 2})
    )
    train(plain, data, tmp_path / "a", whole)

    def kill(done: int, total: int, note: str = "") -> None:
        if done == 3:
            raise KilledError

    with pytest.raises(KilledError):
        train(parallel, data, tmp_path / "b", resumed, kill)
    train(parallel, data, tmp_path / "b", resumed)
    assert resumed.read_bytes() == whole.read_bytes()


def test_other_images_make_another_run(params: Params, data: Path, tmp_path: Path) -> None:
    run = Run(params, "depth", "fpn", "baseline", 0)
    scenes = PreparedSplit(data, "train")
    here = work_folder(tmp_path, run, scenes)
    assert here.name.startswith(run.hash)
    assert work_folder(tmp_path, run, PreparedSplit(data, "train")) == here
    scenes.record = replace(scenes.record, fingerprints={"depth": "0" * 64})
    assert work_folder(tmp_path, run, scenes) != here

    made, made_of_other = tmp_path / "a.safetensors", tmp_path / "b.safetensors"
    other = other_rooms(params, tmp_path / "other")
    assert train(run, data, tmp_path / "store", made).fresh
    assert train(run, other, tmp_path / "store", made_of_other).fresh, "taken for the finished run"
    assert not same(weights(made), weights(made_of_other))
    assert not train(run, data, tmp_path / "store", made).fresh


def test_a_truncated_run_in_the_store_is_named_and_not_handed_on(
    data: Path, tmp_path: Path
) -> None:
    run = Run(tiny_params(), "depth", "fpn", "baseline", 0)
    train(run, data, tmp_path, tmp_path / "first.safetensors")
    model = next(tmp_path.glob(f"{run.hash}-*/model.safetensors"))
    model.write_bytes(model.read_bytes()[:-100])
    output = tmp_path / "second.safetensors"
    with pytest.raises(CheckpointError, match=r"model\.safetensors: truncated.*delete it"):
        train(run, data, tmp_path, output)
    assert not output.exists()
