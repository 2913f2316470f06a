import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from dejavu.data.sample import IGNORE_INDEX
from dejavu.tasks.segmentation import Segmentation, cross_entropy, ohem_cross_entropy
from tests.support.tasks import PALETTE, made, output
from tests.support.truths import labels, weights

few = settings(max_examples=15)


def each_cross_entropy(logits: Tensor, target: Tensor) -> np.ndarray:
    """Cross entropy of the labelled pixels, in order."""
    z = logits.movedim(1, -1).flatten(0, 2).numpy()
    y = target.flatten().numpy()
    known = y != IGNORE_INDEX
    chosen = np.take_along_axis(z[known], y[known, None], 1)[:, 0]
    return np.log(np.exp(z[known]).sum(1)) - chosen


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


@pytest.mark.parametrize(("threshold", "min_kept"), [(0.7, 1 / 16), (1e-4, 0.5)])
def test_weights_weigh_the_hard_pixels_of_ohem(threshold: float, min_kept: float) -> None:
    """Pixels below the threshold, or the harder half of the pixels whose weight is not 0."""
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


def test_probabilities_are_averaged_not_logits() -> None:
    task = Segmentation(PALETTE)
    logits = torch.tensor([[20.0, 0, 0, 0], [0, 5.0, 0, 0], [0, 5.0, 0, 0]]).view(3, 4, 1, 1)
    assert task.decide(task.soft(logits).mean(0, keepdim=True)).item() == 1  # of logits: class 0


def test_hard_masks_are_the_argmax() -> None:
    task = made("segmentation")
    soft = task.condition(output(task))
    hard = task.harden(soft)
    assert hard is not None
    expected = np.eye(4)[soft.numpy().argmax(1)].transpose(0, 3, 1, 2)
    np.testing.assert_array_equal(hard.numpy(), expected)
    assert hard.dtype == soft.dtype


def test_edges_are_where_labels_change() -> None:
    labels = torch.tensor([0, 0, 1, IGNORE_INDEX]).expand(1, 3, 4)
    assert Segmentation(PALETTE).edges(labels).tolist() == [[[False, True, True, False]] * 3]
