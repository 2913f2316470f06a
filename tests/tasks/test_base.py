"""Invariants of every task, in each of its variants."""

import numpy as np
import pytest
import torch
from skimage.transform import resize

from dejavu.data.sample import IGNORE_INDEX
from tests.support.tasks import every, made, masked, output, sample


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


@pytest.mark.parametrize("name", ["segmentation", "depth", "normals", "depth-linear"])
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


@every
def test_a_decided_soft_prediction_is_the_prediction(name: str) -> None:
    task = made(name)
    raw = output(task)
    soft = task.soft(raw)
    assert soft.shape == (2, task.condition_channels, 6, 5)
    torch.testing.assert_close(task.decide(soft), task.predict(raw))


@every
def test_mirrored_predictions_fit_mirrored_truths(name: str) -> None:
    """The oracle is the mirroring of samples, which negates n_x."""
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


@every
def test_weights_count_pixels_as_often_as_they_say(name: str) -> None:
    """A weight of 2 counts a pixel twice, 0 leaves it out, and a common factor does not matter."""
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
