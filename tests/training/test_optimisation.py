"""Optimisers by their papers' formulas, rates by torch's schedules and by their own."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from dejavu.config import NetworkParams, TrainParams
from dejavu.networks.registry import create_model
from dejavu.runtime.errors import ParamsError
from dejavu.runtime.torchvision_import import import_torchvision
from dejavu.training.optimisation import create_optimizer, learning_rate, set_rate

GRADIENTS = np.array([[0.5, -2.0, 1.0], [0.1, 0.0, -3.0], [-1.0, 0.3, 0.2], [0.4, 0.4, 0.4]])
START = np.array([1.0, -2.0, 0.5])


@pytest.mark.parametrize("steps", [10, 37, 500])
def test_one_cycle_is_torchs(steps: int) -> None:
    params = TrainParams(steps=steps, learning_rate=0.01)
    optimizer = torch.optim.AdamW([nn.Parameter(torch.zeros(1))], lr=0.01)
    oracle = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=0.01, total_steps=steps, cycle_momentum=False
    )
    for step in range(steps):
        assert learning_rate(step, params) == pytest.approx(optimizer.param_groups[0]["lr"])
        optimizer.step()
        oracle.step()


def test_poly_is_torchs() -> None:
    params = TrainParams(steps=20, schedule="poly", learning_rate=0.01)
    optimizer = torch.optim.AdamW([nn.Parameter(torch.zeros(1))], lr=0.01)
    oracle = torch.optim.lr_scheduler.PolynomialLR(optimizer, total_iters=20, power=0.9)
    for step in range(20):
        assert learning_rate(step, params) == pytest.approx(optimizer.param_groups[0]["lr"])
        optimizer.step()
        oracle.step()


def descended(optimizer: str, rates: list[float], momentum: float, decay: float) -> Any:
    """Weights after steps with ``GRADIENTS``, by the formulas of the optimisers' papers."""
    weight, first, second = START.copy(), np.zeros(3), np.zeros(3)
    for step, (rate, gradient) in enumerate(zip(rates, GRADIENTS, strict=True), start=1):
        if optimizer != "adamw":
            gradient = gradient + decay * weight
        else:
            weight = weight - rate * decay * weight
        if optimizer == "sgd":
            first = momentum * first + gradient
            weight = weight - rate * first
            continue
        first = 0.9 * first + 0.1 * gradient
        second = 0.999 * second + 0.001 * gradient**2
        unbiased = first / (1 - 0.9**step), second / (1 - 0.999**step)
        weight = weight - rate * unbiased[0] / (np.sqrt(unbiased[1]) + 1e-8)
    return weight


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw"])
@pytest.mark.parametrize("head_rate", [1.0, 10.0])
def test_optimisers_are_their_papers(optimizer: str, head_rate: float) -> None:
    params = TrainParams.model_validate(
        {"optimizer": optimizer, "momentum": 0.8, "weight_decay": 0.3, "head_rate": head_rate}
        | {"learning_rate": 0.05, "steps": 4, "schedule": "poly", "power": 2, "warmup": 2}
    )
    parts = {name: nn.Linear(3, 1, bias=False).double() for name in ("encoder", "head")}
    model, crm = nn.ModuleDict(parts), nn.Linear(3, 1, bias=False).double()
    layers = {**parts, "crm": crm}
    for layer in layers.values():
        layer.weight.data = torch.from_numpy(START.copy())[None]
    ours = create_optimizer(model, crm, params)
    rates = [learning_rate(step, params) for step in range(4)]
    for rate, gradient in zip(rates, GRADIENTS, strict=True):
        for layer in layers.values():
            layer.weight.grad = torch.from_numpy(gradient)[None]
        set_rate(ours, rate)
        ours.step()
    for name, layer in layers.items():
        factor = head_rate if name == "head" else 1
        expected = descended(optimizer, [factor * rate for rate in rates], 0.8, 0.3)
        np.testing.assert_allclose(layer.weight.detach().numpy()[0], expected, rtol=1e-9)


def groups_of(model: nn.Module, params: TrainParams) -> dict[str, float]:
    """The rate of each parameter, by its name, after a rate of 1 was set."""
    optimizer = create_optimizer(model, None, params)
    set_rate(optimizer, 1.0)
    grouped = [(id(p), group["lr"]) for group in optimizer.param_groups for p in group["params"]]
    names = {id(p): name for name, p in model.named_parameters()}
    assert sorted(names) == sorted(key for key, _ in grouped), "left out, or given twice"
    return {names[key]: rate for key, rate in grouped}


def test_all_but_the_encoder_learns_at_the_heads_rate() -> None:
    import_torchvision()  # or smp's own import of torchvision fails beside a CPU-only torch
    pytest.importorskip("segmentation_models_pytorch")
    network = create_model(NetworkParams(architecture="fpn", encoder="resnet18"), 5)
    encoder = {id(p) for p in network.get_submodule("encoder").parameters()}
    rates = groups_of(network, TrainParams(head_rate=10))
    expected = {n: 1.0 if id(p) in encoder else 10.0 for n, p in network.named_parameters()}
    assert rates == expected
    assert set(expected.values()) == {1.0, 10.0}
    assert set(groups_of(network, TrainParams()).values()) == {1.0}


def test_an_encoder_inside_a_decoder_is_the_decoder() -> None:
    """As in Mask2Former, whose pixel decoder has a transformer encoder, inside another module."""
    layers = {"encoder": nn.Linear(2, 2), "decoder": nn.ModuleDict({"encoder": nn.Linear(2, 2)})}
    rates = groups_of(nn.ModuleDict({"network": nn.ModuleDict(layers)}), TrainParams(head_rate=3))
    assert {name for name, rate in rates.items() if rate == 1} == {
        "network.encoder.weight",
        "network.encoder.bias",
    }


def test_a_rate_for_the_head_needs_an_encoder() -> None:
    with pytest.raises(ParamsError, match=r"train\.head_rate is 10.* set it to 1"):
        create_optimizer(nn.Linear(1, 1), None, TrainParams(head_rate=10))


@pytest.mark.parametrize("power", [0.9, 1.0, 2.5])
@pytest.mark.parametrize("warmup", [0, 1, 7, 29])
def test_poly_warms_up_and_decays_by_its_formula(power: float, warmup: int) -> None:
    params = TrainParams(steps=30, schedule="poly", learning_rate=0.2, power=power, warmup=warmup)
    steps = np.arange(30)
    rise = np.interp(steps, [0, warmup], [1e-3, 1]) if warmup else np.ones(30)
    expected = 0.2 * (1 - steps / 30) ** power * rise
    found = [learning_rate(step, params) for step in range(30)]
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    assert int(np.argmax(found)) <= warmup
