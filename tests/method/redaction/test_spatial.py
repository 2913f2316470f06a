"""Spatial redactions against their definitions, written as loops."""

import itertools
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import scipy.stats
import torch
from hypothesis import given
from hypothesis import strategies as st

from dejavu.method.redaction import (
    Blank,
    Checkerboard,
    GridSample,
    RandomBlocks,
    Redaction,
    SparsePixels,
    SpatialRedaction,
)
from tests.support.redactions import DRAWN, SPATIAL, few, images, masks, seeded, seeds, sides

fills = st.sampled_from(["zero", "mean", "noise"])


# Masks


@pytest.mark.parametrize("redaction", DRAWN, ids=repr)
def test_without_a_generator_torchs_seed_decides(redaction: Redaction) -> None:
    image = images(4, 3, 16, 16)
    made = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        made.append(redaction(image).image)
    assert torch.equal(made[0], made[1])
    assert not torch.equal(made[0], made[2])


@pytest.mark.parametrize("redaction", DRAWN, ids=repr)
def test_images_of_a_batch_have_masks_of_their_own(redaction: Redaction) -> None:
    keep = masks(redaction, 16, 16, 16).flatten(1)
    assert len(keep.unique(dim=0)) > 4


def board(block: int, height: int, width: int, down: int, across: int) -> np.ndarray[Any, Any]:
    kept = np.zeros((height, width), dtype=bool)
    for y, x in itertools.product(range(height), range(width)):
        kept[y, x] = ((y + down) // block + (x + across) // block) % 2 == 0
    return kept


@given(st.integers(1, 4), sides, sides, seeds)
@few
def test_checkerboard_is_a_shifted_board(block: int, height: int, width: int, seed: int) -> None:
    period = range(2 * block)
    boards = [board(block, height, width, *shift) for shift in itertools.product(period, period)]
    for keep in masks(Checkerboard(block), 3, height, width, seed=seed).numpy():
        assert any(np.array_equal(keep, one) for one in boards)
        assert 0 < keep.sum() < keep.size


def test_checkerboard_takes_every_phase() -> None:
    seen = masks(Checkerboard(2), 200, 8, 8).flatten(1).unique(dim=0)
    # 4 x 4 shifts; the shifts (y, x) and (y + 2, x + 2) give the same board.
    assert len(seen) == 8


@given(st.integers(1, 4), st.floats(0.2, 0.8), sides, sides, seeds)
@few
def test_random_blocks_keep_whole_blocks_and_their_exact_number(
    block: int, fraction: float, height: int, width: int, seed: int
) -> None:
    down, across = math.ceil(height / block), math.ceil(width / block)
    expected = round(fraction * down * across)
    for keep in masks(RandomBlocks(block, fraction), 2, height, width, seed=seed).numpy():
        counts = []
        for dy, dx in itertools.product(range(down * block), range(across * block)):
            # NaN stands for what of the cyclic grid lies outside the image.
            grid = np.full((down * block, across * block), np.nan)
            grid[:height, :width] = keep
            shifted = np.roll(grid, (dy, dx), (0, 1))
            cells = shifted.reshape(down, block, across, block).swapaxes(1, 2)
            cells = cells.reshape(down * across, -1)
            low, high = np.nanmin(cells, 1), np.nanmax(cells, 1)
            if (low == high).all():
                counts.append(int(low.sum()))
        assert expected in counts


def test_random_blocks_keep_an_exact_number_of_pixels_where_blocks_fit() -> None:
    keep = masks(RandomBlocks(4, 0.3), 32, 16, 24)
    assert keep.sum((1, 2)).tolist() == [round(0.3 * 24) * 16] * 32


@given(st.floats(0.05, 0.95), sides, sides, seeds)
@few
def test_sparse_pixels_keep_an_exact_number(
    keep: float, height: int, width: int, seed: int
) -> None:
    counts = masks(SparsePixels(keep), 3, height, width, seed=seed).sum((1, 2))
    assert counts.tolist() == [round(keep * height * width)] * 3


@given(st.integers(2, 4), sides, sides, seeds)
@few
def test_grid_sample_is_a_shifted_grid(stride: int, height: int, width: int, seed: int) -> None:
    grids = []
    for down, across in itertools.product(range(stride), range(stride)):
        grid = np.zeros((height, width), dtype=bool)
        for y, x in itertools.product(range(down, height, stride), range(across, width, stride)):
            grid[y, x] = True
        grids.append(grid)
    for keep in masks(GridSample(stride), 3, height, width, seed=seed).numpy():
        assert any(np.array_equal(keep, one) for one in grids)


def test_grid_sample_takes_every_phase_and_one_pixel_of_each_cell() -> None:
    keep = masks(GridSample(3), 200, 9, 12)
    assert len(keep.flatten(1).unique(dim=0)) == 9
    assert keep.view(200, 3, 3, 4, 3).sum((2, 4)).unique().tolist() == [1]


@pytest.mark.parametrize(
    ("redaction", "kept"),
    [
        (Checkerboard(4), 0.5),
        (RandomBlocks(4, 0.25), 0.25),
        (SparsePixels(0.1), 0.1),
        (GridSample(3), 1 / 9),
    ],
    ids=repr,
)
def test_every_pixel_is_kept_equally_often(redaction: Redaction, kept: float) -> None:
    often = masks(redaction, 3000, 16, 16).double().mean(0)
    deviation = math.sqrt(kept * (1 - kept) / 3000)
    assert (often - kept).abs().max() < 4.5 * deviation


def test_holes_and_kinds() -> None:
    holed = (Checkerboard(4), RandomBlocks(8, 0.3), SparsePixels(0.02), SparsePixels(0.25))
    assert [redaction.hole for redaction in holed] == [4, 8, 8, 2]
    assert GridSample(5).hole == 5
    assert Blank().hole == 0
    assert {redaction.kind for redaction in SPATIAL} == {"spatial"}


# Fills


@pytest.mark.parametrize("redaction", SPATIAL, ids=repr)
def test_pixels_are_kept_as_they_are_or_zero(redaction: Redaction) -> None:
    image = images(3, 3, 13, 10)
    redacted, keep = redaction(image, seeded())
    assert keep is not None
    expected = np.where(keep.numpy() == 1, image.numpy(), 0)
    np.testing.assert_array_equal(redacted.numpy(), expected)
    assert not redacted.signbit()[redacted == 0].any(), "zeros of both signs"


@given(st.sampled_from(SPATIAL), fills, sides, sides, seeds, st.booleans())
@few
def test_a_fill_changes_neither_the_mask_nor_what_is_kept(
    redaction: SpatialRedaction, fill: str, height: int, width: int, seed: int, half: bool
) -> None:
    image = images(2, 3, height, width).to(torch.bfloat16 if half else torch.float32)
    image[:, 0] *= 0  # zeros of both signs
    plain = redaction(image, seeded(seed))
    redacted, keep = replace(redaction, fill=fill)(image, seeded(seed))
    assert keep is not None
    assert plain.keep is not None
    assert torch.equal(keep, plain.keep)
    kept = keep.bool().expand_as(image)
    assert torch.equal(redacted[kept], image[kept])
    assert torch.equal(redacted[kept].signbit(), image[kept].signbit())


@given(st.sampled_from(DRAWN), sides, sides, seeds, st.booleans())
@few
def test_mean_fill_is_each_images_and_channels_mean_over_kept_pixels(
    redaction: SpatialRedaction, height: int, width: int, seed: int, half: bool
) -> None:
    image = images(2, 3, height, width) + 5
    image = image.bfloat16() if half else image
    redacted, keep = replace(redaction, fill="mean")(image, seeded(seed))
    assert keep is not None
    for sample, channel in np.ndindex(2, 3):
        kept = keep[sample, 0].bool().numpy()
        pixels = image[sample, channel].double().numpy()
        filling = redacted[sample, channel].double().numpy()[~kept]
        expected = pixels[kept].mean() if kept.any() else 0
        # A bfloat16 has 8 significant bits; sums in bfloat16 would miss by far more than one.
        np.testing.assert_allclose(filling, expected, rtol=2**-8 if half else 1e-6)


def test_means_of_many_half_precision_pixels_are_exact_to_the_last_bit() -> None:
    image = images(2, 3, 64, 48).add(3).bfloat16()
    redacted, keep = Checkerboard(4, fill="mean")(image, seeded())
    assert keep is not None
    kept = keep.double()
    means = (image.double() * kept).sum((2, 3)) / kept.sum((2, 3))
    for sample, channel in np.ndindex(2, 3):
        filling = redacted[sample, channel][~keep[sample, 0].bool()].unique()
        assert filling.tolist() == [means[sample, channel].bfloat16().item()]


def test_mean_fill_takes_nothing_from_removed_pixels() -> None:
    image = images(2, 3, 16, 16)
    redacted, keep = SparsePixels(0.2, fill="mean")(image, seeded())
    assert keep is not None
    changed = torch.where(keep == 1, image, 1e6 * images(2, 3, 16, 16, seed=1))
    assert torch.equal(SparsePixels(0.2, fill="mean")(changed, seeded()).image, redacted)


def test_the_mean_of_nothing_is_zero() -> None:
    assert not Blank(fill="mean")(images(2, 3, 6, 7)).image.any()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_noise_is_drawn_in_float32_from_the_generator(dtype: torch.dtype) -> None:
    image = images(2, 3, 6, 7).to(dtype)
    expected = torch.randn(2, 3, 6, 7, generator=seeded(4)).to(dtype)
    assert torch.equal(Blank(fill="noise")(image, seeded(4)).image, expected)


def test_noise_is_standard_normal_and_independent() -> None:
    redacted, keep = GridSample(4, fill="noise")(torch.zeros(8, 3, 32, 32), seeded())
    assert keep is not None
    removed = keep[:, 0].numpy() == 0
    red, green = (redacted[:, channel].numpy()[removed] for channel in (0, 1))
    assert scipy.stats.kstest(red, "norm").pvalue > 0.01
    assert abs(scipy.stats.pearsonr(red, green).statistic) < 4 / math.sqrt(red.size)
    assert not torch.equal(redacted[0], redacted[1])


@pytest.mark.parametrize("fill", ["zero", "noise"])
@pytest.mark.parametrize("redaction", SPATIAL, ids=repr)
def test_gradients_reach_kept_pixels_alone(redaction: SpatialRedaction, fill: str) -> None:
    image = images(2, 3, 13, 10).requires_grad_()
    redacted, keep = replace(redaction, fill=fill)(image, seeded())
    assert keep is not None
    redacted.sum().backward()
    assert image.grad is not None
    assert torch.equal(image.grad, keep.expand_as(image))


@pytest.mark.parametrize("redaction", DRAWN, ids=repr)
def test_gradients_of_the_mean_fill_reach_kept_pixels_alone(redaction: SpatialRedaction) -> None:
    image = images(2, 3, 13, 10).requires_grad_()
    redacted, keep = replace(redaction, fill="mean")(image, seeded())
    assert keep is not None
    redacted.sum().backward()
    # Each of the n kept pixels counts once for itself and 1 / n in each removed one.
    expected = keep * (1 + (1 - keep).sum((2, 3), keepdim=True) / keep.sum((2, 3), keepdim=True))
    assert image.grad is not None
    assert not image.grad[keep.expand_as(image) == 0].any()
    torch.testing.assert_close(image.grad, expected.expand_as(image))


# Bad input


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Checkerboard(0), r"block=0: must be a whole number"),
        (lambda: Checkerboard(2.5), r"block=2.5: must be a whole number and at least 1"),
        (lambda: RandomBlocks(-1, 0.5), r"block=-1: must be a whole number"),
        (lambda: RandomBlocks(4, 0.0), r"keep=0.0: must be above 0 and below 1"),
        (lambda: SparsePixels(1.0), r"keep=1.0: must be above 0 and below 1"),
        (lambda: SparsePixels(math.nan), r"keep=nan: must be above 0"),
        (lambda: GridSample(1), r"stride=1: must be a whole number and at least 2"),
        (lambda: GridSample(2.0), r"stride=2.0: must be a whole number"),
        *(
            (lambda redaction=redaction: replace(redaction, fill="grey"), r"fill='grey': must be ")
            for redaction in SPATIAL
        ),
        (lambda: Blank(fill=None), r"fill=None: must be 'zero' or 'mean' or 'noise'"),
    ],
)
def test_impossible_settings_are_named(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize(
    ("redaction", "message"),
    [
        (Checkerboard(8), r"image is 8 x 20 pixels; .*block=8.* needs at least 9 x 9"),
        (RandomBlocks(9, 0.5), r"8 x 20 .*block=9.* needs at least 10 x 10"),
        (RandomBlocks(4, 0.01), r"keep=0.01: .* some but not all 10 blocks .* are kept, not 0"),
        (RandomBlocks(4, 0.99), r"keep=0.99: .* some but not all 10 blocks .* are kept, not 10"),
        (SparsePixels(0.001), r"keep=0.001: .* some but not all 160 pixels .* are kept, not 0"),
        (GridSample(8), r"8 x 20 .*stride=8.* needs at least 9 x 9"),
    ],
    ids=repr,
)
def test_images_too_small_for_the_redaction_are_refused(redaction: Redaction, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        redaction(torch.zeros(1, 3, 8, 20))
