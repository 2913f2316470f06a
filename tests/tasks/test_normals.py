import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from dejavu.tasks.normals import LOSSES, Normals, absolute_normals, angular
from tests.support.truths import normals

few = settings(max_examples=15)


def pixels(prediction: Tensor, target: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """The vectors of all pixels, N x C each."""
    ours, truth = (m.movedim(1, -1).flatten(0, 2).numpy() for m in (prediction, target))
    return ours, truth


@few
@given(seed=st.integers(0, 10**6))
def test_normals_losses_are_their_formulas(seed: int) -> None:
    prediction, target = normals(seed)
    ours, truth = pixels(prediction, target)
    known = truth.any(1)
    cosines = (ours * truth)[known].sum(1)
    expected = {
        "cosine": np.mean(1 - cosines),
        "angular": np.mean(np.arccos(cosines)),
        "l1": np.abs(ours - truth)[known].mean(),
    }
    found = {name: loss(prediction, target, None).item() for name, loss in LOSSES.items()}
    assert found == pytest.approx(expected)


def test_l1_of_normals_is_the_mean_over_components_not_their_sum() -> None:
    """A mask that is counted once per pixel, not per component, is off by a factor of 3."""
    prediction, target = normals(3)
    known = (target != 0).any(1, keepdim=True).expand_as(target)
    expected = F.l1_loss(prediction[known], target[known])
    assert absolute_normals(prediction, target).item() == pytest.approx(expected.item())


@pytest.mark.parametrize("angle", [0.0, 1e-6, 1e-3, 1.0, math.pi - 1e-3, math.pi])
def test_angles_are_exact_and_their_gradient_finite_at_both_ends(angle: float) -> None:
    """In fp32, where an arc cosine cannot resolve angles below 3e-4 and has no gradient at 0."""
    vector = torch.tensor([math.cos(angle), math.sin(angle), 0.0]).view(1, 3, 1, 1)
    vector.requires_grad_()
    loss = angular(vector, torch.tensor([1.0, 0.0, 0.0]).view(1, 3, 1, 1))
    loss.backward()
    assert loss.item() == pytest.approx(angle, rel=1e-5, abs=1e-7)
    assert vector.grad is not None
    assert vector.grad.isfinite().all()
    if 0 < angle < math.pi:
        across = torch.tensor([-math.sin(angle), math.cos(angle), 0.0])
        assert (vector.grad.flatten() @ across).item() == pytest.approx(1, rel=1e-3)


def test_angles_to_unknown_or_missing_vectors_have_finite_gradients() -> None:
    prediction = torch.zeros(1, 3, 1, 2, requires_grad=True)
    target = torch.tensor([[0.0, 0.0, 0.0], [1.0, 0.0, 0.0]]).T.reshape(1, 3, 1, 2)
    loss = angular(prediction, target)
    loss.backward()
    assert loss.item() == pytest.approx(math.pi / 2)
    assert prediction.grad is not None
    assert prediction.grad.isfinite().all()
    assert not prediction.grad[..., 0].any()


def test_normals_loss_is_one_minus_the_cosine_of_the_angle() -> None:
    raw = torch.tensor([1.0, 1.0, 0.0]).view(1, 3, 1, 1)
    target = torch.tensor([1.0, 0.0, 0.0]).view(1, 3, 1, 1)
    assert Normals().loss(raw, target).item() == pytest.approx(1 - np.cos(np.pi / 4))


def test_unit_vectors_are_averaged() -> None:
    apart = torch.tensor([[5.0, 0, 0], [0, 1.0, 0]]).view(2, 3, 1, 1)
    middle = Normals().decide(Normals().soft(apart).mean(0, keepdim=True)).flatten().tolist()
    assert middle == pytest.approx([math.sqrt(0.5), math.sqrt(0.5), 0])


def test_edges_are_where_normals_turn() -> None:
    vectors = torch.eye(3)[[0, 0, 1, 1]].T.view(1, 3, 1, 4).expand(1, 3, 3, 4)
    assert Normals().edges(vectors).tolist() == [[[False, True, True, False]] * 3]


def test_a_normal_has_no_hard_mask() -> None:
    assert Normals().harden(torch.zeros(1, 3, 2, 2)) is None
