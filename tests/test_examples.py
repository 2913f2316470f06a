"""The examples run as they stand, and show what they say."""

import importlib.util
import math
import runpy
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from dejavu import DejaVuLoss
from dejavu.runtime.torchvision_import import import_torchvision

FOLDER = Path(__file__).parents[1] / "examples"
EXAMPLES = sorted(path.stem for path in FOLDER.glob("*.py"))


def example(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, FOLDER / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run(name: str, loss: Callable[..., DejaVuLoss] = DejaVuLoss, **arguments: Any) -> Any:
    """Run an example with another loss in the place of its own, always from one seed."""
    module = example(name)
    module.DejaVuLoss = loss
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return module.main(**arguments)


def scaled(factor: float) -> Callable[..., DejaVuLoss]:
    """Make the example's loss with gamma multiplied."""

    def create(*arguments: Any, gamma: float, **others: Any) -> DejaVuLoss:
        return DejaVuLoss(*arguments, gamma=factor * gamma, **others)

    return create


def equal(one: nn.Module, other: nn.Module) -> bool:
    pairs = zip(one.state_dict().values(), other.state_dict().values(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


@pytest.mark.parametrize("name", EXAMPLES)
def test_examples_are_short(name: str) -> None:
    assert len((FOLDER / f"{name}.py").read_text().splitlines()) < 40


@pytest.mark.parametrize("name", EXAMPLES)
def test_examples_print_what_they_made(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with torch.random.fork_rng():
        runpy.run_path(str(FOLDER / f"{name}.py"), run_name="__main__")
    assert capsys.readouterr().out


def fresh(name: str) -> nn.Module:
    """The bare network of an example."""
    torchvision = import_torchvision()
    if name == "torchvision_deeplab":
        build = torchvision.models.segmentation.deeplabv3_resnet50
        return build(weights=None, weights_backbone=None, num_classes=19)
    if name == "smp_network":
        import segmentation_models_pytorch as smp

        return smp.Unet("resnet18", encoder_weights=None, classes=1)
    if name == "huggingface_segformer":
        from transformers import SegformerConfig, SegformerForSemanticSegmentation

        return SegformerForSemanticSegmentation(SegformerConfig(depths=[1] * 4))
    return nn.Conv2d(3, 5, 3)


@pytest.mark.parametrize("name", [name for name in EXAMPLES if name != "multi_task"])
def test_the_dejavu_loss_trains_the_network_and_adds_nothing_to_it(name: str) -> None:
    trained, without, again = (
        made[0] if isinstance(made, tuple) else made
        for made in (run(name, loss, size=32) for loss in (DejaVuLoss, scaled(0), scaled(0)))
    )
    assert equal(without, again), "the example is not deterministic: nothing can be compared"
    assert not equal(trained, without)
    assert all(value.isfinite().all() for value in trained.state_dict().values())
    assert trained.state_dict().keys() == fresh(name).state_dict().keys()


@pytest.mark.parametrize("name", ["torchvision_deeplab", "smp_network", "huggingface_segformer"])
def test_losses_are_finite_and_fall(name: str) -> None:
    losses = run(name, steps=3)[1]
    assert all(map(math.isfinite, losses))
    assert losses[-1] < losses[0]


def test_segformers_logits_are_coarser_than_the_image() -> None:
    sizes: list[tuple[int, ...]] = []

    class Spy(DejaVuLoss):
        def forward(self, image: Tensor, prediction: Tensor, generator: Any = None) -> Tensor:
            sizes.append((*image.shape[-2:], *prediction.shape[-2:]))
            return super().forward(image, prediction, generator)

    run("huggingface_segformer", Spy, steps=1)
    assert sizes == [(64, 64, 16, 16)]


def test_lightning_optimises_the_network_and_the_crm() -> None:
    network = nn.Conv2d(3, 5, 3)
    module = example("lightning_module").Segmentation(network, 5)
    groups = module.configure_optimizers().param_groups
    trained = {id(parameter) for group in groups for parameter in group["params"]}
    expected = [*network.parameters(), *module.criterion.parameters()]
    assert trained == {id(parameter) for parameter in expected}


def test_every_head_learns_from_the_dejavu_loss_alone() -> None:
    """The gradients vanish with gamma and double with it: no task loss has a part in them."""
    (network, losses, once), (_, _, never), (_, _, twice) = (
        run("multi_task", scaled(factor)) for factor in (1, 0, 2)
    )
    assert losses.keys() == {"labels", "depth", "normals", "dejavu"}
    assert all(loss.isfinite() for loss in losses.values())
    for task in ("labels", "depth", "normals"):
        assert once[task].shape == network[task].weight.shape
        assert (once[task].flatten(1).abs().amax(1) > 0).all(), "a channel without gradient"
        assert not never[task].any()
        torch.testing.assert_close(twice[task], 2 * once[task])


def test_unlabelled_images_teach_the_network() -> None:
    """Without their gradient the first loss is the same, and what is learnt from it is not."""

    class LabelledOnly(DejaVuLoss):
        def forward(self, image: Tensor, prediction: Tensor, generator: Any = None) -> Tensor:
            stopped = torch.cat([prediction[:2], prediction[2:].detach()])
            assert len(stopped) == len(image) == 8
            return super().forward(image, stopped, generator)

    (network, history), (other, stopped) = (
        run("label_free", loss) for loss in (DejaVuLoss, LabelledOnly)
    )
    assert all(math.isfinite(loss) for losses in history for loss in losses.values())
    assert history[0] == stopped[0]
    assert not equal(network, other)
