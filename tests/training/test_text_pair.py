import itertools
import json
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from dejavu.config import TextPairParams
from dejavu.data.store import PreparedSplit
from dejavu.method.text import TextLoss
from dejavu.runtime.errors import CheckpointError, DejaVuError
from dejavu.training.text_pair import (
    StandInPair,
    chance,
    contrastive_loss,
    load_text_pair,
    recall,
    train_text_pair,
)

WORDS = ("a", "blue", "red", "rug", "sofa")
SMALL = TextPairParams(steps=60, batch_size=12, width=4, dimension=16, learning_rate=0.01)


def pair() -> StandInPair:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return StandInPair(WORDS, width=4, dimension=8).eval()


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


# ---- the encoders ----------------------------------------------------------------------------


@torch.no_grad()
@pytest.mark.parametrize("size", [(64, 64), (33, 70), (1, 5)])
def test_images_are_embedded_one_by_one(size: tuple[int, int]) -> None:
    encoder = pair()
    image = draw(3, 3, *size)
    embedded = encoder.encode_image(image)
    torch.testing.assert_close(embedded.norm(dim=1), torch.ones(3))
    for one, expected in zip(image, embedded, strict=True):
        torch.testing.assert_close(encoder.encode_image(one[None])[0], expected)
    torch.testing.assert_close(encoder.train().encode_image(image), embedded)


@torch.no_grad()
@settings(max_examples=15)
@given(st.lists(st.lists(st.sampled_from(WORDS), max_size=6).map(" ".join), min_size=1, max_size=4))
def test_texts_are_embedded_one_by_one(texts: list[str]) -> None:
    embedded = pair().encode_text(texts)
    torch.testing.assert_close(embedded.norm(dim=1), torch.ones(len(texts)))
    for text, expected in zip(texts, embedded, strict=True):
        torch.testing.assert_close(pair().encode_text([text])[0], expected)


@torch.no_grad()
def test_words_are_read_whatever_their_case_and_surroundings() -> None:
    plain, written, other = pair().encode_text(["a red sofa", "A  Red, SOFA!", "a blue sofa"])
    assert torch.equal(plain, written)
    assert not torch.allclose(plain, other)


@torch.no_grad()
def test_unknown_words_are_alike() -> None:
    one, other, none, known = pair().encode_text(["a zebra", "a yacht", "a", "a rug"])
    assert torch.equal(one, other)
    assert not torch.allclose(one, none)
    assert not torch.allclose(one, known)


@torch.no_grad()
def test_phrases_tell_which_colour_belongs_to_which_thing() -> None:
    one, other = pair().encode_text(["a red sofa a blue rug", "a blue sofa a red rug"])
    assert not torch.allclose(one, other)


# ---- the loss and the measures ---------------------------------------------------------------


def test_the_loss_is_the_cross_entropy_of_both_directions() -> None:
    image, text, scale = draw(4, 6), draw(4, 6, seed=1), 3.0
    logits = scale * image.double().numpy() @ text.double().numpy().T
    total = 0.0
    for n in range(4):
        total -= math.log(np.exp(logits[n, n]) / np.exp(logits[n, :]).sum())
        total -= math.log(np.exp(logits[n, n]) / np.exp(logits[:, n]).sum())
    value = contrastive_loss(image, text, torch.tensor(scale))
    assert value.item() == pytest.approx(total / 8, rel=1e-5)


@settings(max_examples=15)
@given(st.lists(st.sampled_from("abcd"), min_size=1, max_size=7), st.integers(1, 8), st.integers())
def test_recall_counts_the_images_whose_caption_is_found(
    captions: list[str], k: int, seed: int
) -> None:
    count = len(captions)
    similarity = draw(count, count, seed=seed % 1000)
    found = 0
    for image, row in enumerate(similarity.tolist()):
        ranking = sorted(range(count), key=lambda n: -row[n])
        found += captions[image] in [captions[n] for n in ranking[:k]]
    assert recall(similarity, captions, k) == pytest.approx(found / count)


def test_an_encoder_that_maps_all_to_one_point_finds_nothing() -> None:
    similarity = torch.ones(3, 3)
    assert recall(similarity, ["a", "b", "c"], 1) == 0
    assert recall(similarity, ["a", "b", "b"], 2) == pytest.approx(2 / 3)


@pytest.mark.parametrize("k", [1, 2, 5])
def test_chance_is_the_mean_over_all_choices(k: int) -> None:
    captions = ["a", "b", "a", "c", "a", "b"]
    choices = [*itertools.combinations(captions, k)]
    found = [caption in choice for caption in captions for choice in choices]
    assert chance(captions, k) == pytest.approx(sum(found) / len(found))


def test_chance_with_fewer_captions_than_guesses_is_certain() -> None:
    assert chance(["a", "b", "c"], 5) == 1


# ---- training, on the tiny study's rooms -----------------------------------------------------


def split(data: Path, name: str) -> tuple[Tensor, list[str]]:
    scenes = PreparedSplit(data, name)
    captions = [scenes.caption(n) for n in range(len(scenes))]
    return scenes.batch(range(len(scenes))).image, captions


@torch.no_grad()
def found(encoder: StandInPair, data: Path, name: str, k: int = 1) -> float:
    image, captions = split(data, name)
    return recall(encoder.encode_image(image) @ encoder.encode_text(captions).T, captions, k)


@pytest.fixture(scope="module")
def trained(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pair")
    train_text_pair(data, SMALL, folder / "pair.safetensors", folder / "pair.json")
    return folder / "pair.safetensors"


def test_training_teaches_which_caption_belongs_to_which_image(data: Path, trained: Path) -> None:
    assert found(load_text_pair(trained), data, "train") > 0.8
    assert found(load_text_pair(trained, trained=False), data, "train") < 0.4


def test_the_metrics_are_of_the_pairs_that_are_loaded(data: Path, trained: Path) -> None:
    written = json.loads(trained.with_suffix(".json").read_text())
    captions = split(data, "val")[1]
    assert written == {
        "split": "val",
        "images": 4,
        "steps": 60,
        "chance_at_1": chance(captions, 1),
        "chance_at_5": 1,
        **{
            name: {
                f"recall_at_{k}": found(load_text_pair(trained, is_trained), data, "val", k)
                for k in (1, 5)
            }
            for name, is_trained in (("trained", True), ("untrained", False))
        },
    }


def test_the_control_is_the_pair_that_training_started_from(
    data: Path, trained: Path, tmp_path: Path
) -> None:
    """With a rate too small to change a float32, training leaves the weights as they were."""
    still = SMALL.model_copy(update={"learning_rate": 1e-30, "steps": 2})
    train_text_pair(data, still, tmp_path / "still.safetensors", tmp_path / "still.json")
    control = load_text_pair(trained, trained=False).state_dict()
    for name, tensor in load_text_pair(tmp_path / "still.safetensors").state_dict().items():
        torch.testing.assert_close(tensor, control[name], rtol=0, atol=1e-20)


def test_the_vocabulary_is_that_of_the_training_captions(data: Path, trained: Path) -> None:
    words = {w for caption in split(data, "train")[1] for w in re.findall(r"\w+", caption)}
    encoder = load_text_pair(trained)
    with torch.no_grad():
        unknown = encoder.encode_text(["zebra"])
        for word in sorted(words):
            assert not torch.equal(encoder.encode_text([word]), unknown), word
    with safe_open(trained, framework="pt") as file:
        recipe = json.loads(file.metadata()["text_pair"])
    assert recipe["vocabulary"] == sorted(words), "the order differs between processes"


def test_training_twice_gives_the_same_bytes(data: Path, trained: Path, tmp_path: Path) -> None:
    torch.manual_seed(99)
    state = torch.get_rng_state()
    steps: list[int] = []
    again = tmp_path / "pair.safetensors"
    written = train_text_pair(
        data, SMALL, again, tmp_path / "m.json", lambda done, total, note="": steps.append(done)
    )
    assert again.read_bytes() == trained.read_bytes()
    assert json.loads((tmp_path / "m.json").read_text()) == written
    assert steps == [*range(1, 61)]
    assert torch.equal(torch.get_rng_state(), state)


def test_the_seed_changes_the_start_and_the_batches(data: Path, trained: Path) -> None:
    other = SMALL.model_copy(update={"seed": 1, "steps": 1})
    path = trained.with_name("other.safetensors")
    train_text_pair(data, other, path, path.with_suffix(".json"))
    one, two = (load_text_pair(p, trained=False) for p in (trained, path))
    assert not torch.equal(one.image_head.weight, two.image_head.weight)


def test_the_pair_can_supervise(data: Path, trained: Path) -> None:
    image, captions = split(data, "train")
    loss = TextLoss(load_text_pair(trained))
    text = loss.embed(captions)
    right, wrong = loss(image, text), loss(image, text.roll(1, 0))
    assert right < wrong
    regenerated = torch.zeros_like(image).requires_grad_()
    loss(regenerated, text).backward()
    assert regenerated.grad is not None
    assert regenerated.grad.any()


def test_a_rate_that_breaks_training_is_named(data: Path, tmp_path: Path) -> None:
    broken = SMALL.model_copy(update={"learning_rate": 1e30})
    with pytest.raises(DejaVuError, match=r"step \d+ .* lower text_pair.learning_rate"):
        train_text_pair(data, broken, tmp_path / "pair.safetensors", tmp_path / "pair.json")
    assert not any(tmp_path.iterdir())


def damaged(path: Path, trained: Path, damage: str) -> None:
    tensors: dict[str, Any] = load_file(trained)
    if damage == "truncated":
        path.write_bytes(trained.read_bytes()[:3000])
    elif damage == "foreign":
        save_file(tensors, path)
    elif damage == "other weights":
        recipe = json.dumps({"vocabulary": WORDS, "width": 4, "dimension": 16, "seed": 0})
        save_file(tensors, path, {"text_pair": recipe})


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        ("none", "no such image-text pair"),
        ("truncated", "damaged"),
        ("foreign", ".*'text_pair'"),
        ("other weights", "damaged.* size mismatch"),
    ],
)
def test_files_that_cannot_be_used_are_named(
    damage: str, message: str, trained: Path, tmp_path: Path
) -> None:
    path = tmp_path / "pair.safetensors"
    damaged(path, trained, damage)
    with pytest.raises(CheckpointError, match=rf"pair.safetensors: {message}.*dejavu text-pair"):
        load_text_pair(path)
