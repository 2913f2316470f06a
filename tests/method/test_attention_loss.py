"""The DejaVu loss of shared attention: regeneration by the network itself."""

import copy

import pytest
import torch
from torch import Tensor, nn

from dejavu.method.attention import SharedAttention, SharedAttentionLoss
from dejavu.method.redaction import HighPass, RandomBlocks, Redaction


def attention(redaction: Redaction) -> SharedAttention:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 4, 1))
        return SharedAttention(network, "2", 4, redaction, width=8)


def image(seed: int = 1) -> Tensor:
    return torch.randn(2, 3, 12, 16, generator=torch.Generator().manual_seed(seed))


BLOCKS = RandomBlocks(4, 0.3)


def test_it_compares_what_attention_regenerated_over_removed_pixels() -> None:
    model = attention(BLOCKS)
    criterion = SharedAttentionLoss(model, gamma=0.3)
    prediction = model(image(), torch.Generator().manual_seed(2))
    loss = criterion(image(), prediction)
    made = model.regenerate(prediction.softmax(1))
    assert made.keep is not None
    removed = (made.keep == 0).expand_as(image())
    expected = (made.regenerated - image())[removed].square().mean()
    assert loss.item() == pytest.approx(0.3 * expected.item(), rel=1e-5)


def test_a_spectral_redaction_is_compared_everywhere() -> None:
    model = attention(HighPass(0.2))
    criterion = SharedAttentionLoss(model)
    prediction = model(image())
    made = model.regenerate(prediction.softmax(1))
    expected = (made.regenerated - image()).square().mean()
    assert criterion(image(), prediction).item() == pytest.approx(expected.item(), rel=1e-5)


def test_gradients_reach_the_network_and_its_attention() -> None:
    model = attention(BLOCKS)
    SharedAttentionLoss(model)(image(), model(image())).backward()
    for name in ("network.0.weight", "network.2.weight", "query.weight", "write.weight"):
        grad = model.get_parameter(name).grad
        assert grad is not None, name
        assert grad.any(), name


def test_it_has_no_parameters_of_its_own() -> None:
    criterion = SharedAttentionLoss(attention(BLOCKS))
    assert not list(criterion.parameters())
    assert not criterion.state_dict()


def test_another_image_than_the_last_is_refused() -> None:
    model = attention(BLOCKS)
    criterion = SharedAttentionLoss(model)
    prediction = model(image())
    criterion(image(), prediction)  # the same image at another address is the same
    with pytest.raises(ValueError, match=r"image differs from the network's last input"):
        criterion(image(5), prediction)


def test_before_a_forward_pass_there_is_nothing_to_regenerate() -> None:
    model = attention(BLOCKS)
    with pytest.raises(RuntimeError, match=r"needs a forward pass"):
        SharedAttentionLoss(model).loss_from_condition(image(), torch.zeros(2, 4, 12, 16))


def test_a_copy_has_an_attention_of_its_own() -> None:
    model = attention(BLOCKS)
    pair = nn.ModuleDict({"model": model})
    twin = copy.deepcopy((pair, SharedAttentionLoss(model)))
    prediction = twin[0]["model"](image())
    twin[1](image(), prediction).backward()
    assert all(p.grad is None for p in model.parameters())
