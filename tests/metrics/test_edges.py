import math
from itertools import product

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dejavu.metrics.edges import (
    check_width,
    depth_edges,
    distance_to,
    label_changes,
    normal_edges,
    same_label_within,
)

few = settings(max_examples=20)


def pixels(image: np.ndarray) -> list[tuple[int, int]]:
    return [(int(y), int(x)) for y, x in np.argwhere(image)]


@few
@given(seed=st.integers(0, 10**6))
def test_distance_is_the_nearest_of_all_marked_pixels(seed: int) -> None:
    marked = np.random.default_rng(seed).random((3, 7, 9)) < 0.08
    marked[1] = False
    distances = distance_to(torch.from_numpy(marked)).numpy()
    for image, found in zip(marked, distances, strict=True):
        for point in product(range(7), range(9)):
            nearest = min((math.dist(point, p) for p in pixels(image)), default=math.inf)
            assert found[point] == np.float32(nearest)


@few
@given(seed=st.integers(0, 10**6), radius=st.integers(0, 4))
def test_same_label_within_is_that_of_all_pairs_of_pixels(seed: int, radius: int) -> None:
    draws = np.random.default_rng(seed)
    labels, others = draws.choice([-1, -1, -1, 0, 1], (2, 2, 6, 7))
    found = same_label_within(torch.from_numpy(labels), torch.from_numpy(others), radius).numpy()
    for index, y, x in np.ndindex(labels.shape):
        label = labels[index, y, x]
        same = pixels(others[index] == label)
        near = any(math.dist((y, x), p) <= radius for p in same)
        assert found[index, y, x] == (label >= 0 and near)


def test_label_changes_are_marked_on_both_sides_and_not_at_corners() -> None:
    labels = torch.tensor([[[0, 0, 0], [0, 0, 0], [0, 0, 1]]])
    assert label_changes(labels, 255).long().tolist() == [[[0, 0, 0], [0, 0, 1], [0, 1, 1]]]


def test_depth_jumps_are_relative_to_the_nearer_and_strict() -> None:
    def edge(a: float, b: float) -> bool:
        return bool(depth_edges(torch.tensor([[[[a], [b]]]])).any())

    assert not edge(1.0, 1.09)
    assert edge(1.0, 1.11)
    assert edge(1.11, 1.0)
    assert not edge(10.0, 10.9)
    assert not edge(4.0, 4.0)
    assert not depth_edges(torch.tensor([[[[4.0, 5.0]]]]), relative=0.25).any()


def test_unknown_depths_and_normals_make_no_edge() -> None:
    assert not depth_edges(torch.tensor([[[[2.0, 0.0, 2.0]]]])).any()
    normals = torch.tensor([[0.0, 0, 1], [0, 0, 0], [0, 1, 0]]).T.view(1, 3, 1, 3)
    assert not normal_edges(normals).any()


@pytest.mark.parametrize("length", [0.01, 1.0, 50.0])
@pytest.mark.parametrize("down", [False, True])
def test_normal_jumps_are_angles_whatever_the_length(length: float, down: bool) -> None:
    for degrees in (0, 15, 19.9, 20.1, 90, 180):
        turn = math.radians(degrees)
        vectors = torch.tensor([[0.0, 0.0, 1.0], [math.sin(turn), 0.0, math.cos(turn)]])
        normals = length * vectors.T.view(1, 3, 1, 2)
        edges = normal_edges(normals.transpose(-1, -2) if down else normals)
        assert edges.all() == edges.any() == (degrees > 20)


def test_a_band_without_width_is_refused() -> None:
    assert check_width(1) == 1
    with pytest.raises(ValueError, match="width=0: must be at least 1 pixel"):
        check_width(0)
