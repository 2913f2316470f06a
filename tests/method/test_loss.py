import copy
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dejavu.method.loss import DejaVuLoss, Regeneration, class_probabilities
from dejavu.method.redaction import (
    Blank,
    Checkerboard,
    Identity,
    LowPass,
    RandomBlocks,
    Redaction,
    SparsePixels,
)

CHECKERBOARD = Checkerboard(3)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def criterion(redaction: Redaction = CHECKERBOARD, **arguments: Any) -> DejaVuLoss:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return DejaVuLoss(**{"channels": 4, "redaction": redaction, "width": 8} | arguments)


def batch(height: int = 12, width: int = 10, scale: int = 1) -> tuple[Tensor, Tensor]:
    g = seeded(1)
    image = torch.randn(2, 3, height, width, generator=g)
    return image, torch.randn(2, 4, height // scale, width // scale, generator=g)


def error_by_hand(made: Tensor, image: Tensor, counted: Callable[[int, int, int], bool]) -> float:
    """Mean squared error over the counted pixels (sample, row, column), summed in a loop."""
    total, number = 0.0, 0
    squares = (made.detach().double().numpy() - image.double().numpy()) ** 2
    for sample, row, column in np.ndindex(*image[:, 0].shape):
        if counted(sample, row, column):
            total += float(squares[sample, :, row, column].sum())
            number += image.shape[1]
    return total / number


@pytest.mark.parametrize("region", [None, "removed"])
def test_loss_is_the_mean_over_removed_pixels(region: Any) -> None:
    loss = criterion(gamma=0.3, region=region)
    image, prediction = batch()
    made = loss.regenerate(image, prediction, seeded(7))
    assert made.keep is not None
    keep = made.keep
    expected = error_by_hand(made.regenerated, image, lambda b, y, x: keep[b, 0, y, x] == 0)
    value = loss(image, prediction, seeded(7))
    assert value.shape == ()
    assert value.item() == pytest.approx(0.3 * expected, rel=1e-5)


@pytest.mark.parametrize(
    ("redaction", "region"),
    [(LowPass(0.1), None), (Identity(), None), (Blank(), None), (CHECKERBOARD, "all")],
    ids=repr,
)
def test_loss_is_the_mean_over_all_pixels(redaction: Redaction, region: Any) -> None:
    loss = criterion(redaction, region=region)
    image, prediction = batch()
    made = loss.regenerate(image, prediction, seeded(7))
    expected = error_by_hand(made.regenerated, image, lambda b, y, x: True)
    assert loss(image, prediction, seeded(7)).item() == pytest.approx(expected, rel=1e-5)


def test_regeneration_starts_from_what_the_redaction_left() -> None:
    loss = criterion()
    image, prediction = batch()
    made = loss.regenerate(image, prediction, seeded(3))
    redacted, keep = CHECKERBOARD(image, seeded(3))
    assert torch.equal(made.redacted, redacted)
    assert torch.equal(made.keep, keep)
    expected = loss.crm(redacted, keep, prediction.softmax(1))
    assert torch.equal(made.regenerated, expected)


def enlarged(coarse: np.ndarray[Any, Any], size: tuple[int, int]) -> np.ndarray[Any, Any]:
    """Bilinear interpolation between pixel centres, which lie half a pixel off the corners."""
    result = coarse
    for axis, length in zip((2, 3), size, strict=True):
        known = result.shape[axis]
        centres = (np.arange(length) + 0.5) * known / length - 0.5
        below = np.clip(np.floor(centres).astype(int), 0, known - 1)
        above = np.clip(below + 1, 0, known - 1)
        shape = [1, 1, 1, 1]
        shape[axis] = length
        weight = np.clip(centres - below, 0, 1).reshape(shape)
        result = result.take(below, axis) * (1 - weight) + result.take(above, axis) * weight
    return result


def test_predictions_are_resized_before_they_become_conditions() -> None:
    seen: list[Tensor] = []

    def condition(prediction: Tensor) -> Tensor:
        seen.append(prediction)
        return class_probabilities(prediction)

    image, prediction = batch(12, 8, scale=4)
    loss = criterion(condition=condition)
    value = loss(image, prediction, seeded())
    expected = enlarged(prediction.numpy(), (12, 8))
    np.testing.assert_allclose(seen[0].numpy(), expected, atol=1e-6)
    probabilities = torch.from_numpy(expected).float().softmax(1)
    explicit = loss.loss_from_condition(image, probabilities, seeded())
    assert value.item() == pytest.approx(explicit.item(), rel=1e-5)


def test_gradients_reach_prediction_and_crm_but_not_the_image() -> None:
    loss = criterion()
    image, prediction = batch(scale=2)
    image.requires_grad_()
    prediction.requires_grad_()
    loss(image, prediction, seeded()).backward()
    assert image.grad is None
    assert prediction.grad is not None
    assert (prediction.grad.abs().amax((0, 2, 3)) > 0).all(), "a channel without gradient"
    assert all(p.grad is not None and p.grad.any() for p in loss.parameters())


def test_following_the_gradient_improves_the_regeneration() -> None:
    loss = criterion()
    image, prediction = batch()
    prediction.requires_grad_()
    before = loss(image, prediction, seeded())
    (slope,) = torch.autograd.grad(before, prediction)
    step = 1e-4 * before.item() / slope.square().sum()
    after = loss(image, prediction - step * slope, seeded())
    # To first order, a step along the gradient lowers the loss by step x |gradient|^2.
    assert (before - after).item() == pytest.approx(1e-4 * before.item(), rel=0.1)


def test_a_detached_prediction_leaves_the_network_without_gradient() -> None:
    network, loss = nn.Conv2d(3, 4, 1), criterion()
    image, _ = batch()
    loss(image, network(image).detach(), seeded()).backward()
    assert all(p.grad is None for p in network.parameters())
    assert loss.crm.read.weight.grad is not None


def test_gamma_weighs_the_loss() -> None:
    image, prediction = batch()
    values = [criterion(gamma=g)(image, prediction, seeded()).item() for g in (0.0, 1.0, 2.5)]
    assert values[0] == 0
    assert values[2] == pytest.approx(2.5 * values[1])


def test_equal_draws_give_equal_losses() -> None:
    image, prediction = batch()
    loss = criterion()
    assert torch.equal(loss(image, prediction, seeded(1)), loss(image, prediction, seeded(1)))
    assert not torch.equal(loss(image, prediction, seeded(1)), loss(image, prediction, seeded(2)))


def test_state_holds_the_crm_alone() -> None:
    loss = criterion()
    assert {key.split(".")[0] for key in loss.state_dict()} == {"crm"}
    twin = copy.deepcopy(loss)
    image, prediction = batch()
    assert torch.equal(twin(image, prediction, seeded()), loss(image, prediction, seeded()))


def test_parameters_of_the_condition_are_trained() -> None:
    """A projection of features may stand for the prediction's own channels."""
    loss = criterion(condition=nn.Conv2d(9, 4, 1))
    image, _ = batch()
    loss(image, torch.randn(2, 9, 12, 10, generator=seeded()), seeded()).backward()
    assert isinstance(loss.condition, nn.Conv2d)
    assert loss.condition.weight.grad is not None
    assert loss.condition.weight.grad.any()


@pytest.mark.parametrize("redaction", [CHECKERBOARD, LowPass(0.1)], ids=repr)
def test_under_autocast_the_distance_stays_float32(redaction: Redaction) -> None:
    loss = criterion(redaction)
    image, prediction = batch(scale=2)
    exact = loss(image, prediction, seeded())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        value = loss(image, prediction.bfloat16().requires_grad_(), seeded())
    assert value.dtype == torch.float32
    assert value.item() == pytest.approx(exact.item(), rel=0.02)
    value.backward()


def test_many_pixels_are_counted_exactly_in_half_precision() -> None:
    """bfloat16 holds neither 4095 pixels nor the square of 19."""
    image = torch.zeros(1, 3, 63, 65, dtype=torch.bfloat16)
    keep = torch.zeros(1, 1, 63, 65, dtype=torch.bfloat16)
    made = Regeneration(image, keep, image + 19)
    assert criterion().distance(made, image).item() == pytest.approx(361)


def test_memory_format_does_not_matter() -> None:
    loss = criterion()
    image, prediction = batch()
    plain = loss(image, prediction, seeded())
    last = loss.to(memory_format=torch.channels_last)
    value = last(image.to(memory_format=torch.channels_last), prediction, seeded())
    assert value.item() == pytest.approx(plain.item(), rel=1e-5)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda_agrees_with_the_cpu() -> None:
    loss = criterion()
    image, prediction = batch(scale=2)
    here = loss(image, prediction, seeded())
    there = loss.cuda()(image.cuda(), prediction.cuda(), seeded())
    assert there.item() == pytest.approx(here.item(), rel=1e-3)


def learned(condition: str) -> float:
    """Train a CRM on flat-coloured regions; return its loss on regions it has not seen."""
    palette = torch.tensor([[1.5, -1, 0], [-1, 1, 1], [0, -1.5, 1], [0.5, 1, -1.5]])
    loss = criterion(RandomBlocks(4, 0.3), width=16, depth=3)
    optimizer = torch.optim.AdamW(loss.parameters(), lr=0.01)
    g = seeded(4)

    def scenes() -> Tensor:
        label = torch.randint(4, (8, 4, 4), generator=g)
        label = label.repeat_interleave(4, 1).repeat_interleave(4, 2)
        masks = F.one_hot(label, 4).permute(0, 3, 1, 2).float()
        shown = masks if condition == "ground truth" else torch.zeros_like(masks)
        return loss.loss_from_condition(palette[label].permute(0, 3, 1, 2), shown, g)

    for _ in range(80):
        optimizer.zero_grad()
        scenes().backward()
        optimizer.step()
    with torch.no_grad():
        return sum(scenes().item() for _ in range(4)) / 4


def test_the_condition_is_used_where_it_tells_the_image() -> None:
    told, untold = learned("ground truth"), learned("zeros")
    assert told < 0.25 * untold


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"gamma": -0.1}, r"gamma=-0.1: must be finite and at least 0"),
        ({"gamma": math.nan}, r"gamma=nan: must be finite"),
        ({"region": "some"}, r"region='some': must be 'removed' or 'all'"),
        (
            {"region": "removed", "redaction": LowPass(0.1)},
            r"region='removed': must be 'all' .* for LowPass",
        ),
        ({"region": "removed", "redaction": Identity()}, r"must be 'all' .* for Identity"),
        (
            {"redaction": RandomBlocks(34, 0.3)},
            r"receptive field of 18 pixels .* 34-pixel holes .* raise depth=3 or stride=2",
        ),
        ({"redaction": SparsePixels(0.0001)}, r" 18 pixels .* 100-pixel holes"),
        ({"channels": 0}, r"condition_channels=0: must be a whole number"),
    ],
)
def test_impossible_arguments_are_named(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        criterion(**arguments)


def test_holes_just_smaller_than_the_receptive_field_are_accepted() -> None:
    assert criterion(RandomBlocks(17, 0.3)).crm.receptive_field == 18


def with_value(maps: Tensor, value: float) -> Tensor:
    maps = maps.clone()
    maps[1, 2, 3, 4] = value
    return maps


@pytest.mark.parametrize(
    ("change_image", "change_prediction", "message"),
    [
        (lambda i: with_value(i, math.nan), None, r"image must be finite, .* \(1, 2, 3, 4\)"),
        (None, lambda p: with_value(p, math.inf), r"prediction must be finite, but is inf"),
        (lambda i: i.byte(), None, r"image has dtype torch.uint8"),
        (None, lambda p: p.argmax(1, keepdim=True), r"prediction has dtype torch.int64"),
        (None, lambda p: p[0], r"prediction has shape \(4, 12, 10\)"),
        (None, lambda p: p[:1], r"prediction has 1 samples and image 2"),
        (lambda i: i[:1], None, r"prediction has 2 samples and image 1"),
        (lambda i: i[:, :1], None, r"redacted has shape \(2, 1, 12, 10\); .* \(2, 3, 12, 10\)"),
        (None, lambda p: p[:, :3], r"condition has shape \(2, 3, 12, 10\); .* \(2, 4, 12, 10\)"),
    ],
)
def test_bad_input_is_refused(change_image: Any, change_prediction: Any, message: str) -> None:
    image, prediction = batch()
    image = change_image(image) if change_image else image
    prediction = change_prediction(prediction) if change_prediction else prediction
    with pytest.raises(ValueError, match=message):
        criterion()(image, prediction)


def test_explicit_conditions_are_not_resized() -> None:
    image, _ = batch()
    with pytest.raises(ValueError, match=r"condition has shape \(2, 4, 6, 5\)"):
        criterion().loss_from_condition(image, torch.zeros(2, 4, 6, 5))
    with pytest.raises(ValueError, match=r"condition must be finite, but is nan"):
        criterion().loss_from_condition(image, torch.full((2, 4, 12, 10), math.nan))


def test_a_distance_over_nothing_is_refused() -> None:
    image, _ = batch()
    kept = Regeneration(image, torch.ones(2, 1, 12, 10), image)
    with pytest.raises(ValueError, match=r"compared"):
        criterion().distance(kept, image)
    with pytest.raises(ValueError, match=r"regenerated has shape \(1, 3, 12, 10\)"):
        criterion().distance(Regeneration(image, None, image[:1]), image)


@pytest.mark.parametrize("size", [(12, 10), (6, 5), (4, 4), (4, 3), (3, 3), (3, 2), (1, 1)])
def test_predictions_may_be_coarser_by_a_whole_factor(size: tuple[int, int]) -> None:
    """12 x 10 pixels, divided by 1, 2, 3, 4 or 12, rounded up or down."""
    prediction = torch.randn(2, 4, *size, generator=seeded())
    assert criterion()(batch()[0], prediction, seeded()).isfinite()


@pytest.mark.parametrize("size", [(12, 9), (4, 2), (6, 4), (3, 5), (1, 10), (12, 5)])
def test_predictions_on_another_grid_are_refused(size: tuple[int, int]) -> None:
    prediction = torch.randn(2, 4, *size, generator=seeded())
    with pytest.raises(ValueError, match=r"prediction is .* and image 12 x 10; .* whole factor"):
        criterion()(batch()[0], prediction, seeded())


def test_a_transposed_prediction_is_refused() -> None:
    image, prediction = batch()
    with pytest.raises(ValueError, match=r"prediction is 10 x 12 and image 12 x 10"):
        criterion()(image, prediction.mT)
    with pytest.raises(ValueError, match=r"prediction is 24 x 20 and image 12 x 10"):
        criterion()(image, prediction.repeat(1, 1, 2, 2))


MEAN, STD = (0.5, 0.4, 0.3), (0.25, 0.2, 0.5)


def rgb(side: int = 0) -> tuple[Tensor, Tensor]:
    """Colours in [0, 1] and the same normalised."""
    colours = torch.rand(2, 3, side or 12, side or 10, generator=seeded(3))
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (MEAN, STD))
    return colours, (colours - mean) / std


@pytest.mark.parametrize(("channel", "value"), [(0, 2.1), (1, -2.1), (2, 255)])
def test_images_outside_their_declared_range_are_refused(channel: int, value: float) -> None:
    loss = criterion(mean=MEAN, std=STD)
    _, image = rgb()
    loss(image, batch()[1], seeded())
    image[1, channel, 3, 4] = value
    with pytest.raises(ValueError, match=rf"image has the value {value} in channel {channel}"):
        loss(image, batch()[1], seeded())


def test_a_normalisation_of_other_channels_is_refused() -> None:
    with pytest.raises(ValueError, match=r"mean has 2 values and std 2; image has 3 channels"):
        criterion(mean=MEAN[:2], std=STD[:2])(*batch(), seeded())


def test_terms_are_weighed_and_summed() -> None:
    _, image = rgb(16)
    prediction = batch(16, 16)[1]
    parts = [
        criterion(mean=MEAN, std=STD, distance=terms)(image, prediction, seeded()).item()
        for terms in ({"mse": 1.0}, {"l1": 1.0}, {"ssim": 1.0}, {"mse": 2, "l1": 0.5, "ssim": 3})
    ]
    assert parts[3] == pytest.approx(2 * parts[0] + 0.5 * parts[1] + 3 * parts[2], rel=1e-5)


def test_no_labels_are_needed() -> None:
    """Unlabelled images give the network a gradient; so do pixels without a label."""
    network, loss = nn.Conv2d(3, 4, 1), criterion()
    image, _ = batch()
    prediction = network(image)
    nothing = torch.full((2, 12, 10), 255)
    task_loss = F.cross_entropy(prediction, nothing, ignore_index=255, reduction="sum")
    assert task_loss == 0
    (task_loss + loss(image, prediction, seeded())).backward()
    assert network.weight.grad is not None
    assert network.weight.grad.any()
