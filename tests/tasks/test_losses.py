"""Invariants of every loss of every task."""

from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from dejavu.data.sample import IGNORE_INDEX
from dejavu.tasks.depth import LOSSES as DEPTH_LOSSES
from dejavu.tasks.normals import LOSSES as NORMALS_LOSSES
from dejavu.tasks.segmentation import cross_entropy, ohem_cross_entropy
from tests.support.truths import depths, labels, normals, weights

few = settings(max_examples=15)
Case = tuple[Callable[..., Tensor], Tensor, Tensor]


def cases(seed: int) -> dict[str, Case]:
    return {
        "cross_entropy": (cross_entropy, *labels(seed)),
        "ohem": (ohem_cross_entropy, *labels(seed)),
        **{f"depth-{name}": (loss, *depths(seed)) for name, loss in DEPTH_LOSSES.items()},
        **{f"normals-{name}": (loss, *normals(seed)) for name, loss in NORMALS_LOSSES.items()},
    }


every = pytest.mark.parametrize("name", cases(0))


@every
def test_weights_count_pixels_as_often_as_they_say(name: str) -> None:
    loss, prediction, target = cases(5)[name]
    ones = torch.ones(2, 5, 6, dtype=torch.float64)
    plain = loss(prediction, target, None)
    torch.testing.assert_close(loss(prediction, target, ones), plain)
    torch.testing.assert_close(loss(prediction, target, 7 * ones), plain)
    ones[0] = 0
    alone = loss(prediction[1:], target[1:], None)
    torch.testing.assert_close(loss(prediction, target, ones), alone)
    assert alone != plain


@pytest.mark.parametrize("name", [name for name in cases(0) if name != "ohem"])
def test_a_weight_of_two_is_the_pixel_twice(name: str) -> None:
    """Not so under OHEM, whose choice counts pixels: see tests/tasks/test_segmentation.py."""
    loss, prediction, target = cases(6)[name]
    weight = torch.ones(2, 5, 6, dtype=torch.float64)
    weight[1] = 2
    twice = torch.cat([prediction, prediction[1:]]), torch.cat([target, target[1:]])
    torch.testing.assert_close(loss(prediction, target, weight), loss(*twice, None))


@every
@few
@given(seed=st.integers(0, 10**6))
def test_unknown_pixels_count_for_nothing_whatever_is_predicted(name: str, seed: int) -> None:
    loss, prediction, target = cases(seed)[name]
    weight = weights(seed)
    unknown = (target == IGNORE_INDEX) if target.ndim == 3 else (target == 0).all(1)
    changed = torch.where(unknown.unsqueeze(1), prediction.roll(1, 0) * 3, prediction)
    changed.requires_grad_()
    loss(changed, target, 1 + 99 * unknown).backward()
    torch.testing.assert_close(loss(changed, target, weight), loss(prediction, target, weight))
    assert changed.grad is not None
    assert changed.grad.isfinite().all()
    assert not (changed.grad * unknown.unsqueeze(1)).any()


@every
@pytest.mark.parametrize("nothing", ["truth", "weight"])
def test_without_a_pixel_that_counts_there_is_no_loss_and_no_gradient(
    name: str, nothing: str
) -> None:
    loss, prediction, target = cases(9)[name]
    weight = torch.ones(2, 5, 6, dtype=torch.float64)
    if nothing == "truth":
        target = torch.full_like(target, IGNORE_INDEX if target.ndim == 3 else 0)
    else:
        weight *= 0
    prediction.requires_grad_()
    value = loss(prediction, target, weight)
    value.backward()
    assert value == 0
    assert prediction.grad is not None
    assert not prediction.grad.any()
