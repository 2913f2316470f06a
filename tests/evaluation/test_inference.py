"""Predictions by protocol: views and windows, against loops in NumPy."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch import Tensor, nn

from dejavu.config import EvaluationParams
from dejavu.datasets.reading.raw import Array
from dejavu.evaluation.inference import infer
from dejavu.tasks.base import Task
from dejavu.tasks.registry import create_task
from tests.support.studies import TINY

PALETTE = [(9, 9, 9)] * 4
HEIGHT, WIDTH = 10, 13


class Network(nn.Module):
    """A convolution that tells left from right, with output at a fraction of the image's size."""

    def __init__(self, task: Task, size: int = 3, stride: int = 1) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.convolution = nn.Conv2d(3, task.channels, size, stride, size // 2)
        self.views: list[Tensor] = []

    def forward(self, image: Tensor) -> Tensor:
        self.views.append(image)
        output: Tensor = 3 * self.convolution(image)
        return output


def image(height: int = HEIGHT, width: int = WIDTH, batch: int = 2) -> Tensor:
    return torch.randn(batch, 3, height, width, generator=torch.Generator().manual_seed(1))


@torch.no_grad()
def predicted(task: Task, network: nn.Module, seen: Tensor, **protocol: Any) -> Array:
    found: Array = infer(network, task, seen, EvaluationParams(**protocol)).numpy()
    return found


@torch.no_grad()
def outputs(network: nn.Module, seen: Array) -> Array:
    output: Array = network(torch.from_numpy(np.ascontiguousarray(seen, np.float32))).numpy()
    return output.astype(np.float64)


# ---- the same in NumPy ---------------------------------------------------------------------------


def softened(task: Task, output: Array) -> Array:
    """Probabilities, metres or unit vectors of an output, B x C x H x W."""
    if task.name == "segmentation":
        soft: Array = np.exp(output) / np.exp(output).sum(1, keepdims=True)
    elif task.name == "normals":
        soft = output / np.sqrt((output**2).sum(1, keepdims=True))
    else:
        near, far = task.settings.near, task.settings.far  # type: ignore[attr-defined]
        soft = near * (far / near) ** (1 / (1 + np.exp(-output)))
    return soft


def decided(task: Task, soft: Array) -> Array:
    if task.name == "segmentation":
        return np.asarray(soft.argmax(1))
    return softened(task, soft) if task.name == "normals" else soft


def turned(task: Task, soft: Array) -> Array:
    """Mirror column by column; a vector to the right becomes one to the left."""
    result = np.empty_like(soft)
    for column in range(soft.shape[3]):
        result[..., column] = soft[..., soft.shape[3] - 1 - column]
    if task.name == "normals":
        result[:, 0] *= -1
    return result


def enlarged(maps: Array, size: Sequence[int]) -> Array:
    """Bilinear between pixel centres, and the nearest value beyond the outer ones."""
    for axis, target in ((2, size[0]), (3, size[1])):
        length = maps.shape[axis]
        position = ((np.arange(target) + 0.5) * length / target - 0.5).clip(0, length - 1)
        low = np.floor(position).astype(int)
        high = np.minimum(low + 1, length - 1)
        weight = (position - low).reshape([-1 if i == axis else 1 for i in range(4)])
        maps = maps.take(low, axis) * (1 - weight) + maps.take(high, axis) * weight
    return maps


def zoomed(seen: Tensor, scale: float) -> Array:
    """Resize images antialiased, as Pillow does."""
    height, width = (round(side * scale) for side in seen.shape[-2:])
    channels = [
        np.asarray(Image.fromarray(c).resize((width, height), Image.Resampling.BILINEAR))
        for c in seen.reshape(-1, *seen.shape[-2:]).numpy()
    ]
    return np.stack(channels).reshape(*seen.shape[:2], height, width)


def averaged(task: Task, network: nn.Module, seen: Tensor, scales: list[float]) -> Array:
    """The mean over scales, mirrored and not."""
    softs = []
    for scale in scales:
        view = zoomed(seen, scale) if scale != 1 else seen.numpy()
        for mirror in (False, True):
            output = enlarged(
                outputs(network, view[..., ::-1] if mirror else view), seen.shape[-2:]
            )
            soft = softened(task, output)
            softs.append(turned(task, soft) if mirror else soft)
    return decided(task, np.mean(softs, axis=0))


def agree(found: Array, expected: Array, tolerance: float = 2e-5) -> None:
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=tolerance, atol=tolerance)


tasks = pytest.mark.parametrize(
    "task", [create_task(name, PALETTE) for name in TINY["tasks"]], ids=TINY["tasks"]
)


# ---- views ---------------------------------------------------------------------------------------


@tasks
def test_one_view_is_the_networks_prediction(task: Task) -> None:
    network = Network(task)
    with torch.no_grad():
        expected = task.predict(network(image())).numpy()
    np.testing.assert_array_equal(predicted(task, network, image()), expected)
    assert len(network.views) == 2
    assert torch.equal(network.views[1], image())


@tasks
def test_small_outputs_are_brought_to_the_images_size(task: Task) -> None:
    network = Network(task, stride=3)
    output = outputs(network, image().numpy())
    assert output.shape[-2:] == (4, 5)
    expected = decided(task, softened(task, enlarged(output, (HEIGHT, WIDTH))))
    agree(predicted(task, network, image()), expected)


@tasks
@pytest.mark.parametrize("stride", [1, 2])
def test_the_mirrored_image_is_averaged_with(task: Task, stride: int) -> None:
    network = Network(task, stride=stride)
    found = predicted(task, network, image(), flip=True)
    agree(found, averaged(task, network, image(), [1.0]))
    assert not np.array_equal(found, predicted(task, network, image()))


@tasks
def test_with_both_views_a_mirrored_image_has_the_mirrored_prediction(task: Task) -> None:
    network = Network(task)
    plain = predicted(task, network, image(), flip=True)
    mirrored = predicted(task, network, image().flip(-1), flip=True)
    expected = turned(task, plain) if task.name != "segmentation" else plain[..., ::-1]
    agree(mirrored, expected)


@tasks
@pytest.mark.parametrize("scales", [[0.5], [0.5, 1.0, 1.75], [2.0]])
def test_scales_are_averaged(task: Task, scales: list[float]) -> None:
    network = Network(task)
    found = predicted(task, network, image(), scales=scales, flip=True)
    agree(found, averaged(task, network, image(), scales), 1e-4)


def test_views_are_those_of_the_protocol() -> None:
    network = Network(create_task("depth", []))
    predicted(create_task("depth", []), network, image(), scales=[0.5, 1.0], flip=True)
    small, small_mirrored, whole, mirrored = network.views
    assert small.shape[-2:] == (5, 6)
    assert torch.equal(small_mirrored, small.flip(-1))
    assert torch.equal(whole, image())
    assert torch.equal(mirrored, image().flip(-1))


def test_probabilities_are_averaged_and_not_logits() -> None:
    """One view is sure of class 0; the other view rules it out, undecided between the rest."""
    task = create_task("segmentation", PALETTE[:3])
    sure, torn = torch.tensor([5.0, 0.0, 0.0]), torch.tensor([-90.0, 1.0, 0.9])
    assert (sure + torn).argmax() == 1

    class Sided(nn.Module):
        def forward(self, seen: Tensor) -> Tensor:
            logits = sure if seen[0, 0, 0, 0] > 0 else torn
            return logits.view(1, 3, 1, 1).expand(-1, -1, *seen.shape[-2:])

    seen = torch.ones(1, 3, 2, 2)
    seen[..., 1] = -1
    assert (predicted(task, Sided(), seen, flip=True) == 0).all()


# ---- windows -------------------------------------------------------------------------------------


def coordinates(height: int, width: int) -> Tensor:
    """An image whose first channels are each pixel's row and column."""
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    return torch.stack([rows, columns, rows * 0]).float().unsqueeze(0)


@settings(max_examples=40)
@given(
    st.tuples(st.integers(1, 20), st.integers(1, 20)),
    st.tuples(st.integers(1, 12), st.integers(1, 12)),
    st.floats(0, 0.99),
)
def test_windows_cover_every_pixel(
    size: tuple[int, int], window: tuple[int, int], overlap: float
) -> None:
    task = create_task("depth", [])
    network = Network(task, size=1)
    predicted(task, network, coordinates(*size), window=window, overlap=overlap)
    count = np.zeros(size, int)
    starts: list[set[int]] = [set(), set()]
    for view in network.views:
        assert view.shape[-2:] == tuple(map(min, size, window))
        rows, columns = view[0, 0].long().numpy(), view[0, 1].long().numpy()
        count[rows, columns] += 1
        starts[0].add(int(rows[0, 0]))
        starts[1].add(int(columns[0, 0]))
    assert (count >= 1).all()
    assert len(network.views) == len(starts[0]) * len(starts[1]), "a window is seen twice"
    for side, length, found in zip(size, window, starts, strict=True):
        steps = np.diff(sorted(found))
        stride = max(1, round(min(side, length) * (1 - overlap)))
        assert (steps[:-1] == stride).all()
        assert (steps <= stride).all()
        assert len(found) == 1 + math.ceil(max(0, side - length) / stride)


@tasks
@pytest.mark.parametrize("window", [(4, 5), (10, 3), (3, 13), (99, 99)])
def test_windows_of_a_pixelwise_network_change_nothing(task: Task, window: tuple[int, int]) -> None:
    network = Network(task, size=1)
    agree(predicted(task, network, image(), window=window), predicted(task, network, image()))


@tasks
def test_a_window_that_is_larger_than_the_image_is_the_whole(task: Task) -> None:
    network = Network(task)
    found = predicted(task, network, image(), window=(HEIGHT, WIDTH + 5))
    np.testing.assert_array_equal(found, predicted(task, network, image()))


@tasks
def test_outputs_of_windows_are_averaged_where_they_overlap(task: Task) -> None:
    network = Network(task)
    found = predicted(task, network, image(), window=(6, 6), overlap=0.5)
    total, count = np.zeros((2, task.channels, HEIGHT, WIDTH)), np.zeros((HEIGHT, WIDTH))
    for top in (0, 3, 4):
        for left in (0, 3, 6, 7):
            area = slice(top, top + 6), slice(left, left + 6)
            total[(..., *area)] += outputs(network, image().numpy()[(..., *area)])
            count[area] += 1
    assert count.max() > 2
    agree(found, decided(task, softened(task, total / count)))


@tasks
def test_windows_go_with_the_views(task: Task) -> None:
    network = Network(task, size=1)
    views = {"scales": [1.0, 1.5], "flip": True}
    whole = predicted(task, network, image(), **views)
    agree(predicted(task, network, image(), window=(6, 7), **views), whole)
