import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from dejavu.arms import Arm
from dejavu.checkpoint import load_checkpoint
from dejavu.config import Params, TrainParams
from dejavu.data.store import PreparedSplit
from dejavu.errors import CheckpointError, DataError, DejaVuError, ParamsError
from dejavu.identity import Run
from dejavu.tasks import TASKS
from dejavu.training import learning_rate, train, work_folder
from tests.conftest import TINY, tiny_params


def weights(path: Path) -> dict[str, torch.Tensor]:
    return dict(load_checkpoint(path).model.state_dict())


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


def conditioned(condition: str) -> Params:
    spatial = json.loads(json.dumps(TINY["methods"]["dejavu-spatial"]))
    spatial["dejavu"] |= {"condition": condition, "crm": {"width": 4}}
    spatial["dejavu"]["gamma"] = dict.fromkeys(TASKS, 5.0)
    return tiny_params(methods={"baseline": {}, "arm": spatial})


@pytest.mark.parametrize("task", TASKS)
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
    task = TASKS["depth"]([])
    fresh = Arm(run, task, torch.device("cpu")).criterion
    assert trained is not None
    assert fresh is not None
    assert not same(dict(trained.state_dict()), dict(fresh.state_dict()))


class KilledError(Exception):
    """Stands for kill -9: nothing of ours may catch it."""


@pytest.mark.parametrize("killed_at", [1, 2, 3, 5])
def test_resuming_ends_with_the_same_bytes(
    killed_at: int, params: Params, data: Path, tmp_path: Path
) -> None:
    run = Run(params, "segmentation", "fpn", "dejavu-spatial", 0)
    whole, resumed = tmp_path / "whole.safetensors", tmp_path / "resumed.safetensors"
    assert train(run, data, tmp_path / "a", whole)

    def kill(done: int, total: int, note: str = "") -> None:
        if done == killed_at:
            raise KilledError

    with pytest.raises(KilledError):
        train(run, data, tmp_path / "b", resumed, kill)
    assert not resumed.exists()
    assert train(run, data, tmp_path / "b", resumed)
    assert resumed.read_bytes() == whole.read_bytes()

    def lines(path: Path) -> list[dict[str, Any]]:
        records = [json.loads(line) for line in path.with_suffix(".jsonl").open()]
        return [{k: v for k, v in r.items() if k != "seconds"} for r in records]

    assert lines(resumed) == lines(whole)
    assert [record["step"] for record in lines(whole)] == [0, 2, 4, 5]


def test_a_finished_run_is_not_trained_again(params: Params, data: Path, tmp_path: Path) -> None:
    run = Run(params, "depth", "fpn", "baseline", 0)
    path = tmp_path / "model.safetensors"
    assert train(run, data, tmp_path / "store", path)
    before = path.read_bytes()
    path.unlink()
    assert not train(run, data, tmp_path / "store", path)
    assert path.read_bytes() == before


def damaged(data: Path, folder: Path, split: str) -> Path:
    """A copy of the data with one byte of a split changed."""
    shutil.copytree(data, folder)
    content = bytearray((folder / f"{split}.npy").read_bytes())
    content[-10] ^= 1
    (folder / f"{split}.npy").write_bytes(content)
    return folder


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


@pytest.mark.parametrize("steps", [10, 37, 500])
def test_one_cycle_is_torchs(steps: int) -> None:
    params = TrainParams(steps=steps, learning_rate=0.01)
    optimizer = torch.optim.AdamW([nn.Parameter(torch.zeros(1))], lr=0.01)
    oracle = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=0.01, total_steps=steps, cycle_momentum=False
    )
    for step in range(steps):
        assert learning_rate(step, params) == pytest.approx(optimizer.param_groups[0]["lr"])
        optimizer.step()
        oracle.step()


def test_poly_is_torchs() -> None:
    params = TrainParams(steps=20, schedule="poly", learning_rate=0.01)
    optimizer = torch.optim.AdamW([nn.Parameter(torch.zeros(1))], lr=0.01)
    oracle = torch.optim.lr_scheduler.PolynomialLR(optimizer, total_iters=20, power=0.9)
    for step in range(20):
        assert learning_rate(step, params) == pytest.approx(optimizer.param_groups[0]["lr"])
        optimizer.step()
        oracle.step()


def test_base_and_crm_are_clipped_apart(data: Path, tmp_path: Path) -> None:
    """A huge gradient in the CRM must not shrink the base network's step."""
    params = conditioned("detached")
    huge = json.loads(params.model_dump_json())
    huge["methods"]["arm"]["dejavu"]["gamma"] = dict.fromkeys(TASKS, 1e6)
    paths = []
    for tree in (params.model_dump(), huge):
        paths.append(tmp_path / f"{len(paths)}.safetensors")
        run = Run(Params.model_validate(tree), "normals", "fpn", "arm", 0)
        train(run, data, tmp_path, paths[-1])
    assert same(weights(paths[0]), weights(paths[1]))


def test_a_crm_that_sees_too_little_is_named(data: Path, tmp_path: Path) -> None:
    tree = conditioned("live").model_dump()
    tree["methods"]["arm"]["dejavu"]["redaction"] |= {"block": 30}
    run = Run(Params.model_validate(tree), "depth", "fpn", "arm", 0)
    with pytest.raises(ParamsError, match=r"the CRM sees 18 pixels.*raise depth"):
        train(run, data, tmp_path, tmp_path / "model.safetensors")
