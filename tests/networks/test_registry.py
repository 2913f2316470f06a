import copy
import functools
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from pydantic import ValidationError
from skimage.transform import resize
from torch import Tensor, nn

from dejavu.config.networks import NetworkParams
from dejavu.data.sample import normalise
from dejavu.method.attention import SharedAttention
from dejavu.method.features import FeatureTap
from dejavu.method.redaction import RandomBlocks
from dejavu.networks.encoder_decoder import EncoderDecoder, HRNetDecoder
from dejavu.networks.encoders import model_library
from dejavu.networks.mask2former import Mask2Former, semantic_scores
from dejavu.networks.registry import FeaturePyramid, TorchvisionNetwork, create_model, dense_head
from dejavu.runtime.errors import ParamsError

ENCODERS = {
    "deeplabv3plus": "resnet18",
    "upernet": "tu-swin_tiny_patch4_window7_224",
    "segformer": "mit_b0",
    "fpn": "resnet18",
    "dpt": "tu-vit_tiny_patch16_224",
    "hrnet": "tu-hrnet_w18_small",
    "mask2former": "tu-resnet10t",
}
SMP = {"deeplabv3plus", "upernet", "segformer", "fpn"}
DENSE = [name for name in ENCODERS if name != "mask2former"]
CLASSES = 5


def network_params(architecture: str, **changes: Any) -> NetworkParams:
    encoder = ENCODERS.get(architecture)
    return NetworkParams(**{"architecture": architecture, "encoder": encoder} | changes)


def build(architecture: str, seed: int = 0) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return create_model(network_params(architecture), CLASSES)


@functools.cache
def network(architecture: str) -> nn.Module:
    """A network in evaluation mode, which no test changes."""
    return build(architecture).eval().requires_grad_(False)


def images(batch: int, height: int, width: int) -> Tensor:
    generator = torch.Generator().manual_seed(batch + height)
    return torch.randn(batch, 3, height, width, generator=generator)


@pytest.mark.parametrize("size", [(64, 64), (48, 80), (33, 47)])
def test_output_has_the_images_size(size: tuple[int, int]) -> None:
    assert FeaturePyramid(5, width=4)(torch.randn(2, 3, *size)).shape == (2, 5, *size)


@pytest.mark.parametrize("architecture", ["lraspp_mobilenet_v3_large", "fcn_resnet50"])
def test_torchvisions_networks_have_the_tasks_channels(architecture: str) -> None:
    params = NetworkParams(architecture=architecture)
    with torch.inference_mode():
        output = create_model(params, channels=3).eval()(torch.zeros(1, 3, 64, 64))
    assert output.shape == (1, 3, 64, 64)


def test_an_unknown_network_is_named() -> None:
    with pytest.raises(ValueError, match="architecture='unet' is none of torchvision's"):
        TorchvisionNetwork("unet", 3)


def test_every_pixel_can_depend_on_the_whole_image() -> None:
    """The pyramid merges its coarsest stage: a far pixel must reach an output."""
    torch.manual_seed(0)
    image = torch.randn(1, 3, 32, 32, requires_grad=True)
    FeaturePyramid(1, width=8).eval()(image)[0, 0, 0, 0].backward()
    assert image.grad is not None
    assert image.grad[0, :, -8:, -8:].abs().max() > 0


@pytest.mark.parametrize("architecture", ENCODERS)
class TestEncoderNetworks:
    """What every network around an encoder must do."""

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
        # Beside the cut, heads with a 3 x 3 convolution and the enlarging see its border.
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
        # The last norm of DPT's transformer comes after what its decoder reads.
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
    """What the condition ``features`` and shared attention need."""

    def test_is_the_convolution_that_makes_the_output(self, architecture: str) -> None:
        model = copy.deepcopy(network(architecture))
        head = model.get_submodule(dense_head(model))
        assert isinstance(head, nn.Conv2d)
        assert head.out_channels == CLASSES
        tap = FeatureTap(model, dense_head(model))
        output = model(images(2, 64, 96))
        assert tap.features.shape[:2] == (2, tap.channels)
        made = F.interpolate(head(tap.features), (64, 96), mode="bilinear", align_corners=False)
        torch.testing.assert_close(made, output)

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
        made = attention.regenerate(prediction.softmax(1))
        assert prediction.shape == (2, CLASSES, 40, 50)
        made.regenerated.square().mean().backward()
        first = next(model.parameters())
        assert first.grad is not None
        assert first.grad.any()


@pytest.mark.parametrize("architecture", sorted(SMP))
def test_features_are_those_of_smps_network(architecture: str) -> None:
    smp = model_library("segmentation_models_pytorch")
    ours: Any = copy.deepcopy(network(architecture))
    options = {"dynamic_img_size": True} if architecture == "upernet" else {}
    theirs = smp.create_model(
        architecture, ENCODERS[architecture], encoder_weights=None, classes=CLASSES, **options
    ).eval()
    theirs.encoder.load_state_dict(ours.encoder.state_dict())
    theirs.decoder.load_state_dict(ours.decoder.state_dict())
    theirs.segmentation_head[0].load_state_dict(ours.head[0].state_dict())
    our_tap, their_tap = FeatureTap(ours, dense_head(ours)), FeatureTap(theirs, "segmentation_head")
    image = images(2, 64, 96)
    ours(image)
    theirs(ours.renormalise(image))
    torch.testing.assert_close(our_tap.features, their_tap.features)


def test_hrnet_joins_all_resolutions_at_the_finest() -> None:
    decoder = HRNetDecoder([3, 3]).eval().requires_grad_(False)
    nn.init.dirac_(decoder.mix.weight)
    nn.init.zeros_(decoder.mix.bias)  # type: ignore[arg-type]
    fine, coarse = images(1, 8, 12), images(1, 4, 6)
    rows = coarse[0].permute(1, 2, 0).double().numpy()
    enlarged = resize(rows, (8, 12, 3), order=1, mode="edge", anti_aliasing=False)
    expected = np.concatenate([fine[0].numpy(), enlarged.transpose(2, 0, 1)])
    np.testing.assert_allclose(decoder([fine, coarse])[0], np.maximum(expected, 0), atol=1e-4)


def test_hrnet_reads_its_encoders_own_resolutions() -> None:
    model = network("hrnet")
    assert isinstance(model, EncoderDecoder)
    features = model.encoder(images(1, 64, 64))
    # A width of 16 doubles as the resolution halves, from a quarter of the image on.
    assert [tuple(f.shape[1:]) for f in features] == [
        (16, 16, 16),
        (32, 8, 8),
        (64, 4, 4),
        (128, 2, 2),
    ]


def test_mask2formers_scores_are_the_sum_over_queries() -> None:
    generator = torch.Generator().manual_seed(0)
    classes = torch.randn(2, 6, 4, generator=generator)
    masks = torch.randn(2, 6, 3, 5, generator=generator)
    scores = semantic_scores(classes, masks)
    assert scores.shape == (2, 3, 3, 5)
    for b, c, y, x in np.ndindex(2, 3, 3, 5):
        total = 0.0
        for q in range(6):
            exponents = np.exp(classes[b, q].double().numpy())
            total += exponents[c] / exponents.sum() / (1 + np.exp(-float(masks[b, q, y, x])))
        assert float(scores[b, c, y, x]) == pytest.approx(total, rel=1e-5)


def test_mask2formers_output_is_the_log_of_its_scores() -> None:
    model = network("mask2former")
    assert isinstance(model, Mask2Former)
    image = images(1, 64, 96)
    made = model.network(pixel_values=model.renormalise(image))
    scores = semantic_scores(made.class_queries_logits, made.masks_queries_logits)
    output = model(image)
    size = (64, 96)
    enlarged = F.interpolate((scores + 1e-6).log(), size, mode="bilinear", align_corners=False)
    torch.testing.assert_close(output, enlarged)
    ours = scores / scores.sum(1, keepdim=True)
    np.testing.assert_allclose(scores.log().softmax(1), ours, rtol=1e-4)


def test_mask2former_has_no_dense_head() -> None:
    with pytest.raises(ParamsError, match=r"Mask2Former has no convolution .* another arch"):
        dense_head(network("mask2former"))
    assert not network_params("mask2former").has_dense_head
    assert all(network_params(architecture).has_dense_head for architecture in DENSE)


def test_mask2former_is_for_classes() -> None:
    with pytest.raises(ValueError, match="channels=1: mask2former is for segmentation alone"):
        create_model(network_params("mask2former"), 1)
    assert network_params("mask2former").tasks == ("segmentation",)
    assert network_params("dpt").tasks is None


@pytest.mark.filterwarnings("ignore:Encoder does not have prefix tokens")
@pytest.mark.parametrize(
    ("architecture", "encoder", "message"),
    [
        ("fpn", "resnet19", r"encoder 'resnet19': there is none .* near are: resnet18"),
        ("fpn", "tu-resnet19", r"encoder 'tu-resnet19': there is none .* near are: tu-resnet"),
        ("fpn", "xception", r"'xception': there is none .* or give a model of timm as tu-NAME"),
        ("fpn", "tu-resnet18.x", r"no weights of that tag; it has: tu-resnet18.a1_in1k"),
        ("fpn", "tu-vit_tiny_patch16_224", r"does not go with architecture 'fpn' \(Unsupported"),
        (
            "deeplabv3plus",
            ENCODERS["upernet"],
            r"does not go with .*'deeplabv3plus'.*output_stride",
        ),
        ("dpt", "tu-resnet18", r"'dpt' \(it has features at strides \[2, 4, 8, 32\]"),
        ("dpt", "tu-vit_small_patch14_dinov2", r"'dpt' \(it has features at strides \[14"),
        ("mask2former", ENCODERS["upernet"], r"'mask2former' \(.*take one of timm's"),
        ("mask2former", "tu-mambaout_femto", r"\(its features have their channels last\)"),
    ],
)
def test_unfit_encoders_are_refused(architecture: str, encoder: str, message: str) -> None:
    with pytest.raises(ParamsError, match=message):
        create_model(network_params(architecture, encoder=encoder), CLASSES)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"architecture": "upernet"}, "encoder: missing, but needed by upernet; give such as"),
        ({"architecture": "hrnet", "encoder": "tu-resnet18"}, "'tu-resnet18' does not fit hrnet"),
        ({"architecture": "dpt", "encoder": "resnet18"}, "give one of timm, tu-"),
        ({"encoder": "resnet18"}, "encoder: feature_pyramid has no encoder to choose"),
        ({"architecture": "fcn_resnet50", "pretrained": True}, "pretrained: fcn_resnet50 has no"),
        ({"architecture": "segformer", "encoder": "mit_b0", "width": 8}, "width: segformer has"),
    ],
)
def test_params_that_contradict_each_other_are_refused(
    fields: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValidationError, match=message):
        NetworkParams(**fields)
