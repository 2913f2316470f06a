import copy
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch import Tensor, nn

from dejavu.method.text import CLIPEncoder, ImageTextEncoder, TextLoss, load_clip
from dejavu.runtime.errors import CheckpointError
from tests.support.clip import open_clip_with_a_tiny_model

MEAN, STD = (0.5, 0.4, 0.3), (0.25, 0.2, 0.3)
TEXTS = ("a room with a teal sofa", "two plants", "A rug!")


class Toy(ImageTextEncoder):
    """Linear in images of 4 x 4; texts are looked up by their length."""

    def __init__(self, dimension: int = 5) -> None:
        super().__init__()
        g = torch.Generator().manual_seed(0)
        self.dropout = nn.Dropout(0.5)
        self.image = nn.Parameter(torch.randn(48, dimension, generator=g))
        self.text = nn.Parameter(torch.randn(100, dimension, generator=g))

    def encode_image(self, image: Tensor) -> Tensor:
        return F.normalize(self.dropout(image.flatten(1)) @ self.image)

    def encode_text(self, texts: Sequence[str]) -> Tensor:
        return F.normalize(self.text[[len(text) for text in texts]])


def images(batch: int = 3, seed: int = 1) -> Tensor:
    return torch.randn(batch, 3, 4, 4, generator=torch.Generator().manual_seed(seed))


@settings(max_examples=15)
@given(st.integers(1, 4), st.integers(1, 6), st.floats(0, 10), st.integers(0, 99))
def test_loss_is_the_mean_cosine_distance(
    batch: int, dimension: int, gamma: float, seed: int
) -> None:
    encoder, regenerated = Toy(dimension), images(batch, seed)
    text = torch.randn(batch, dimension, generator=torch.Generator().manual_seed(seed))
    matrix = encoder.image.detach().double().numpy()
    total = 0.0
    for made, wanted in zip(regenerated.double().numpy(), text.double().numpy(), strict=True):
        embedded = made.reshape(48) @ matrix
        lengths = np.linalg.norm(embedded) * np.linalg.norm(wanted)
        total += 1 - float(embedded @ wanted) / float(lengths)
    value = TextLoss(encoder, gamma)(regenerated, text)
    assert value.shape == ()
    assert value.item() == pytest.approx(gamma * total / batch, rel=1e-4, abs=1e-5)


@pytest.mark.parametrize(("factor", "expected"), [(1, 0), (3, 0), (-1, 2)])
def test_the_ends_of_the_range(factor: float, expected: float) -> None:
    encoder = Toy()
    loss = TextLoss(encoder, gamma=0.5)
    text = factor * encoder.encode_image(images())
    assert loss(images(), text).item() == pytest.approx(0.5 * expected, abs=1e-6)


def test_gradients_reach_the_images_and_nothing_of_the_encoder() -> None:
    encoder = Toy()
    loss = TextLoss(encoder)
    regenerated = images().requires_grad_()
    before = loss(regenerated, loss.embed(TEXTS))
    before.backward()
    assert regenerated.grad is not None
    assert (regenerated.grad.flatten(1).abs().amax(1) > 0).all()
    assert all(p.grad is None and not p.requires_grad for p in encoder.parameters())
    after = loss(regenerated - 0.1 * regenerated.grad, loss.embed(TEXTS))
    assert after < before


def test_an_optimiser_and_a_checkpoint_hold_nothing_of_the_encoder() -> None:
    loss = TextLoss(Toy())
    assert list(loss.parameters()) == []
    assert loss.state_dict() == {}
    assert list(loss.modules()) == [loss]


def test_the_encoder_stays_in_evaluation_mode() -> None:
    loss = TextLoss(Toy().train())
    text = loss.embed(TEXTS)
    before = loss(images(), text)
    loss.train()
    assert not loss.encoder.training
    assert torch.equal(loss(images(), text), before)


def test_copies_are_equal() -> None:
    loss = TextLoss(Toy(), gamma=0.3)
    twin = copy.deepcopy(loss)
    assert twin.encoder is not loss.encoder
    assert torch.equal(twin(images(), twin.embed(TEXTS)), loss(images(), loss.embed(TEXTS)))


def test_texts_are_embedded_in_order_and_without_gradient() -> None:
    encoder = Toy()
    texts = ["a" * (n % 97) for n in range(600)]
    embedded = TextLoss(encoder).embed(texts)
    assert not embedded.requires_grad
    torch.testing.assert_close(embedded, encoder.encode_text(texts))


def test_half_precision_images_give_a_float32_loss() -> None:
    loss = TextLoss(Toy())
    text = loss.embed(TEXTS)
    exact = loss(images(), text)
    value = loss(images().bfloat16(), text)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        cast = loss(images(), text.bfloat16())
    assert value.dtype == cast.dtype == torch.float32
    assert value.item() == pytest.approx(exact.item(), rel=0.02)
    assert cast.item() == pytest.approx(exact.item(), rel=0.02)


def test_the_encoder_is_moved_to_the_images(monkeypatch: pytest.MonkeyPatch) -> None:
    moved: list[Any] = []

    def to(module: Toy, device: torch.device) -> Toy:
        moved.append(device)
        return module

    monkeypatch.setattr(Toy, "to", to)
    TextLoss(Toy())(images(), torch.ones(3, 5))
    assert moved == [torch.device("cpu")]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda_agrees_with_the_cpu() -> None:
    loss = TextLoss(Toy())
    text = loss.embed(TEXTS)
    here = loss(images(), text)
    there = loss(images().cuda(), text)
    assert there.device.type == "cuda"
    assert there.item() == pytest.approx(here.item(), rel=1e-3)


@pytest.mark.parametrize("gamma", [-0.5, math.nan, math.inf])
def test_impossible_weights_are_refused(gamma: float) -> None:
    with pytest.raises(ValueError, match=rf"gamma={gamma}: must be finite and at least 0"):
        TextLoss(Toy(), gamma)


@pytest.mark.parametrize(
    ("regenerated", "text", "message"),
    [
        (images()[0], torch.ones(3, 5), r"regenerated has shape \(3, 4, 4\); it must be B x C"),
        (images() * math.nan, torch.ones(3, 5), r"regenerated must be finite, but is nan"),
        (images(), torch.ones(1, 5), r"text has shape \(1, 5\); it must be \(3, 5\)"),
        (images(), torch.ones(5), r"text has shape \(5,\); it must be \(3, 5\)"),
        (images(), torch.ones(3, 1), r"text has shape \(3, 1\); it must be \(3, 5\)"),
    ],
)
def test_bad_input_is_refused(regenerated: Tensor, text: Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TextLoss(Toy())(regenerated, text)


@pytest.mark.parametrize("texts", ["a room", [], ()])
def test_what_is_no_list_of_texts_is_refused(texts: Any) -> None:
    with pytest.raises(ValueError, match=r"texts=.*: must be a sequence of at least one text"):
        TextLoss(Toy()).embed(texts)


# ---- CLIP, as a tiny random model ------------------------------------------------------------


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("clip")


@pytest.fixture(scope="module")
def open_clip(folder: Path) -> Any:
    return open_clip_with_a_tiny_model(folder)


@pytest.fixture(scope="module")
def weights(open_clip: Any, folder: Path) -> Path:
    """Weights of the model ``tiny-clip``."""
    with torch.random.fork_rng():
        torch.manual_seed(5)
        network = open_clip.create_model("tiny-clip")
    torch.save(network.state_dict(), folder / "weights.pt")
    return folder / "weights.pt"


@pytest.fixture(scope="module")
def network(open_clip: Any, weights: Path) -> Any:
    """The same model, as open_clip itself loads it."""
    return open_clip.create_model("tiny-clip", pretrained=str(weights)).eval()


@pytest.fixture(scope="module")
def clip(weights: Path) -> CLIPEncoder:
    return load_clip("tiny-clip", weights, MEAN, STD)


def resized(channel: np.ndarray[Any, Any], size: int) -> np.ndarray[Any, Any]:
    """Antialiased bilinear resizing, by Pillow."""
    picture = Image.fromarray(channel.astype(np.float32))
    return np.asarray(picture.resize((size, size), Image.Resampling.BILINEAR))


@pytest.mark.parametrize("size", [(64, 64), (32, 32), (50, 91), (20, 24)])
def test_images_are_embedded_as_open_clip_does(
    size: tuple[int, int], open_clip: Any, network: Any, clip: CLIPEncoder
) -> None:
    rgb = np.random.default_rng(0).random((2, 3, *size), dtype=np.float32)
    prepared = np.stack([[resized(channel, 32) for channel in image] for image in rgb])
    mean, std = (
        np.array(v, np.float32).reshape(3, 1, 1)
        for v in (open_clip.OPENAI_DATASET_MEAN, open_clip.OPENAI_DATASET_STD)
    )
    with torch.no_grad():
        expected = network.encode_image(torch.from_numpy((prepared - mean) / std), normalize=True)
    ours = (rgb - np.reshape(MEAN, (3, 1, 1))) / np.reshape(STD, (3, 1, 1))
    with torch.no_grad():
        embedded = clip.encode_image(torch.from_numpy(ours).float())
    torch.testing.assert_close(embedded, expected, atol=1e-5, rtol=0)


def test_texts_are_embedded_as_open_clip_does(
    open_clip: Any, network: Any, clip: CLIPEncoder
) -> None:
    texts = [*TEXTS, "a long text " * 20]
    tokens = open_clip.tokenize(texts, context_length=12)
    with torch.no_grad():
        expected = network.encode_text(tokens, normalize=True)
    torch.testing.assert_close(TextLoss(clip).embed(texts), expected)


def test_clip_supervises_images(clip: CLIPEncoder) -> None:
    loss = TextLoss(clip)
    regenerated = torch.zeros(3, 3, 40, 40).requires_grad_()
    loss(regenerated, loss.embed(TEXTS)).backward()
    assert regenerated.grad is not None
    assert (regenerated.grad.flatten(1).abs().amax(1) > 0).all()
    assert all(not p.requires_grad for p in clip.parameters())


def test_loading_leaves_the_global_generator_and_trains_nothing(weights: Path) -> None:
    torch.manual_seed(3)
    before = torch.get_rng_state()
    encoder = load_clip("tiny-clip", weights, MEAN, STD)
    assert not any(module.training for module in encoder.modules())
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("tiny-clap", r"model='tiny-clap': .*: tiny-clip"),
        ("ViT-B_32", r"model='ViT-B_32': .*ViT-B-32"),
        ("ViT-B-16-SigLIP", r"model='ViT-B-16-SigLIP': its image normalisation"),
    ],
)
def test_models_that_cannot_be_served_are_refused(model: str, message: str, weights: Path) -> None:
    with pytest.raises(ValueError, match=message):
        load_clip(model, weights, MEAN, STD)


def test_files_that_cannot_be_used_are_named(weights: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"none.pt: no such file; .*tiny-clip"):
        load_clip("tiny-clip", tmp_path / "none.pt", MEAN, STD)
    truncated = tmp_path / "half.pt"
    truncated.write_bytes(weights.read_bytes()[:5000])
    foreign = tmp_path / "foreign.pt"
    torch.save(nn.Linear(2, 2).state_dict(), foreign)
    for path in (truncated, foreign):
        with pytest.raises(CheckpointError, match=rf"{path.name}: cannot be loaded as open_clip's"):
            load_clip("tiny-clip", path, MEAN, STD)


@pytest.mark.parametrize(
    ("mean", "std", "message"),
    [
        ((0.5,), STD, r"mean=\(0.5,\): must have one number for each of 3 channels"),
        (MEAN, (0.2, 0.2), r"std=\(0.2, 0.2\): must have a number above 0"),
        (MEAN, (0.2, 0.2, 0), r"std=\(0.2, 0.2, 0\): must have a number above 0"),
    ],
)
def test_normalisations_that_cannot_be_undone_are_refused(
    mean: Any, std: Any, message: str, weights: Path
) -> None:
    with pytest.raises(ValueError, match=message):
        load_clip("tiny-clip", weights, mean, std)


def test_without_open_clip_the_message_names_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "open_clip", None)
    with pytest.raises(ImportError, match=r"pip install open_clip_torch"):
        load_clip("ViT-B-32", tmp_path / "weights.pt", MEAN, STD)
