"""The examples run as they stand, and show what they say."""

import importlib.util
import math
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import nn

from dejavu import DejaVuLoss

FOLDER = Path(__file__).parents[1] / "examples"
EXAMPLES = sorted(path.stem for path in FOLDER.glob("*.py"))


def example(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, FOLDER / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    torch.manual_seed(0)
    return module


@pytest.fixture(autouse=True)
def _same_random_numbers() -> Any:
    with torch.random.fork_rng():
        yield


@pytest.mark.parametrize("name", EXAMPLES)
def test_examples_are_short(name: str) -> None:
    assert len((FOLDER / f"{name}.py").read_text().splitlines()) < 40


def test_every_example_is_tested() -> None:
    assert {*RUN, "lightning_module", "multi_task", "label_free"} == set(EXAMPLES)


RUN = ["torchvision_deeplab", "smp_network", "huggingface_segformer"]


@pytest.mark.parametrize("name", RUN)
def test_the_network_is_trained_and_left_as_it_is(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The DejaVu loss reaches the network, whose state dict has no key of it."""
    seen: list[torch.Tensor] = []
    forward = DejaVuLoss.forward

    def spy(self: DejaVuLoss, image: torch.Tensor, prediction: torch.Tensor) -> torch.Tensor:
        loss = forward(self, image, prediction)
        (grad,) = torch.autograd.grad(loss, prediction, retain_graph=True)
        seen.append(grad)
        return loss

    monkeypatch.setattr(DejaVuLoss, "forward", spy)
    module = example(name)
    network, losses = module.main(steps=2, size=32)
    assert len(losses) == len(seen) == 2
    assert all(map(math.isfinite, losses))
    assert all(grad.any() for grad in seen)
    assert not any("crm" in key for key in network.state_dict())


def test_segformers_logits_are_coarser_than_the_image(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[tuple[torch.Size, torch.Size]] = []
    forward = DejaVuLoss.forward

    def spy(self: DejaVuLoss, image: torch.Tensor, prediction: torch.Tensor) -> torch.Tensor:
        sizes.append((image.shape[-2:], prediction.shape[-2:]))
        return forward(self, image, prediction)

    monkeypatch.setattr(DejaVuLoss, "forward", spy)
    example("huggingface_segformer").main(steps=1)
    assert sizes == [((64, 64), (16, 16))]


def test_lightning_trains_both_and_deploys_the_network() -> None:
    module = example("lightning_module")
    before = {k: v.clone() for k, v in nn.Conv2d(3, 5, 3, padding=1).state_dict().items()}
    network = module.main()
    assert network.state_dict().keys() == before.keys()
    trained = module.Segmentation(network, 5)
    (group,) = trained.configure_optimizers().param_groups
    expected = [*network.parameters(), *trained.criterion.parameters()]
    assert {id(p) for p in group["params"]} == {id(p) for p in expected}
    torch.manual_seed(0)
    fresh = nn.Conv2d(3, 5, 3, padding=1)
    assert not torch.equal(network.weight, fresh.weight)


def test_every_head_learns_from_the_one_dejavu_loss() -> None:
    network, tasks, dejavu = example("multi_task").main()
    assert tasks.isfinite()
    dejavu.backward()
    for head in network.heads:
        assert head.weight.grad is not None
        assert (head.weight.grad.flatten(1).abs().amax(1) > 0).all()


def test_unlabelled_images_take_part_in_the_dejavu_loss_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    counts: list[int] = []
    forward = DejaVuLoss.forward

    def spy(self: DejaVuLoss, image: torch.Tensor, prediction: torch.Tensor) -> torch.Tensor:
        counts.append(len(image))
        return forward(self, image, prediction)

    monkeypatch.setattr(DejaVuLoss, "forward", spy)
    _, history = example("label_free").main(steps=2)
    assert counts == [8, 8]
    assert all(math.isfinite(loss) for losses in history for loss in losses.values())
    assert history[1]["task"] < history[0]["task"]
