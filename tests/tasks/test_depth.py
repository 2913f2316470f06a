import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dejavu.config.tasks import DepthParams
from dejavu.data.sample import Batch
from dejavu.study.run import Run
from dejavu.tasks.depth import LOSSES, Depth, berhu, silog
from dejavu.training.batches import StepBatch
from dejavu.training.step import TrainingModule
from tests.support.studies import tiny_params
from tests.support.tasks import BINS, HEADS, output, sample
from tests.support.truths import depths

few = settings(max_examples=15)


@few
@given(seed=st.integers(0, 10**6))
def test_depth_losses_are_their_formulas(seed: int) -> None:
    prediction, target = depths(seed)
    known = target.numpy() > 0
    d, g = prediction.numpy()[known], target.numpy()[known]
    e, x = np.log(d / g), np.abs(d - g)
    c = 0.2 * x.max()
    expected = {
        "silog": np.sqrt(np.var(e) + 0.15 * np.mean(e) ** 2 + 1e-8),
        "berhu": np.mean([v if v <= c else (v**2 + c**2) / (2 * c) for v in x]),
        "l1": np.mean(x),
    }
    found = {name: loss(prediction, target, None).item() for name, loss in LOSSES.items()}
    assert found == pytest.approx(expected)


def test_berhu_takes_its_threshold_from_the_whole_batch_without_gradient() -> None:
    truth = torch.ones(2, 1, 1, 2, dtype=torch.float64)
    errors = torch.tensor([0.1, 0.3, 4.0, 10.0], dtype=torch.float64).view(2, 1, 1, 2)
    prediction = (truth + errors).requires_grad_()
    loss = berhu(prediction, truth)
    loss.backward()
    assert loss.item() == pytest.approx((0.1 + 0.3 + (16 + 4) / 4 + (100 + 4) / 4) / 4)
    assert prediction.grad is not None
    assert prediction.grad.flatten().tolist() == pytest.approx([0.25, 0.25, 0.5, 1.25])


def test_berhu_has_a_gradient_where_every_error_is_none() -> None:
    prediction = torch.ones(1, 1, 2, 2, requires_grad=True)
    loss = berhu(prediction, torch.ones(1, 1, 2, 2))
    loss.backward()
    assert loss == 0
    assert prediction.grad is not None
    assert prediction.grad.isfinite().all()


def test_silog_forgives_scale_but_not_entirely() -> None:
    _, target = depths(1)
    target = target.where(target > 0, 1)
    for scale in (0.5, 3.0):
        expected = math.sqrt(0.15) * abs(math.log(scale))
        assert silog(target * scale, target).item() == pytest.approx(expected, rel=1e-6)


def test_depth_loss_is_the_formula() -> None:
    task, batch = Depth(), sample()
    raw = output(task)
    error = np.log(task.predict(raw).numpy()) - np.log(batch.depth.numpy())
    expected = np.sqrt(np.var(error) + 0.15 * np.mean(error) ** 2)
    assert task.loss(raw, batch.depth).item() == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize(
    ("head", "middle"), [("log", math.sqrt(0.5 * 80)), ("linear", (0.5 + 80) / 2)]
)
def test_depth_predictions_stay_between_the_limits(head: str, middle: float) -> None:
    extreme = torch.tensor([-1e4, 0.0, 1e4]).view(1, 1, 1, 3)
    task = Depth({"head": head, "near": 0.5, "far": 80.0})
    assert task.predict(extreme).flatten().tolist() == pytest.approx([0.5, middle, 80.0], rel=1e-4)
    assert task.condition(extreme).flatten().tolist() == pytest.approx(
        [-1, 2 * math.log(middle / 0.5) / math.log(160) - 1, 1], abs=1e-5
    )


def test_bins_are_even_on_a_log_scale_and_their_expectation_is_predicted() -> None:
    task = Depth(DepthParams(**HEADS["bins"]))
    raw = output(task)
    shares = np.exp(raw.double().numpy())
    shares /= shares.sum(1, keepdims=True)
    depths = np.einsum("bchw,c->bhw", shares, np.geomspace(0.1, 20, BINS))
    positions = np.einsum("bchw,c->bhw", shares, np.linspace(-1, 1, BINS))
    np.testing.assert_allclose(task.predict(raw)[:, 0].numpy(), depths, rtol=1e-5)
    np.testing.assert_allclose(task.condition(raw)[:, 0].numpy(), positions, atol=1e-6)


def test_a_sure_bin_conditions_as_its_depth_does() -> None:
    task = Depth(HEADS["bins"])
    sure = 200 * torch.eye(BINS).view(BINS, BINS, 1, 1)
    torch.testing.assert_close(task.condition(sure), task.encode(task.predict(sure)))
    assert task.predict(sure).flatten()[[0, -1]].tolist() == pytest.approx([0.1, 20.0])


@pytest.mark.parametrize("loss", ["silog", "berhu", "l1"])
@pytest.mark.parametrize("head", HEADS)
def test_every_head_learns_its_truth_by_every_loss(head: str, loss: str) -> None:
    """Also with logits that make all depths nearly the same at first."""
    task, batch = Depth(HEADS[head] | {"loss": loss}), sample()
    raw = (output(task) * 0.01).requires_grad_()
    optimizer = torch.optim.Adam([raw], lr=0.1)
    for _ in range(200):
        optimizer.zero_grad()
        task.loss(raw, batch.depth).backward()
        optimizer.step()
    relative = ((task.predict(raw) - batch.depth).abs() / batch.depth).mean()
    assert relative < 0.05


def test_metres_are_averaged_not_their_logarithms() -> None:
    near_and_far = torch.tensor([-1e4, 1e4]).view(2, 1, 1, 1)
    mean = Depth().decide(Depth().soft(near_and_far).mean(0)).item()
    assert mean == pytest.approx((0.1 + 20) / 2)


def test_edges_are_where_depth_jumps() -> None:
    depth = torch.tensor([2.0, 2.0, 3.0, 3.0]).expand(1, 1, 3, 4)
    assert Depth().edges(depth).tolist() == [[[False, True, True, False]] * 3]


def test_a_depth_has_no_hard_mask() -> None:
    assert Depth().harden(torch.zeros(1, 1, 2, 2)) is None


CONDITIONS = ("live", "detached", "ground_truth", "zeros")


@pytest.mark.parametrize(
    ("condition", "attention"),
    [*((c, a) for c in CONDITIONS for a in (False, True)), ("features", False)],
)
def test_an_output_of_more_channels_than_the_condition_trains(
    condition: str, attention: bool
) -> None:
    blocks = {"name": "random_blocks", "block": 8, "keep": 0.3}
    loss = {"redaction": blocks, "gamma": 0.5, "condition": condition}
    method: dict[str, Any] = {"dejavu": loss}
    if attention:
        method["attention"] = {"redaction": blocks, "width": 8}
    params = tiny_params(methods={"baseline": {}, "arm": method})
    task = Depth(HEADS["bins"])
    module = TrainingModule(Run(params, "depth", "fpn", "arm", 0), task, torch.device("cpu"))
    generator = torch.Generator().manual_seed(0)
    batch = Batch(
        image=torch.rand(4, 3, 64, 64, generator=generator),
        label=torch.zeros(4, 64, 64, dtype=torch.int64),
        depth=torch.rand(4, 1, 64, 64, generator=generator) * 8,
        normals=torch.zeros(4, 3, 64, 64),
    )
    losses = module.losses(StepBatch(batch, torch.arange(4)), 0)
    sum(losses.values(), torch.zeros(())).backward()
    assert set(losses) == {"task", "dejavu"}
    assert all(bool(loss.isfinite()) and bool(loss > 0) for loss in losses.values())
