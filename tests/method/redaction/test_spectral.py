"""Spectral redactions against NumPy's and SciPy's transforms, image by image."""

import math
from typing import Any

import numpy as np
import pytest
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
        (lambda: LowPass(0), r"cutoff=0: must be above 0 and at most 0.7071 .*cycles"),
        (
            lambda: HighPass(0.8),
            r"cutoff=0.8: must be above 0 and at most 0.7071 .*cycles",
        ),
        (lambda: BandStop(0.3, 0.3), r"low=0.3: must be below high=0.3"),
        (lambda: BandStop(-0.1, 0.3), r"low=-0.1: must be above 0 and at most 0.7071"),
        (lambda: BandStop(0.1, 2.0), r"high=2.0: must be above 0 and at most 0.7071"),
        (lambda: BlockDCT(1, 0.5), r"block=1: must be a whole number and at least 2"),
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
