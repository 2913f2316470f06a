"""Two processes that share each batch against one process with the whole batch."""

import copy
import os
import socket
import time
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import Mock, patch

import pytest
import torch
from torch import Tensor, nn
from torch.multiprocessing import spawn

from dejavu.config import Params
from dejavu.data.opening import open_split
from dejavu.method.redaction import RandomBlocks
from dejavu.runtime.collective import ALONE, Share, gather_across, mean_across
from dejavu.runtime.errors import DejaVuError, ParamsError
from dejavu.study.run import Run
from dejavu.training.batches import Batches, StepBatch
from dejavu.training.build import build_task
from dejavu.training.loop import prepare_torch, train, training_step
from dejavu.training.optimisation import create_optimizer, learning_rate
from dejavu.training.parallel import shared_batches
from dejavu.training.shared_modules import share_draws_and_statistics
from dejavu.training.step import TrainingModule
from dejavu.training.text_pair import train_text_pair
from tests.support.studies import TINY, tiny_params

ROOT = Path(__file__).parents[2]
STEPS = 4
GAMMA = {"segmentation": 0.3, "depth": 0.3, "normals": 0.3}
BLOCKS = {"name": "random_blocks", "block": 8, "keep": 0.3}
BLOCKS_LOSS = {"redaction": BLOCKS, "gamma": GAMMA}
METHODS: dict[str, Any] = {
    "baseline": {},
    "blocks": {"dejavu": BLOCKS_LOSS},
    "erased": {"erasing": 0.5, "boundary_weight": 2.0, "boundary_width": 2},
    "cyclic": {"dejavu": BLOCKS_LOSS | {"cyclic": {"gamma": GAMMA, "reference": "ground_truth"}}},
    "features": {"dejavu": BLOCKS_LOSS | {"condition": "features"}},
    "text": {"dejavu": BLOCKS_LOSS | {"text": {"gamma": GAMMA}}},
    "spectral-ssim": {
        "dejavu": {
            "redaction": {
                "name": "random_choice",
                "redactions": [BLOCKS, {"name": "low_pass", "cutoff": 0.2}],
            },
            "distance": {"l1": 0.5, "ssim": 0.5},
            "gamma": GAMMA,
        }
    },
    "attention": {
        "attention": {"redaction": BLOCKS, "width": 8, "heads": 2, "cell": 4},
        "dejavu": BLOCKS_LOSS,
    },
}
CASES = [
    *(("segmentation", method, {}) for method in METHODS),
    ("depth", "blocks", {}),
    ("normals", "blocks", {}),
    ("segmentation", "baseline", {"segmentation": {"loss": "ohem"}}),
    ("depth", "baseline", {"depth": {"loss": "berhu"}}),
    ("depth", "baseline", {"depth": {"loss": "l1"}}),
    ("normals", "baseline", {"normals": {"loss": "angular"}}),
    ("normals", "baseline", {"normals": {"loss": "l1"}}),
]


def study(processes: int, **sections: Any) -> Params:
    """Sparse, uneven labels: the parts of a batch have different numbers of labelled pixels.

    Steps are in proportion to gradients (sgd): Adam's first ones would show no wrong factor.
    """
    recipe = {"crop": [48, 40], "scale": [0.8, 1.2]}
    train = TINY["train"] | {
        "steps": STEPS,
        "labelled": 5,
        "label_density": 0.1,
        "augmentation": recipe,
        "optimizer": "sgd",
        "learning_rate": 0.05,
        "processes": processes,
    }
    return tiny_params(methods=copy.deepcopy(METHODS), train=train, **sections)


def double(batch: StepBatch) -> StepBatch:
    return batch._replace(images=replace(batch.images, image=batch.images.image.double()))


def fit(data: Path, pair: Path, case: tuple[str, str, Any], share: Share) -> dict[str, Any]:
    """Take a few steps in double precision; return their losses and the network's weights."""
    task, method, sections = case
    run = Run(study(share.size, **sections), task, "fpn", method, 0)
    prepare_torch(run.train)
    pool = open_split(data, run.params.data, "train", [task])
    batches = Batches(pool, run.train, run.seed, share)
    module = TrainingModule(
        run, build_task(run.identity(), pool.manifest.palette), torch.device("cpu"), share
    )
    module.supervise([pool.caption(scene) for scene in batches.subset.tolist()], pair)
    for part in filter(None, (module.model, module.criterion)):
        part.double()
    optimizer = create_optimizer(module.model, module.criterion, run.train)
    with batches.steps(0, STEPS) as prepared:
        losses = [
            training_step(run, module, optimizer, double(one), step, learning_rate(step, run.train))
            for step, one in enumerate(prepared)
        ]
    taken = [{k: v for k, v in step.items() if v is not None} for step in losses]
    return {"losses": taken, "weights": module.model.state_dict()}


def become(rank: int, port: int) -> None:
    """Act as one of two processes that torchrun started."""
    os.environ |= {"WORLD_SIZE": "2", "RANK": str(rank), "LOCAL_RANK": str(rank)}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    os.environ["TORCHELASTIC_RUN_ID"] = "test"


def free_port() -> int:
    """A free port, chosen by the system."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def work(rank: int, port: int, data: Path, pair: Path, output: Path) -> None:
    become(rank, port)
    with shared_batches(2) as share:
        fitted = [fit(data, pair, case, share) for case in CASES]
        values = torch.tensor([1.0, 2.0]) + 2 * rank
        shared = {"joined": gather_across(values), "mean": mean_across(values)}
    torch.save({"fitted": fitted, "shared": shared}, output / f"{rank}.pt")


@pytest.fixture(scope="module")
def pair(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The image-text pair that supervises a method."""
    folder = tmp_path_factory.mktemp("pair")
    path = folder / "pair.safetensors"
    train_text_pair(data, study(1).text_pair, path, folder / "pair.json")
    return path


@pytest.fixture(scope="module")
def shared(
    data: Path, pair: Path, tmp_path_factory: pytest.TempPathFactory
) -> list[dict[str, Any]]:
    """The results of two gloo processes."""
    output = tmp_path_factory.mktemp("shared")
    spawn(work, (free_port(), data, pair, output), nprocs=2)
    return [torch.load(output / f"{rank}.pt") for rank in range(2)]


def named(case: tuple[str, str, Any]) -> str:
    task, method, sections = case
    return "-".join([task, method, *(section["loss"] for section in sections.values())])


@pytest.mark.parametrize("case", CASES, ids=named)
def test_two_processes_take_the_steps_of_one(
    case: tuple[str, str, Any], data: Path, pair: Path, shared: list[dict[str, Any]]
) -> None:
    """In double precision to a relative 1e-6: the image distances are in single (1e-7)."""
    alone = fit(data, pair, case, ALONE)
    index = CASES.index(case)
    for process in shared:
        together = process["fitted"][index]
        for one, both in zip(alone["losses"], together["losses"], strict=True):
            assert both == pytest.approx(one, rel=1e-6)
        for name, weight in alone["weights"].items():
            found = together["weights"][name]
            torch.testing.assert_close(found, weight, rtol=1e-6, atol=1e-7, msg=name)


def test_the_processes_keep_the_same_weights(shared: list[dict[str, Any]]) -> None:
    for first, second in zip(*(process["fitted"] for process in shared), strict=True):
        learned = [name for name in first["weights"] if name.endswith(("weight", "bias"))]
        assert learned
        for name in learned:
            assert torch.equal(first["weights"][name], second["weights"][name]), name


def test_values_are_joined_and_averaged_over_the_processes(shared: list[dict[str, Any]]) -> None:
    for process in shared:
        assert process["shared"]["joined"].tolist() == [1, 2, 3, 4]
        assert process["shared"]["mean"].tolist() == [2, 3]


def test_nothing_is_shared_outside() -> None:
    value = torch.rand(3)
    assert mean_across(value) is value
    assert torch.equal(gather_across(value), value)


def test_a_part_draws_what_the_whole_batch_would() -> None:
    image = torch.rand(6, 3, 16, 16)
    redaction = RandomBlocks(block=4, keep=0.5)

    def draw(batch: Tensor) -> Tensor:
        return redaction(batch, torch.Generator().manual_seed(0)).image

    parts = [Share(rank, 3) for rank in range(3)]
    drawn = [part.draw_for_all(image[part.of(6)], draw) for part in parts]
    assert torch.equal(torch.cat(drawn), draw(image))
    assert not torch.equal(drawn[0], draw(image[:2])) or not torch.equal(drawn[1], draw(image[2:4]))


def test_another_number_of_processes_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"TORCHELASTIC_RUN_ID": "1", "RANK": "0", "WORLD_SIZE": "3"}.items():
        monkeypatch.setenv(name, value)
    with (
        pytest.raises(DejaVuError, match=r"train\.processes is 2, but 3 were started"),
        shared_batches(2),
    ):
        pass


def test_params_that_cannot_be_shared_are_refused() -> None:
    with pytest.raises(ParamsError, match=r"processes \(3\) must divide batch_size \(4\)"):
        tiny_params(train=TINY["train"] | {"processes": 3})
    deranged = {"baseline": {}, "arm": {"dejavu": BLOCKS_LOSS | {"condition": "deranged"}}}
    with pytest.raises(ParamsError, match=r"set train\.processes to 1"):
        tiny_params(methods=deranged, train=TINY["train"] | {"processes": 2})


class ActivatedBatchNorm(nn.BatchNorm2d):
    """Such as timm's: its additions to the normalisation would be lost."""


@pytest.mark.parametrize("kind", [nn.BatchNorm1d, nn.BatchNorm3d, ActivatedBatchNorm])
def test_statistics_that_cannot_be_shared_are_refused(kind: type[nn.Module]) -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 1), kind(4))
    share_draws_and_statistics(network, ALONE)
    assert type(network[1]) is kind
    with pytest.raises(ParamsError, match=rf"1 is a {kind.__name__}.*set train.processes to 1"):
        share_draws_and_statistics(network, Share(0, 2))
    assert type(network[1]) is kind


def resume(rank: int, port: int, data: Path, folder: Path) -> None:
    """Resume a run whose last step is done, where the second process is late."""
    become(rank, port)
    load = torch.load

    def late(path: Path, **named: Any) -> Any:
        until = time.monotonic() + 5 * rank
        while path.exists() and time.monotonic() < until:
            time.sleep(0.05)
        return load(path, **named)

    torch.load = late
    run = Run(study(2), "depth", "fpn", "baseline", 0)
    # A process that found no state would train alone, and wait for the other for ever.
    with patch("dejavu.training.loop.training_step", side_effect=AssertionError("found no state")):
        trained = train(run, data, folder, folder / f"{rank}.safetensors")
    (folder / f"{rank}.txt").write_text(str(trained.folder))


def test_processes_resume_from_the_same_state(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first process removes it after the run; the others must have read it by then."""
    run = Run(study(2), "depth", "fpn", "baseline", 0)
    whole = replace(run, params=study(1))
    assert whole.hash == run.hash
    monkeypatch.setattr("dejavu.training.loop.save_checkpoint", Mock(side_effect=KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        train(whole, data, tmp_path, tmp_path / "whole.safetensors")
    (state,) = tmp_path.glob("*/state.pt")
    assert torch.load(state)["step"] == STEPS
    spawn(resume, (free_port(), data, tmp_path), nprocs=2)
    assert (tmp_path / "0.txt").read_text() == (tmp_path / "1.txt").read_text()
    assert (tmp_path / "0.safetensors").exists()
