from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from dejavu.config.networks import NetworkParams
from dejavu.networks.encoder_decoder import EncoderDecoder
from dejavu.networks.encoders import TIMM, model_library, timm_options
from dejavu.networks.mask2former import Mask2Former
from dejavu.networks.registry import create_model
from dejavu.networks.weights import WEIGHTS_FOLDER, hub_repository
from dejavu.runtime.errors import CheckpointError

NETWORKS = {
    "deeplabv3plus": "resnet18",
    "segformer": "mit_b0",
    "upernet": "tu-convnext_atto",
    "fpn": "tu-efficientnet_b0",
    "dpt": "tu-vit_tiny_patch16_224",
    "hrnet": "tu-hrnet_w18_small",
    "mask2former": "tu-resnet10t",
}


def build(architecture: str, pretrained: bool = True) -> nn.Module:
    params = NetworkParams(
        architecture=architecture, encoder=NETWORKS[architecture], pretrained=pretrained
    )
    torch.manual_seed(0)
    return create_model(params, 3).eval().requires_grad_(False)


def published(encoder: str) -> nn.Module:
    """The published model, with random weights."""
    torch.manual_seed(1)
    if encoder == "mit_b0":
        model = model_library("segmentation_models_pytorch").encoders.get_encoder(encoder)
        model.head = nn.Linear(256, 1000)
    else:  # smp's ResNets have torchvision's keys, and so have timm's
        model = model_library("timm").create_model(
            encoder.removeprefix(TIMM), **timm_options(encoder)
        )
    assert isinstance(model, nn.Module)
    return model.eval().requires_grad_(False)


def last_features(encoder: Any, image: Tensor) -> Tensor:
    """The coarsest features; of a whole timm model, by timm's own method."""
    if hasattr(encoder, "forward_intermediates"):
        features = encoder.forward_intermediates(image, intermediates_only=True)
    else:
        features = encoder(image)
        features = features[0] if isinstance(features, tuple) else features  # beside tokens
    last: Tensor = features[-1]
    return last


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of weights, without the hub and its cache."""
    hub = model_library("huggingface_hub.constants")
    monkeypatch.setattr(hub, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(hub, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv(WEIGHTS_FOLDER, str(tmp_path))
    return tmp_path


@pytest.fixture(autouse=True)
def own_draws() -> Any:
    with torch.random.fork_rng():
        yield


def save(tensors: dict[str, Tensor], file: Path) -> None:
    tensors = {name: tensor.contiguous() for name, tensor in tensors.items()}
    if file.suffix == ".pth":
        torch.save(tensors, file)
    else:
        save_file(tensors, file)


def encoder_of(model: nn.Module) -> nn.Module:
    if isinstance(model, Mask2Former):
        backbone = model.network.model.pixel_level_module.encoder._backbone
        assert isinstance(backbone, nn.Module)
        return backbone
    assert isinstance(model, EncoderDecoder)
    return model.encoder


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
@pytest.mark.parametrize("architecture", NETWORKS)
def test_an_encoder_computes_what_the_published_one_does(
    architecture: str, suffix: str, folder: Path
) -> None:
    encoder = NETWORKS[architecture]
    whole: Any = published(encoder)
    save(whole.state_dict(), folder / f"{encoder}{suffix}")
    if architecture == "hrnet":
        whole.incre_modules = None  # the channels that the classifier adds to the resolutions
    image = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    model = build(architecture)
    features = last_features(encoder_of(model), image)
    if architecture == "deeplabv3plus":  # its last stage is dilated, the weights are not
        features = encoder_of(model)(image)[-2]
        whole = nn.Sequential(*list(whole.children())[:-3])
        torch.testing.assert_close(features, whole(image), rtol=1e-4, atol=1e-5)
    else:
        torch.testing.assert_close(features, last_features(whole, image), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("architecture", ["segformer", "upernet", "dpt"])
def test_only_the_encoder_differs_from_a_drawn_network(architecture: str, folder: Path) -> None:
    encoder = NETWORKS[architecture]
    save(published(encoder).state_dict(), folder / f"{encoder}.safetensors")
    drawn = build(architecture, pretrained=False).state_dict()
    after_drawn = torch.rand(1)
    loaded = build(architecture).state_dict()
    assert torch.equal(torch.rand(1), after_drawn), "later draws are not shifted"
    same = {name for name in drawn if torch.equal(drawn[name], loaded[name])}
    assert {name for name in drawn if not name.startswith("encoder.")} <= same
    weights = {n for n in drawn if n.startswith("encoder.") and drawn[n].dim() > 1}
    assert not weights & same


@pytest.mark.parametrize("architecture", ["deeplabv3plus", "segformer", "fpn", "hrnet"])
def test_weights_that_lack_or_exceed_keys_are_refused(architecture: str, folder: Path) -> None:
    encoder = NETWORKS[architecture]
    file = folder / f"{encoder}.safetensors"
    tensors = published(encoder).state_dict()
    first = next(iter(tensors))
    changes: list[dict[str, Tensor]] = [
        {key: tensor for key, tensor in tensors.items() if key != first},
        tensors | {"no.such.key": torch.zeros(1)},
        tensors | {first: torch.zeros(2, 3)},
    ]
    for changed, named in zip(changes, (first, "no.such.key", first), strict=True):
        save(changed, file)
        with pytest.raises(CheckpointError, match=f"{encoder}.safetensors: not the .*{named}"):
            build(architecture)


def test_a_damaged_file_is_refused(folder: Path) -> None:
    for name in ("resnet18", "tu-hrnet_w18_small"):
        (folder / f"{name}.safetensors").write_bytes(b"truncated")
    for architecture in ("deeplabv3plus", "hrnet"):
        with pytest.raises(CheckpointError, match=r"\.safetensors: not the ImageNet weights of"):
            build(architecture)


@pytest.mark.parametrize(
    ("architecture", "repository"),
    [
        ("segformer", "smp-hub/mit_b0.imagenet"),
        ("hrnet", "timm/hrnet_w18_small.gluon_in1k"),
        ("mask2former", "timm/resnet10t.c3_in1k"),
    ],
)
def test_without_file_and_hub_the_message_tells_what_to_fetch(
    architecture: str, repository: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder = NETWORKS[architecture]
    assert hub_repository(encoder) == repository
    wanted = f"no {encoder}.safetensors or .pth in {folder}, .* model.safetensors of {repository}"
    with pytest.raises(CheckpointError, match=wanted):
        build(architecture)
    monkeypatch.delenv(WEIGHTS_FOLDER)
    with pytest.raises(CheckpointError, match=rf"\.pth \({WEIGHTS_FOLDER} "):
        build(architecture)


@pytest.mark.parametrize("encoder", ["resnext101_32x4d", "tu-resnetblur18"])
def test_an_encoder_without_published_weights_is_refused(encoder: str) -> None:
    params = NetworkParams(architecture="fpn", encoder=encoder, pretrained=True)
    with pytest.raises(CheckpointError, match=rf"{encoder}\.safetensors .*published; .*pretrained"):
        create_model(params, 3)


def test_a_missing_folder_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(WEIGHTS_FOLDER, str(folder / "none"))
    with pytest.raises(CheckpointError, match=f"{WEIGHTS_FOLDER}=.*none: no such folder"):
        build("segformer")


def test_nothing_is_looked_for_where_weights_are_drawn(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(WEIGHTS_FOLDER, str(folder / "none"))
    build("segformer", pretrained=False)
