import copy
import pickle
import weakref
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from dejavu.method.features import FeatureTap
from dejavu.networks.pyramid import FeaturePyramid


def network() -> nn.Sequential:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(nn.Conv2d(3, 6, 3, stride=2), nn.ReLU(), nn.Conv2d(6, 4, 1))


def images(seed: int = 0) -> Tensor:
    return torch.randn(2, 3, 9, 13, generator=torch.Generator().manual_seed(seed))


def hooks(module: nn.Module) -> int:
    return sum(len(m._forward_pre_hooks) for m in module.modules())


def kept_after_a_pass(module: nn.Module) -> bool:
    """Tell whether the input of the last layer outlives a forward pass and its output."""
    seen: list[weakref.ref[Tensor]] = []
    last = list(module.modules())[-1]
    handle = last.register_forward_pre_hook(lambda _, inputs: seen.append(weakref.ref(inputs[0])))
    module(images())
    handle.remove()
    return seen[0]() is not None


def test_features_are_what_the_head_reads() -> None:
    net = network()
    tap = FeatureTap(net, "2")
    for seed in (0, 1):
        output = net(images(seed))
        assert torch.equal(tap.features, net[1](net[0](images(seed))))
        assert torch.equal(net[2](tap.features), output)
    assert tap.features.shape == (2, 6, 4, 6)


def test_gradients_flow_through_the_features() -> None:
    net = network()
    tap = FeatureTap(net, "2")
    net(images())
    tap.features.square().sum().backward()
    assert net[0].weight.grad is not None
    assert net[0].weight.grad.any()
    assert net[2].weight.grad is None


def test_heads_deep_inside_are_found() -> None:
    net = FeaturePyramid(5, width=4)
    tap, whole = FeatureTap(net, "head.1"), FeatureTap(net, "head")
    net(torch.randn(1, 3, 32, 48))
    assert torch.equal(net.head[0](whole.features), tap.features)
    assert tap.features.shape == (1, 4, 16, 24)


@pytest.mark.parametrize(
    "head", [nn.Conv2d(6, 4, 1), nn.Conv2d(6, 8, 3, groups=2), nn.ConvTranspose2d(6, 4, 2)]
)
def test_channels_of_a_convolution_are_known_beforehand(head: nn.Module) -> None:
    assert FeatureTap(nn.Sequential(nn.ReLU(), head), "1").channels == 6


def test_channels_of_other_heads_are_not_guessed() -> None:
    tap = FeatureTap(FeaturePyramid(5, width=4), "head")
    with pytest.raises(ValueError, match=r"head='head': is a Sequential, .* path of a convolution"):
        _ = tap.channels


@pytest.mark.parametrize(
    ("head", "message"),
    [
        ("head.2", r"head='head.2': .*head\.1"),
        ("classifier", r"head='classifier': .* see network.named_modules\(\)"),
        ("", r"head='': the network has no such submodule"),
    ],
)
def test_unknown_heads_are_refused(head: str, message: str) -> None:
    net = FeaturePyramid(5, width=4)
    with pytest.raises(ValueError, match=message):
        FeatureTap(net, head)
    assert hooks(net) == 0


def test_features_before_a_forward_are_refused() -> None:
    net = network()
    tap = FeatureTap(net, "2")
    with pytest.raises(RuntimeError, match=r"head '2' has not been called; run the network first"):
        _ = tap.features
    net(images())
    tap.release()
    with pytest.raises(RuntimeError, match=r"head '2' has not been called"):
        _ = tap.features


@pytest.mark.parametrize(
    ("positional", "named", "message"),
    [
        ([torch.zeros(3, 8, 8)], {}, r"a tensor of shape \(3, 8, 8\) and dtype torch.float32"),
        ([torch.zeros(1, 3, 8, 8).long()], {}, r"shape \(1, 3, 8, 8\) and dtype torch.int64"),
        ([[torch.zeros(1, 3, 8, 8)]], {}, r"a list; its first"),
        ([], {"input": torch.zeros(1, 3, 8, 8)}, r"no positional argument; its first"),
    ],
)
def test_heads_that_read_no_dense_features_are_refused(
    positional: list[Any], named: dict[str, Any], message: str
) -> None:
    net = nn.Sequential(nn.Identity())
    tap = FeatureTap(net, "0")
    with pytest.raises(ValueError, match=rf"head='0': was called with .*{message}"):
        net[0](*positional, **named)
    with pytest.raises(RuntimeError):
        _ = tap.features


def test_a_tap_leaves_no_trace() -> None:
    net, bare = network(), network()
    tap = FeatureTap(net, "2")
    assert net.state_dict().keys() == bare.state_dict().keys()
    assert torch.equal(net(images()), bare(images()))
    tap.remove()
    assert hooks(net) == 0
    with pytest.raises(RuntimeError):
        _ = tap.features
    assert torch.equal(net(images()), bare(images()))
    assert vars(net).keys() == vars(bare).keys()


def test_one_of_two_taps_can_go() -> None:
    net = network()
    first, second = FeatureTap(net, "2"), FeatureTap(net, "2")
    first.remove()
    net(images())
    assert second.features.shape == (2, 6, 4, 6)


def test_nothing_is_kept_longer_than_needed() -> None:
    net = network()
    tap = FeatureTap(net, "2")
    assert kept_after_a_pass(net)
    old = weakref.ref(tap.features)
    net(images())
    assert old() is None, "the next pass takes its place"
    last = weakref.ref(tap.features)
    tap.release()
    assert last() is None
    del tap
    assert not kept_after_a_pass(net), "nobody can ask for them any more"


def test_a_copy_of_the_network_alone_is_not_tapped() -> None:
    net = network()
    tap = FeatureTap(net, "2")
    net(images())
    before = tap.features
    twins = [copy.deepcopy(net), pickle.loads(pickle.dumps(net))]
    for twin in twins:
        assert torch.equal(twin(images(1)), net[2](net[1](net[0](images(1)))))
        net(images())
        assert torch.equal(tap.features, before), "the copy wrote into the tap of the original"
        assert not kept_after_a_pass(twin)


@pytest.mark.parametrize("network_first", [True, False])
@pytest.mark.parametrize("copied", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
def test_a_copy_of_both_has_a_tap_of_its_own(network_first: bool, copied: Any) -> None:
    net = network()
    tap = FeatureTap(net, "2")
    net(images())
    before = tap.features
    if network_first:
        twin, twin_tap = copied([net, tap])
    else:
        twin_tap, twin = copied([tap, net])
    with pytest.raises(RuntimeError, match="not been called"):
        _ = twin_tap.features
    nn.init.zeros_(twin[0].weight)
    twin(images(1))
    assert tap.features is before
    assert torch.equal(twin_tap.features, twin[1](twin[0](images(1))))
    net(images())
    assert not torch.equal(twin_tap.features, tap.features)
    twin_tap.remove()
    assert (hooks(twin), hooks(net)) == (0, 1)
