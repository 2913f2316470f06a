import numpy as np
import pytest
import torch
from torch import Tensor

from dejavu.data.sample import IGNORE_INDEX, Sample
from dejavu.tasks import TASKS, Depth, Normals, Segmentation, Task

PALETTE = [(0, 0, 0), (255, 0, 0), (0, 255, 0), (0, 0, 255)]


def made(name: str) -> Task:
    return TASKS[name](PALETTE)


def sample(seed: int = 0) -> Sample:
    g = torch.Generator().manual_seed(seed)
    return Sample(
        image=torch.randn(2, 3, 6, 5, generator=g),
        label=torch.randint(0, 4, (2, 6, 5), generator=g),
        depth=torch.rand(2, 1, 6, 5, generator=g) * 5 + 0.5,
        normals=torch.nn.functional.normalize(torch.randn(2, 3, 6, 5, generator=g), dim=1),
    )


def output(task: Task, seed: int = 1) -> Tensor:
    return torch.randn(2, task.channels, 6, 5, generator=torch.Generator().manual_seed(seed))


def masked(target: Tensor) -> Tensor:
    """The target with the first image's truth taken away."""
    changed = target.clone()
    changed[0] = IGNORE_INDEX if target.dtype == torch.int64 else 0
    return changed


@pytest.mark.parametrize("name", TASKS)
def test_conditions_are_bounded_differentiable_and_of_the_right_shape(name: str) -> None:
    task = made(name)
    raw = (output(task) * 50).requires_grad_()
    condition = task.condition(raw)
    assert condition.shape == (2, task.channels, 6, 5)
    assert condition.abs().max() <= 1 + 1e-6
    condition.square().sum().backward()
    assert raw.grad is not None
    assert raw.grad.isfinite().all()


@pytest.mark.parametrize("name", TASKS)
def test_a_perfect_prediction_conditions_as_the_truth_does(name: str) -> None:
    task, batch = made(name), sample()
    target = task.target(batch)
    perfect = {
        "segmentation": lambda: task.encode(target) * 200,
        "depth": lambda: torch.logit((task.encode(target) + 1) / 2),
        "normals": lambda: target * 3,
    }[name]()
    torch.testing.assert_close(task.condition(perfect), task.encode(target), atol=1e-5, rtol=1e-4)
    prediction = task.predict(perfect)
    torch.testing.assert_close(prediction, target, atol=1e-4, rtol=1e-4)
    assert task.loss(perfect, target) < 1e-3
    assert task.error(prediction, target).max() < 1e-3


@pytest.mark.parametrize("name", TASKS)
def test_pixels_without_truth_count_for_nothing(name: str) -> None:
    task, batch = made(name), sample()
    raw = output(task)
    target = masked(task.target(batch))
    torch.testing.assert_close(task.loss(raw, target), task.loss(raw[1:], target[1:]))
    assert task.encode(target)[0].abs().sum() == 0
    assert task.error(task.predict(raw), target)[0].abs().sum() == 0
    assert task.error(task.predict(raw), target)[1].sum() > 0


@pytest.mark.parametrize("name", ["depth", "normals"])
def test_a_batch_without_any_truth_has_no_loss_and_no_gradient(name: str) -> None:
    task, batch = made(name), sample()
    raw = output(task).requires_grad_()
    loss = task.loss(raw, torch.zeros_like(task.target(batch)))
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


def test_depth_predictions_stay_between_the_limits() -> None:
    extreme = torch.tensor([-1e4, 0.0, 1e4]).view(1, 1, 1, 3)
    predicted = Depth().predict(extreme).flatten().tolist()
    assert predicted == pytest.approx([0.1, (0.1 * 20.0) ** 0.5, 20.0], rel=1e-4)


def test_normals_loss_is_one_minus_the_cosine_of_the_angle() -> None:
    raw = torch.tensor([1.0, 1.0, 0.0]).view(1, 3, 1, 1)
    target = torch.tensor([1.0, 0.0, 0.0]).view(1, 3, 1, 1)
    assert Normals().loss(raw, target).item() == pytest.approx(1 - np.cos(np.pi / 4))


def test_segmentation_colours_are_the_palette_and_unknown_is_black() -> None:
    labels = torch.tensor([[[1, 3, IGNORE_INDEX]]])
    assert Segmentation(PALETTE).colour(labels)[0, 0].tolist() == [
        [255, 0, 0],
        [0, 0, 255],
        [0, 0, 0],
    ]


@pytest.mark.parametrize("name", TASKS)
def test_pictures_are_rgb(name: str) -> None:
    task, batch = made(name), sample()
    target = task.target(batch)
    for picture in (task.colour(target), task.colour_error(task.predict(output(task)), target)):
        assert picture.shape == (2, 6, 5, 3)
        assert picture.dtype == torch.uint8


@pytest.mark.parametrize("name", TASKS)
def test_primary_and_boundary_metrics_are_computed(name: str, params) -> None:  # type: ignore[no-untyped-def]
    task, batch = made(name), sample()
    values: dict[str, float] = {}
    for metric in task.metrics(params.evaluation):
        metric.update(task.predict(output(task)), task.target(batch))
        values |= metric.compute()
        assert set(metric.compute()) == {spec.name for spec in metric.specs}
    assert {task.primary, task.boundary} <= set(values)


@pytest.mark.parametrize("name", TASKS)
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


@pytest.mark.parametrize("name", TASKS)
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


def test_a_batch_without_labels_has_no_segmentation_loss() -> None:
    task = made("segmentation")
    raw = output(task).requires_grad_()
    loss = task.loss(raw, torch.full((2, 6, 5), IGNORE_INDEX))
    loss.backward()
    assert loss == 0
    assert raw.grad is not None
    assert not raw.grad.any()
