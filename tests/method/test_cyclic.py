import copy
import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dejavu.method.cyclic import CyclicLoss


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def network(dropout: float = 0.0) -> nn.Sequential:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        layers = (nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), nn.Dropout(dropout), nn.Conv2d(6, 4, 1))
        return nn.Sequential(*layers).train()


def batch() -> tuple[Tensor, Tensor]:
    g = seeded(1)
    return torch.randn(2, 3, 8, 7, generator=g), torch.randint(4, (2, 6, 5), generator=g)


def test_loss_is_the_distance_of_the_second_prediction() -> None:
    regenerated, label = batch()
    net = network()
    expected = F.cross_entropy(copy.deepcopy(net)(regenerated), label)
    loss = CyclicLoss(F.cross_entropy, gamma=0.3)(net, regenerated, label, seeded())
    assert loss.item() == pytest.approx(0.3 * expected.item(), rel=1e-6)


def test_batch_norm_uses_the_batch_but_its_running_statistics_stay() -> None:
    regenerated, label = batch()
    net = network()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    CyclicLoss(F.cross_entropy)(net, regenerated * 9 + 5, label, seeded()).backward()
    for name, value in net.state_dict().items():
        assert torch.equal(value, before[name]), name
    assert net[1].num_batches_tracked == 0
    # In evaluation mode the running statistics, not the batch's, would normalise.
    trained = CyclicLoss(F.cross_entropy)(net, regenerated * 9 + 5, label, seeded())
    deployed = CyclicLoss(F.cross_entropy)(net.eval(), regenerated * 9 + 5, label, seeded())
    assert trained.item() != pytest.approx(deployed.item(), rel=1e-3)


@pytest.mark.parametrize(
    ("gradient", "to_image", "to_network"),
    [("image", True, False), ("network", False, True), ("both", True, True)],
)
def test_the_gradient_takes_the_stated_path(
    gradient: Any, to_image: bool, to_network: bool
) -> None:
    regenerated, label = batch()
    regenerated.requires_grad_()
    net = network()
    loss = CyclicLoss(F.cross_entropy, gradient=gradient)
    loss(net, regenerated, label, seeded()).backward()
    assert (regenerated.grad is not None) == to_image
    assert all((p.grad is not None) == to_network for p in net.parameters())


def test_paths_sum_to_the_whole_gradient() -> None:
    """Through the network alone, the parameters' gradient is that of an ordinary second pass."""
    regenerated, label = batch()
    grads = []
    for gradient in ("network", "both"):
        net = network()
        CyclicLoss(F.cross_entropy, gradient=gradient)(net, regenerated, label, seeded()).backward()
        grads.append([p.grad for p in net.parameters()])
    ordinary = network()
    F.cross_entropy(ordinary(regenerated), label).backward()
    grads.append([p.grad for p in ordinary.parameters()])
    for a, b, c in zip(*grads, strict=True):
        assert a is not None
        torch.testing.assert_close(a, b)
        torch.testing.assert_close(a, c)


def test_no_gradient_reaches_the_reference() -> None:
    regenerated, _ = batch()
    first = torch.randn(2, 4, 6, 5, requires_grad=True)
    CyclicLoss(F.mse_loss)(network(), regenerated, first, seeded()).backward()
    assert first.grad is None


def test_dropout_of_the_second_pass_has_a_stream_of_its_own() -> None:
    regenerated, label = batch()
    net, loss = network(dropout=0.5), CyclicLoss(F.cross_entropy)
    state = torch.get_rng_state()
    first = loss(net, regenerated, label, seeded(1))
    assert torch.equal(torch.get_rng_state(), state), "advanced the global stream"
    assert torch.equal(loss(net, regenerated, label, seeded(1)), first)
    assert not torch.equal(loss(net, regenerated, label, seeded(2)), first)


def test_it_has_no_state() -> None:
    assert not CyclicLoss(F.cross_entropy).state_dict()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"gamma": -1}, r"gamma=-1: must be finite"),
        ({"gamma": math.inf}, r"gamma=inf: must be finite"),
        ({"gradient": "crm"}, r"gradient='crm': must be 'image', 'network' or 'both'"),
    ],
)
def test_impossible_arguments_are_named(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        CyclicLoss(F.cross_entropy, **arguments)


def test_the_weight_is_all_that_the_unweighted_loss_lacks() -> None:
    network = nn.Conv2d(3, 5, 1)
    regenerated, label = torch.rand(2, 3, 8, 8), torch.randint(5, (2, 8, 8))
    cyclic = CyclicLoss(torch.nn.functional.cross_entropy, gamma=0.5)
    weighted = cyclic(network, regenerated, label)
    torch.testing.assert_close(weighted, 0.5 * cyclic.unweighted(network, regenerated, label))
