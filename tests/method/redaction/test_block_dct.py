"""The block-wise cosine transform against SciPy's, block by block."""

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

from dejavu.method.redaction import BlockDCT
from tests.support.redactions import few, images, seeds, sides

Array = np.ndarray[Any, Any]


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
