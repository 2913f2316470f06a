import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from torch import Tensor

from dejavu.metrics.components import ComponentError, count_components
from tests.support.labels import IGNORED, random_labels

few = settings(max_examples=25)


def scored(prediction: Tensor, target: Tensor, classes: int) -> float:
    metric = ComponentError(classes)
    metric.update(prediction, target)
    return metric.compute()["component_error"]


def components_by_hand(labels: np.ndarray, known: np.ndarray, classes: int) -> list[int]:
    return [ndimage.label((labels == c) & known)[1] for c in range(classes)]


@few
@given(seed=st.integers(0, 10**6), classes=st.integers(1, 5))
def test_component_error_counts_as_scipy_does(seed: int, classes: int) -> None:
    prediction, truth = (maps.numpy() for maps in random_labels(seed, classes, (3, 8, 7)))
    total = pairs = 0
    for p, t in zip(prediction, truth, strict=True):
        known = t != IGNORED
        ours, theirs = (components_by_hand(labels, known, classes) for labels in (p, t))
        total += sum(abs(a - b) for a, b in zip(ours, theirs, strict=True))
        pairs += sum(n > 0 for n in theirs)
    maps = torch.from_numpy(prediction), torch.from_numpy(truth)
    value = scored(*maps, classes)
    assert value == pytest.approx(total / pairs)


def test_components_are_joined_by_sides_not_by_corners() -> None:
    diagonal = torch.eye(3, dtype=torch.int64)[None]
    counts = count_components(diagonal, torch.ones_like(diagonal, dtype=torch.bool), 2)
    assert counts.tolist() == [[2, 3]]


def test_ignored_pixels_divide_components_and_are_none() -> None:
    labels = torch.tensor([[[1, 1, 1]]])
    counted = torch.tensor([[[True, False, True]]])
    assert count_components(labels, counted, 2).tolist() == [[0, 2]]


def test_pieces_of_a_class_that_the_image_lacks_raise_the_component_error() -> None:
    truth = torch.zeros(1, 5, 5, dtype=torch.int64)
    truth[0, ::2, ::2] = 1  # nine pieces, of which the prediction has none
    nothing = torch.zeros_like(truth)
    speck = nothing.clone()
    speck[0, 0, 0] = 2
    better = scored(nothing, truth, 3)
    worse = scored(speck, truth, 3)
    assert (better, worse) == (4.5, 5.0)
