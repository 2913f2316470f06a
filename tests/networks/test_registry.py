"""Invariants of every network, and how networks are found."""

import copy
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dejavu.config.networks import architectures
from dejavu.data.sample import normalise
from dejavu.method.attention import SharedAttention
from dejavu.method.features import FeatureTap
from dejavu.method.redaction import RandomBlocks
from dejavu.networks.registry import create_model, dense_head
from dejavu.runtime.errors import ParamsError
from tests.support.networks import (
    CLASSES,
    DENSE,
    ENCODERS,
    build,
    images,
    network,
    network_params,
)
from tests.support.planting import copy_of_package, imported, python


@pytest.mark.parametrize("architecture", ENCODERS)
class TestEncoderNetworks:
    """Requirements on every network with an encoder."""

    @pytest.mark.parametrize("size", [(64, 64), (33, 47), (20, 90)])
    def test_takes_images_of_any_size(self, architecture: str, size: tuple[int, int]) -> None:
        output = network(architecture)(images(2, *size))
        assert output.shape == (2, CLASSES, *size)
        assert output.isfinite().all()

    def test_an_image_is_predicted_alone(self, architecture: str) -> None:
        batch = images(3, 64, 64)
        together = network(architecture)(batch)
        alone = torch.cat([network(architecture)(image) for image in batch.split(1)])
        torch.testing.assert_close(together, alone, rtol=1e-3, atol=1e-4)

    def test_padding_repeats_the_last_row_and_column(self, architecture: str) -> None:
        image = images(1, 50, 70)
        padded = np.pad(image.numpy(), [(0, 0), (0, 0), (0, 14), (0, 26)], mode="edge")
        whole = network(architecture)(torch.from_numpy(padded))
        output = network(architecture)(image)
        # Near the crop, heads with a 3 x 3 convolution and the upsampling see its border.
        torch.testing.assert_close(
            output[..., :40, :60], whole[..., :40, :60], rtol=1e-4, atol=1e-4
        )

    def test_the_gradient_reaches_the_ends(self, architecture: str) -> None:
        model = build(architecture).train()
        model(images(2, 64, 64)).square().mean().backward()
        convolutions = [m for m in model.modules() if isinstance(m, nn.Conv2d)]
        for ends in (convolutions[0].weight, convolutions[-1].weight):
            assert ends.grad is not None
            assert ends.grad.abs().max() > 0
        without = {name for name, p in model.named_parameters() if p.grad is None}
        # The last norm of DPT's transformer comes after the features that its decoder reads.
        assert without <= {"encoder.model.norm.weight", "encoder.model.norm.bias"}

    def test_weights_come_from_the_seed(self, architecture: str) -> None:
        first, same, other = (build(architecture, seed).state_dict() for seed in (0, 0, 1))
        assert all(torch.equal(tensor, same[name]) for name, tensor in first.items())
        assert any(not torch.equal(tensor, other[name]) for name, tensor in first.items())

    def test_normalisation_is_no_state(self, architecture: str) -> None:
        assert not [name for name in network(architecture).state_dict() if "renormalise" in name]

    def test_the_encoder_gets_its_own_normalisation(self, architecture: str) -> None:
        model = copy.deepcopy(network(architecture))
        seen: list[Tensor] = []
        first = next(m for m in model.modules() if isinstance(m, nn.Conv2d))
        first.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
        rgb = torch.arange(64 * 64 * 3).remainder(256).to(torch.uint8).view(1, 3, 64, 64)
        model(normalise(rgb))
        halves = architecture == "dpt"  # Google's vision transformers: mean and deviation 0.5
        mean = np.array([0.5] * 3 if halves else [0.485, 0.456, 0.406]).reshape(1, 3, 1, 1)
        std = np.array([0.5] * 3 if halves else [0.229, 0.224, 0.225]).reshape(1, 3, 1, 1)
        np.testing.assert_allclose(seen[0], (rgb.numpy() / 255 - mean) / std, atol=1e-5)


@pytest.mark.parametrize("architecture", DENSE)
class TestDenseHeads:
    """Requirements of the condition ``features`` and of shared attention."""

    def test_is_the_convolution_that_makes_the_output(self, architecture: str) -> None:
        assert network_params(architecture).facts.has_dense_head
        model = copy.deepcopy(network(architecture))
        head = model.get_submodule(dense_head(model))
        assert isinstance(head, nn.Conv2d)
        assert head.out_channels == CLASSES
        tap = FeatureTap(model, dense_head(model))
        output = model(images(2, 64, 96))
        assert tap.features.shape[:2] == (2, tap.channels)
        full = F.interpolate(head(tap.features), (64, 96), mode="bilinear", align_corners=False)
        torch.testing.assert_close(full, output)

    def test_features_cover_the_image_and_not_its_padding(self, architecture: str) -> None:
        model = copy.deepcopy(network(architecture))
        tap = FeatureTap(model, dense_head(model))
        model(images(1, 33, 50))
        stride = 2 if architecture == "dpt" else 4
        assert tap.features.shape[-2:] == (-(-33 // stride), -(-50 // stride))

    def test_shared_attention_wraps_it(self, architecture: str) -> None:
        model = build(architecture)
        attention = SharedAttention(
            model, dense_head(model), CLASSES, RandomBlocks(8, 0.3), width=8, cell=8
        )
        image = images(2, 40, 50)
        prediction = attention(image)
        regeneration = attention.regenerate(prediction.softmax(1))
        assert prediction.shape == (2, CLASSES, 40, 50)
        regeneration.regenerated.square().mean().backward()
        first = next(model.parameters())
        assert first.grad is not None
        assert first.grad.any()


@pytest.mark.filterwarnings("ignore:Encoder does not have prefix tokens")
@pytest.mark.parametrize(
    ("architecture", "encoder", "message"),
    [
        ("fpn", "resnet19", "encoder 'resnet19': .* resnet18"),
        ("fpn", "tu-resnet19", "encoder 'tu-resnet19': .* tu-resnet"),
        ("fpn", "xception", "encoder 'xception': .* tu-NAME"),
        ("fpn", "tu-resnet18.x", "encoder 'tu-resnet18.x': .* tu-resnet18.a1_in1k"),
        ("fpn", "tu-vit_tiny_patch16_224", r"'fpn' \(Unsupported"),
        ("deeplabv3plus", ENCODERS["upernet"], r"'deeplabv3plus'.*output_stride"),
        ("dpt", "tu-resnet18", r"'dpt' \(.* strides \[2, 4, 8, 32\]"),
        ("dpt", "tu-vit_small_patch14_dinov2", r"'dpt' \(.* strides \[14"),
        ("mask2former", ENCODERS["upernet"], r"'mask2former' \(.*such as tu-resnet50"),
        ("mask2former", "tu-mambaout_femto", r"'mask2former' \(.*channels last\)"),
    ],
)
def test_unfit_encoders_are_refused(architecture: str, encoder: str, message: str) -> None:
    with pytest.raises(ParamsError, match=message):
        create_model(network_params(architecture, encoder=encoder), CLASSES)


def test_every_architecture_with_an_encoder_is_tested_here() -> None:
    with_encoder = {name for name, facts in architectures().items() if facts.encoder is not None}
    assert set(ENCODERS) == with_encoder


@pytest.mark.parametrize(
    ("architecture", "module"),
    [
        ("feature_pyramid", "pyramid"),
        ("lraspp_mobilenet_v3_large", "torchvision"),
    ],
)
def test_one_network_is_built_without_the_others(architecture: str, module: str) -> None:
    code = f"""
from dejavu.config import NetworkParams
from dejavu.networks.registry import create_model
create_model(NetworkParams(architecture={architecture!r}), 3)
"""
    networks = {name for name in imported(code) if name.startswith("dejavu.networks.")}
    assert networks == {"dejavu.networks.registry", f"dejavu.networks.{module}"}


PLANTED = """
from torch import nn

ARCHITECTURES = {"one_by_one": {"tasks": ("depth",), "has_dense_head": False}}


def build(params, channels):
    return nn.Conv2d(3, channels, 1)
"""


def test_a_new_network_is_one_new_file(tmp_path: Path) -> None:
    root = copy_of_package(tmp_path)
    (root / "dejavu/networks/planted.py").write_text(PLANTED)
    code = """
from dejavu.config import NetworkParams, Params
from dejavu.networks.registry import create_model
params = NetworkParams(architecture="one_by_one")
print(params.facts.module, create_model(params, 5).out_channels)
print(NetworkParams.model_json_schema()["properties"]["architecture"]["enum"])
study = {"study": "s", "tasks": ["normals"], "seeds": [0]}
try:
    Params.model_validate(study | {"networks": {"n": params}, "methods": {"baseline": {}}})
except ValueError as error:
    print(error)
"""
    built, listed, refused = python(code, root).split("\n", 2)
    assert built == "networks.planted 5"
    assert "one_by_one" in listed
    assert "networks.n.architecture: one_by_one cannot be trained for normals" in refused
