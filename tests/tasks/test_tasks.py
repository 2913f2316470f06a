import math
from typing import Any

import numpy as np
import pytest
import torch
from skimage.transform import resize

from dejavu.config.tasks import DepthParams, NormalsParams, SegmentationParams
from dejavu.data.sample import IGNORE_INDEX, Batch
from dejavu.study.run import Run
from dejavu.tasks.base import TASKS, Depth, Normals, Segmentation, create_task
from dejavu.training.batches import StepBatch
from dejavu.training.step import TrainingModule
from tests.support.studies import tiny_params
from tests.support.tasks import BINS, HEADS, PALETTE, every, made, masked, output, sample


@every
def test_conditions_are_bounded_differentiable_and_of_the_right_shape(name: str) -> None:
    task = made(name)
    raw = (output(task) * 50).requires_grad_()
    condition = task.condition(raw)
    assert condition.shape == (2, task.condition_channels, 6, 5)
    assert condition.shape == task.encode(task.target(sample())).shape
    assert condition.abs().max() <= 1 + 1e-6
    condition.square().sum().backward()
    assert raw.grad is not None
    assert raw.grad.isfinite().all()


@pytest.mark.parametrize("name", [*TASKS, "depth-linear"])
def test_a_perfect_prediction_conditions_as_the_truth_does(name: str) -> None:
    task, batch = made(name), sample()
    target = task.target(batch)
    perfect = {
        "segmentation": lambda: task.encode(target) * 200,
        "depth": lambda: torch.logit((task.encode(target) + 1) / 2),
        "normals": lambda: target * 3,
        "depth-linear": lambda: torch.logit((target - 0.1) / 19.9),
    }[name]()
    torch.testing.assert_close(task.condition(perfect), task.encode(target), atol=1e-5, rtol=1e-4)
    prediction = task.predict(perfect)
    torch.testing.assert_close(prediction, target, atol=1e-4, rtol=1e-4)
    assert task.loss(perfect, target) < 1e-3


@every
def test_pixels_without_truth_count_for_nothing(name: str) -> None:
    task, batch = made(name), sample()
    raw = output(task)
    target = masked(task.target(batch))
    torch.testing.assert_close(task.loss(raw, target), task.loss(raw[1:], target[1:]))
    assert task.encode(target)[0].abs().sum() == 0


@every
def test_a_batch_without_any_truth_has_no_loss_and_no_gradient(name: str) -> None:
    task, batch = made(name), sample()
    raw, target = output(task).requires_grad_(), task.target(batch)
    unknown = IGNORE_INDEX if target.dtype == torch.int64 else 0
    loss = task.loss(raw, torch.full_like(target, unknown))
    loss.backward()
    assert loss == 0
    assert raw.grad is not None
    assert raw.grad.abs().sum() == 0


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


def test_each_loss_of_params_is_a_loss_of_its_own() -> None:
    settings: dict[str, list[dict[str, Any]]] = {
        "segmentation": [{}, {"loss": "ohem"}, {"loss": "ohem", "ohem_threshold": 0.1}],
        "depth": [{}, {"loss": "berhu"}, {"loss": "l1"}],
        "normals": [{}, {"loss": "angular"}, {"loss": "l1"}],
    }
    for name, choices in settings.items():
        tasks = [create_task(name, PALETTE, choice) for choice in choices]
        raw, target = output(tasks[0]), tasks[0].target(sample())
        assert len({task.loss(raw, target).item() for task in tasks}) == len(choices), name


def test_defaults_are_those_of_no_settings() -> None:
    for name, section in (
        ("segmentation", SegmentationParams()),
        ("depth", DepthParams()),
        ("normals", NormalsParams()),
    ):
        raw, target = output(made(name)), made(name).target(sample())
        plain = TASKS[name](PALETTE)
        for settings in (None, {}, section, section.model_dump()):
            task = create_task(name, PALETTE, settings)
            assert type(task) is type(plain)
            assert torch.equal(task.loss(raw, target), plain.loss(raw, target))
            assert torch.equal(task.predict(raw), plain.predict(raw))


def test_what_is_no_task_or_no_setting_of_it_is_refused() -> None:
    with pytest.raises(ValueError, match="name='edges': no such task; known: segmentation, depth"):
        create_task("edges", PALETTE)
    with pytest.raises(ValueError, match="unknown key 'loos'; did you mean 'loss'"):
        create_task("depth", PALETTE, {"loos": "l1"})
    with pytest.raises(ValueError, match="DepthParams"):
        create_task("depth", PALETTE, NormalsParams())
    with pytest.raises(ValueError, match=r"near \(3.0\) must be below far \(2.0\)"):
        create_task("depth", PALETTE, {"near": 3.0, "far": 2.0})


@every
def test_a_decided_soft_prediction_is_the_prediction(name: str) -> None:
    task = made(name)
    raw = output(task)
    soft = task.soft(raw)
    assert soft.shape == (2, task.condition_channels, 6, 5)
    torch.testing.assert_close(task.decide(soft), task.predict(raw))


def test_soft_predictions_are_what_is_averaged() -> None:
    seg = Segmentation(PALETTE)
    logits = torch.tensor([[20.0, 0, 0, 0], [0, 5.0, 0, 0], [0, 5.0, 0, 0]]).view(3, 4, 1, 1)
    assert seg.decide(seg.soft(logits).mean(0, keepdim=True)).item() == 1  # of logits: class 0
    near_and_far = torch.tensor([-1e4, 1e4]).view(2, 1, 1, 1)
    mean = Depth().decide(Depth().soft(near_and_far).mean(0)).item()
    assert mean == pytest.approx((0.1 + 20) / 2)  # of metres, not of their logarithms
    apart = torch.tensor([[5.0, 0, 0], [0, 1.0, 0]]).view(2, 3, 1, 1)
    middle = Normals().decide(Normals().soft(apart).mean(0, keepdim=True)).flatten().tolist()
    assert middle == pytest.approx([math.sqrt(0.5), math.sqrt(0.5), 0])


@every
def test_mirrored_predictions_fit_mirrored_truths(name: str) -> None:
    """The mirror of samples is the oracle: it negates n_x."""
    task, batch = made(name), sample()
    chosen = torch.tensor([True, True])
    soft = task.soft(output(task))
    assert torch.equal(task.mirror(task.mirror(soft)), soft)
    encoded, mirrored = (task.encode(task.target(s)) for s in (batch, batch.flip(chosen)))
    assert torch.equal(task.mirror(encoded), mirrored)
    assert not torch.equal(mirrored, encoded)


@every
@pytest.mark.parametrize("size", [(12, 10), (6, 5), (9, 11)])
def test_outputs_are_resized_between_pixel_centres(name: str, size: tuple[int, int]) -> None:
    task = made(name)
    raw = output(task).double()
    resized = task.resize(raw, size)
    assert resized.shape == (2, task.channels, *size)
    for channel, found in zip(raw[0].numpy(), resized[0].numpy(), strict=True):
        expected = resize(channel, size, order=1, mode="edge", anti_aliasing=False)
        np.testing.assert_allclose(found, expected, atol=1e-9)


CONDITIONS = ("live", "detached", "ground_truth", "zeros")


@pytest.mark.parametrize(
    ("condition", "attention"),
    [*((c, a) for c in CONDITIONS for a in (False, True)), ("features", False)],
)
def test_an_output_of_more_channels_than_the_condition_trains(
    condition: str, attention: bool
) -> None:
    blocks = {"name": "random_blocks", "block": 8, "keep": 0.3}
    loss = {"redaction": blocks, "gamma": dict.fromkeys(TASKS, 0.5), "condition": condition}
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


def test_normals_loss_is_one_minus_the_cosine_of_the_angle() -> None:
    raw = torch.tensor([1.0, 1.0, 0.0]).view(1, 3, 1, 1)
    target = torch.tensor([1.0, 0.0, 0.0]).view(1, 3, 1, 1)
    assert Normals().loss(raw, target).item() == pytest.approx(1 - np.cos(np.pi / 4))


@every
def test_weights_count_pixels_as_often_as_they_say(name: str) -> None:
    """A weight of 2 is the pixel twice, a weight of 0 is no pixel, and scale does not matter."""
    task, batch = made(name), sample()
    raw, target = output(task), task.target(batch)
    weight = torch.ones(2, 6, 5)
    torch.testing.assert_close(task.loss(raw, target, weight), task.loss(raw, target))
    torch.testing.assert_close(task.loss(raw, target, weight * 7), task.loss(raw, target))
    weight[0] = 0
    torch.testing.assert_close(task.loss(raw, target, weight), task.loss(raw[1:], target[1:]))
    twice = torch.cat([raw, raw[1:]]), torch.cat([target, target[1:]])
    weight[0], weight[1] = 1, 2
    torch.testing.assert_close(task.loss(raw, target, weight), task.loss(*twice))


@every
def test_unknown_pixels_count_for_nothing_whatever_their_weight(name: str) -> None:
    task, batch = made(name), sample()
    raw, target = output(task), masked(task.target(batch))
    weight = torch.ones(2, 6, 5)
    weight[0] = 100
    torch.testing.assert_close(task.loss(raw, target, weight), task.loss(raw[1:], target[1:]))


def test_edges_are_where_the_truth_of_the_task_jumps() -> None:
    halves = {
        "segmentation": torch.tensor([0, 0, 1, 1]).expand(1, 3, 4),
        "depth": torch.tensor([2.0, 2.0, 3.0, 3.0]).expand(1, 1, 3, 4),
        "normals": torch.eye(3)[[0, 0, 1, 1]].T.view(1, 3, 1, 4).expand(1, 3, 3, 4),
    }
    for name, target in halves.items():
        edges = made(name).edges(target)
        assert edges.tolist() == [[[False, True, True, False]] * 3], name


def test_hard_masks_are_the_argmax_and_other_tasks_have_none() -> None:
    task = made("segmentation")
    soft = task.condition(output(task))
    hard = task.harden(soft)
    assert hard is not None
    np.testing.assert_array_equal(
        hard.numpy(), np.eye(4)[soft.numpy().argmax(1)].transpose(0, 3, 1, 2)
    )
    assert hard.dtype == soft.dtype
    for name in ("depth", "normals"):
        assert made(name).harden(torch.zeros(1, 3, 2, 2)) is None
