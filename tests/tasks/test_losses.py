"""Losses of the tasks against NumPy, pixel by pixel."""

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from dejavu.data.sample import IGNORE_INDEX
from dejavu.tasks.losses import (
    DEPTH_LOSSES,
    NORMALS_LOSSES,
    absolute_normals,
    angular,
    berhu,
    cross_entropy,
    ohem_cross_entropy,
    silog,
)

few = settings(max_examples=15)
Case = tuple[Callable[..., Tensor], Tensor, Tensor]


def labels(seed: int, classes: int = 4) -> tuple[Tensor, Tensor]:
    """Logits and labels, a fifth of which are unknown."""
    draws = torch.Generator().manual_seed(seed)
    logits = 2 * torch.randn(2, classes, 5, 6, generator=draws, dtype=torch.float64)
    target = torch.randint(classes, (2, 5, 6), generator=draws)
    unknown = torch.rand(2, 5, 6, generator=draws) < 0.2
    return logits, target.masked_fill(unknown, IGNORE_INDEX)


def depths(seed: int) -> tuple[Tensor, Tensor]:
    """Predictions that err by tens of per cent, and truths, a fifth of which are unknown."""
    draws = torch.Generator().manual_seed(seed)
    target = 0.5 + 5 * torch.rand(2, 1, 5, 6, generator=draws, dtype=torch.float64)
    noise = torch.randn(target.shape, generator=draws, dtype=torch.float64)
    known = torch.rand(target.shape, generator=draws) > 0.2
    return target * (0.3 * noise).exp(), target * known


def normals(seed: int) -> tuple[Tensor, Tensor]:
    draws = torch.Generator().manual_seed(seed)
    prediction, target = F.normalize(
        torch.randn(2, 2, 3, 5, 6, generator=draws, dtype=torch.float64), dim=2
    )
    return prediction, target * (torch.rand(2, 1, 5, 6, generator=draws) > 0.2)


def weights(seed: int) -> Tensor:
    """Weights per pixel, some of them 0."""
    draws = torch.rand(2, 5, 6, generator=torch.Generator().manual_seed(seed + 1))
    return (3 * draws - 0.5).clamp(min=0).double()


def pixels(prediction: Tensor, target: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """The vectors of all pixels, N x C each."""
    ours, truth = (m.movedim(1, -1).flatten(0, 2).numpy() for m in (prediction, target))
    return ours, truth


def each_cross_entropy(logits: Tensor, target: Tensor) -> np.ndarray:
    """Cross entropy of the labelled pixels, in order."""
    z = logits.movedim(1, -1).flatten(0, 2).numpy()
    y = target.flatten().numpy()
    known = y != IGNORE_INDEX
    chosen = np.take_along_axis(z[known], y[known, None], 1)[:, 0]
    return np.log(np.exp(z[known]).sum(1)) - chosen


def cases(seed: int) -> dict[str, Case]:
    return {
        "cross_entropy": (cross_entropy, *labels(seed)),
        "ohem": (ohem_cross_entropy, *labels(seed)),
        **{f"depth-{name}": (loss, *depths(seed)) for name, loss in DEPTH_LOSSES.items()},
        **{f"normals-{name}": (loss, *normals(seed)) for name, loss in NORMALS_LOSSES.items()},
    }


every = pytest.mark.parametrize("name", cases(0))


@few
@given(seed=st.integers(0, 10**6))
def test_cross_entropy_is_the_mean_over_labelled_pixels(seed: int) -> None:
    logits, target = labels(seed)
    expected = each_cross_entropy(logits, target).mean()
    assert cross_entropy(logits, target).item() == pytest.approx(expected)


@few
@given(
    seed=st.integers(0, 10**6),
    threshold=st.sampled_from([0.01, 0.3, 0.7]),
    min_kept=st.sampled_from([0.01, 1 / 16, 0.5, 0.9]),
)
def test_ohem_is_the_mean_over_hard_pixels_but_not_too_few(
    seed: int, threshold: float, min_kept: float
) -> None:
    logits, target = labels(seed)
    each = np.sort(each_cross_entropy(logits, target))[::-1]
    hard = max(int((np.exp(-each) < threshold).sum()), int(min_kept * len(each)), 1)
    loss = ohem_cross_entropy(logits, target, threshold=threshold, min_kept=min_kept)
    assert loss.item() == pytest.approx(each[:hard].mean())


def test_easy_pixels_send_no_gradient_under_ohem() -> None:
    logits = torch.tensor([6.0, 1.0, -2.0, 5.0]).view(1, 1, 2, 2)
    logits = torch.cat([logits, torch.zeros_like(logits)], dim=1).requires_grad_()
    ohem_cross_entropy(logits, torch.zeros(1, 2, 2, dtype=torch.int64), threshold=0.5).backward()
    assert logits.grad is not None
    assert logits.grad.ne(0).any(1).tolist() == [[[False, False], [True, False]]]


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
    found = {name: loss(prediction, target, None).item() for name, loss in DEPTH_LOSSES.items()}
    assert found == pytest.approx(expected)


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
    found = {name: loss(prediction, target, None).item() for name, loss in NORMALS_LOSSES.items()}
    assert found == pytest.approx(expected)


def test_l1_of_normals_is_the_mean_over_components_not_their_sum() -> None:
    """A mask that is counted once per pixel, not per component, is off by a factor of 3."""
    prediction, target = normals(3)
    known = (target != 0).any(1, keepdim=True).expand_as(target)
    expected = F.l1_loss(prediction[known], target[known])
    assert absolute_normals(prediction, target).item() == pytest.approx(expected.item())


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


@pytest.mark.parametrize("angle", [0.0, 1e-6, 1e-3, 1.0, math.pi - 1e-3, math.pi])
def test_angles_are_exact_and_their_gradient_finite_at_both_ends(angle: float) -> None:
    """In fp32, in which an arc cosine knows no angle below 3e-4 and has no gradient at 0."""
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
    """Not so under OHEM, whose choice counts pixels: there see the next test."""
    loss, prediction, target = cases(6)[name]
    weight = torch.ones(2, 5, 6, dtype=torch.float64)
    weight[1] = 2
    twice = torch.cat([prediction, prediction[1:]]), torch.cat([target, target[1:]])
    torch.testing.assert_close(loss(prediction, target, weight), loss(*twice, None))


@pytest.mark.parametrize(("threshold", "min_kept"), [(0.7, 1 / 16), (1e-4, 0.5)])
def test_weights_weigh_the_hard_pixels_of_ohem(threshold: float, min_kept: float) -> None:
    """Those below the threshold, or the harder half of the pixels whose weight is not 0."""
    logits, target = labels(8)
    weight = weights(8)
    counted = (target != IGNORE_INDEX) & (weight > 0)
    each = each_cross_entropy(logits, target.where(counted, IGNORE_INDEX))
    kept = max(int((np.exp(-each) < threshold).sum()), int(min_kept * len(each)))
    chosen = np.argsort(-each)[:kept]
    assert 0 < kept < len(each)
    expected = np.average(each[chosen], weights=weight[counted].numpy()[chosen])
    loss = ohem_cross_entropy(logits, target, weight, threshold=threshold, min_kept=min_kept)
    assert loss.item() == pytest.approx(expected)


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
