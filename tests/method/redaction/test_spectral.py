"""Spectral redactions against NumPy's and SciPy's transforms, image by image."""

import itertools
import math
from typing import Any

import numpy as np
import pytest
import scipy.fft
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from dejavu.method.redaction import MAX_FREQUENCY, BandStop, BlockDCT, HighPass, LowPass, Redaction
from tests.support.redactions import FOURIER, SPECTRAL, few, images, seeds, sides

Array = np.ndarray[Any, Any]

cutoffs = st.floats(1e-3, MAX_FREQUENCY)


# The Fourier transform


def fourier_filtered(redaction: Redaction, image: Tensor) -> Array:
    result = np.empty(image.shape)
    height, width = image.shape[-2:]
    for sample, channel in np.ndindex(*image.shape[:2]):
        spectrum = np.fft.fft2(image[sample, channel].double().numpy())
        for row, column in np.ndindex(height, width):
            cycles_y = min(row, height - row) / height
            cycles_x = min(column, width - column) / width
            frequency = math.hypot(cycles_y, cycles_x)
            match redaction:
                case LowPass(cutoff):
                    passes = frequency <= cutoff
                case HighPass(cutoff):
                    passes = frequency > cutoff
                case BandStop(low, high):
                    passes = not low < frequency <= high
            spectrum[row, column] *= passes
        inverse = np.fft.ifft2(spectrum)
        assert np.abs(inverse.imag).max() < 1e-9
        result[sample, channel] = inverse.real
    return result


@given(st.sampled_from(FOURIER), sides, sides, seeds)
@few
def test_fourier_redactions_are_numpys(
    redaction: Redaction, height: int, width: int, seed: int
) -> None:
    image = images(2, 2, height, width, seed=seed)
    expected = fourier_filtered(redaction, image)
    np.testing.assert_allclose(redaction(image).image, expected, atol=2e-6)


@pytest.mark.parametrize(
    "redaction", [LowPass(0.25), HighPass(0.25), BandStop(0.125, 0.25)], ids=repr
)
def test_frequencies_at_a_cutoff_are_on_its_lower_side(redaction: Redaction) -> None:
    image = images(1, 1, 16, 8)
    expected = fourier_filtered(redaction, image)
    np.testing.assert_allclose(redaction(image).image, expected, atol=2e-6)


@given(cutoffs, sides, sides)
@few
def test_low_and_high_split_the_image(cutoff: float, height: int, width: int) -> None:
    image = images(2, 3, height, width)
    low, high = LowPass(cutoff)(image).image, HighPass(cutoff)(image).image
    torch.testing.assert_close(low + high, image, atol=2e-6, rtol=1e-5)


@pytest.mark.parametrize("size", [(16, 16), (15, 8), (9, 13)])
def test_limits_of_the_cutoff(size: tuple[int, int]) -> None:
    image = images(2, 3, *size)
    mean = image.mean((2, 3), keepdim=True).expand_as(image)
    torch.testing.assert_close(LowPass(MAX_FREQUENCY)(image).image, image)
    torch.testing.assert_close(LowPass(1e-6)(image).image, mean, atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(HighPass(1e-6)(image).image, image - mean, atol=2e-6, rtol=1e-5)
    assert HighPass(MAX_FREQUENCY)(image).image.abs().max() < 1e-6


@pytest.mark.parametrize("waves", [(0, 8), (8, 0), (8, 8), (3, 7)])
def test_cutoffs_are_radial_and_in_cycles_per_pixel(waves: tuple[int, int]) -> None:
    y, x = torch.meshgrid(torch.arange(32.0), torch.arange(32.0), indexing="ij")
    wave = torch.cos(2 * math.pi * (waves[0] * y + waves[1] * x) / 32).view(1, 1, 32, 32)
    frequency = math.hypot(*waves) / 32
    torch.testing.assert_close(LowPass(frequency + 1e-3)(wave).image, wave, atol=1e-5, rtol=0)
    assert LowPass(frequency - 1e-3)(wave).image.abs().max() < 1e-5


# The block-wise cosine transform


def zigzag(block: int) -> list[tuple[int, int]]:
    """Walk over a block as JPEG does: (row, column) from the first to the last."""
    path, row, column, upwards = [(0, 0)], 0, 0, True
    while len(path) < block * block:
        if upwards and column == block - 1:
            row, upwards = row + 1, False
        elif upwards and row == 0:
            column, upwards = column + 1, False
        elif not upwards and row == block - 1:
            column, upwards = column + 1, True
        elif not upwards and column == 0:
            row, upwards = row + 1, True
        else:
            row, column = (row - 1, column + 1) if upwards else (row + 1, column - 1)
        path.append((row, column))
    return path


def dct_filtered(block: int, number: int, image: Tensor) -> Array:
    height, width = image.shape[-2:]
    padding = ((0, 0), (0, 0), (0, -height % block), (0, -width % block))
    result = np.pad(image.double().numpy(), padding, mode="edge")
    down, across = (range(0, side, block) for side in result.shape[-2:])
    for sample, channel, y, x in itertools.product(*map(range, image.shape[:2]), down, across):
        cell = result[sample, channel, y : y + block, x : x + block]
        spectrum = scipy.fft.dctn(cell, norm="ortho")
        for removed in zigzag(block)[number:]:
            spectrum[removed] = 0
        cell[:] = scipy.fft.idctn(spectrum, norm="ortho")
    return result[..., :height, :width]


def test_the_walk_is_jpegs() -> None:
    positions = np.empty((8, 8), dtype=int)
    for number, place in enumerate(zigzag(8)):
        positions[place] = number
    # The first and the last two rows of figure A.6 of the standard.
    assert positions[0].tolist() == [0, 1, 5, 6, 14, 15, 27, 28]
    assert positions[6].tolist() == [21, 34, 37, 47, 50, 56, 59, 61]
    assert positions[7].tolist() == [35, 36, 48, 49, 57, 58, 62, 63]


@given(st.integers(2, 9), st.floats(0, 1), sides, sides, seeds)
@few
def test_block_dct_is_scipys_block_by_block(
    block: int, share: float, height: int, width: int, seed: int
) -> None:
    number = 1 + round(share * (block**2 - 2))
    image = images(2, 2, height, width, seed=seed)
    redacted = BlockDCT(block, number / block**2)(image).image
    np.testing.assert_allclose(redacted, dct_filtered(block, number, image), atol=5e-6)


@pytest.mark.parametrize("number", [*range(1, 16)])
def test_every_number_of_coefficients_is_the_walks(number: int) -> None:
    image = images(1, 1, 8, 12)
    expected = dct_filtered(4, number, image)
    np.testing.assert_allclose(BlockDCT(4, number / 16)(image).image, expected, atol=5e-6)


def test_the_number_of_coefficients_is_rounded() -> None:
    image = images(1, 3, 16, 16)
    assert torch.equal(BlockDCT(8, 0.1)(image).image, BlockDCT(8, 6 / 64)(image).image)
    assert torch.equal(BlockDCT(8, 0.102)(image).image, BlockDCT(8, 7 / 64)(image).image)


def test_the_second_coefficient_varies_from_left_to_right() -> None:
    wave = torch.cos(math.pi * (torch.arange(8) + 0.5) / 8).expand(1, 1, 8, 8)
    torch.testing.assert_close(BlockDCT(8, 2 / 64)(wave).image, wave, atol=1e-6, rtol=0)
    assert BlockDCT(8, 2 / 64)(wave.mT).image.abs().max() < 1e-6


def test_one_coefficient_keeps_the_means_of_the_blocks() -> None:
    image = images(2, 3, 12, 20)
    means = image.view(2, 3, 3, 4, 5, 4).mean((3, 5))
    expected = means.repeat_interleave(4, 2).repeat_interleave(4, 3)
    torch.testing.assert_close(BlockDCT(4, 1 / 16)(image).image, expected, atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(BlockDCT(4, 0.9)(expected).image, expected, atol=1e-6, rtol=1e-5)


def test_a_block_larger_than_the_image_repeats_its_edge() -> None:
    image = images(1, 2, 5, 7)
    expected = dct_filtered(16, 40, image)
    np.testing.assert_allclose(BlockDCT(16, 40 / 256)(image).image, expected, atol=5e-6)


# What holds of all; the sides are multiples of the block of the cosine transform.

multiples = st.integers(2, 5).map(lambda number: 4 * number)


@given(st.sampled_from(SPECTRAL), multiples, multiples)
@few
def test_what_was_filtered_once_is_filtered(redaction: Redaction, height: int, width: int) -> None:
    once = redaction(images(2, 3, height, width)).image
    torch.testing.assert_close(redaction(once).image, once, atol=3e-6, rtol=1e-5)


@given(st.sampled_from(FOURIER), sides, sides)
@few
def test_fourier_redactions_are_idempotent_at_any_size(
    redaction: Redaction, height: int, width: int
) -> None:
    once = redaction(images(2, 3, height, width)).image
    torch.testing.assert_close(redaction(once).image, once, atol=2e-6, rtol=1e-5)


@given(st.sampled_from(SPECTRAL), multiples, multiples, seeds)
@few
def test_energies_of_what_is_kept_and_what_is_removed_add_up(
    redaction: Redaction, height: int, width: int, seed: int
) -> None:
    image = images(2, 3, height, width, seed=seed)
    kept = redaction(image).image
    energy = [float(part.double().square().sum()) for part in (kept, image - kept, image)]
    assert energy[0] + energy[1] == pytest.approx(energy[2], rel=1e-5)
    assert min(energy) > 0


@given(st.sampled_from(SPECTRAL), multiples, multiples, seeds)
@few
def test_gradients_are_filtered_alike(
    redaction: Redaction, height: int, width: int, seed: int
) -> None:
    image = images(2, 3, height, width, seed=seed).requires_grad_()
    weights = images(2, 3, height, width, seed=seed + 1)
    (redaction(image).image * weights).sum().backward()
    # An orthogonal projection is its own adjoint.
    torch.testing.assert_close(image.grad, redaction(weights).image, atol=3e-6, rtol=1e-5)


@pytest.mark.parametrize("redaction", SPECTRAL, ids=repr)
def test_half_precision_is_filtered_in_float32(redaction: Redaction) -> None:
    image = images(2, 3, 12, 12).bfloat16()
    expected = redaction(image.float()).image.bfloat16()
    assert torch.equal(redaction(image).image, expected)


def test_spectral_redactions_have_no_holes() -> None:
    assert not any(redaction.hole for redaction in SPECTRAL)
    assert {redaction.kind for redaction in SPECTRAL} == {"spectral"}


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: LowPass(0), r"cutoff=0: must be above 0 and at most 0.7071 cycles"),
        (lambda: HighPass(0.8), r"cutoff=0.8: must be above 0 and at most 0.7071 cycles"),
        (lambda: BandStop(0.3, 0.3), r"low=0.3: must be below high=0.3"),
        (lambda: BandStop(-0.1, 0.3), r"low=-0.1: must be above 0 and at most 0.7071"),
        (lambda: BandStop(0.1, 2.0), r"high=2.0: must be above 0 and at most 0.7071"),
        (lambda: BlockDCT(1, 0.5), r"block=1: must be a whole number of pixels, at least 2"),
        (lambda: BlockDCT(8.0, 0.5), r"block=8.0: must be a whole number"),
        (lambda: BlockDCT(8, 1.0), r"keep=1.0: must be above 0 and below 1"),
        (lambda: BlockDCT(8, math.nan), r"keep=nan: must be above 0"),
        (lambda: BlockDCT(8, 0.007), r"keep=0.007: .* but not all 64 coefficients .*, not 0"),
        (lambda: BlockDCT(8, 0.999), r"keep=0.999: .* but not all 64 coefficients .*, not 64"),
    ],
)
def test_impossible_settings_are_named(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()
