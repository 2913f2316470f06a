import itertools
import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from dejavu.redaction import (
    MAX_FREQUENCY,
    REDACTIONS,
    BandStop,
    Blank,
    Checkerboard,
    HighPass,
    Identity,
    LowPass,
    RandomBlocks,
    Redaction,
    SparsePixels,
    create_redaction,
)

SPATIAL = [Checkerboard(3), RandomBlocks(4, 0.3), SparsePixels(0.1), Blank()]
SPECTRAL = [LowPass(0.12), HighPass(0.2), BandStop(0.1, 0.3)]
ALL: list[Redaction] = [*SPATIAL, *SPECTRAL, Identity()]

few = settings(derandomize=True, deadline=None, max_examples=15)
sides = st.integers(5, 17)
seeds = st.integers(0, 2**31)
cutoffs = st.floats(1e-3, MAX_FREQUENCY)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def images(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=seeded(seed))


def masks(redaction: Redaction, *size: int, seed: int = 0) -> Tensor:
    """The keep masks of blank images, B x H x W, bool."""
    batch, height, width = size
    keep = redaction(torch.ones(batch, 1, height, width), seeded(seed)).keep
    assert keep is not None
    assert keep.unique().tolist() in ([0, 1], [0], [1])
    return keep[:, 0].bool()


@given(st.sampled_from(ALL), st.integers(1, 3), st.integers(1, 4), sides, sides, st.booleans())
@few
def test_shape_and_dtype_are_kept(
    redaction: Redaction, batch: int, channels: int, height: int, width: int, half: bool
) -> None:
    dtype = torch.bfloat16 if half else torch.float32
    image = images(batch, channels, height, width).to(dtype)
    before = image.clone()
    redacted, keep = redaction(image, seeded())
    assert redacted.shape == image.shape
    assert redacted.dtype == dtype
    assert torch.equal(image, before), "changed in place"
    if redaction.kind == "spectral":
        assert keep is None
    else:
        assert keep is not None
        assert keep.shape == (batch, 1, height, width)
        assert keep.dtype == dtype


@pytest.mark.parametrize("redaction", SPATIAL, ids=repr)
def test_pixels_are_kept_as_they_are_or_zero(redaction: Redaction) -> None:
    image = images(3, 3, 13, 10)
    redacted, keep = redaction(image, seeded())
    assert keep is not None
    expected = np.where(keep.numpy() == 1, image.numpy(), 0)
    np.testing.assert_array_equal(redacted.numpy(), expected)
    assert not redacted.signbit()[redacted == 0].any(), "zeros of both signs"


@pytest.mark.parametrize("redaction", ALL, ids=repr)
def test_draws_depend_on_the_generator_alone(redaction: Redaction) -> None:
    image = images(4, 3, 16, 16)
    torch.manual_seed(1)
    first = redaction(image, seeded(5))
    torch.manual_seed(2)
    again = redaction(image, seeded(5))
    assert torch.equal(first.image, again.image)
    state = torch.get_rng_state()
    redaction(image, seeded(6))
    assert torch.equal(torch.get_rng_state(), state), "drew from the global generator"


@pytest.mark.parametrize("redaction", SPATIAL[:3], ids=repr)
def test_without_a_generator_torchs_seed_decides(redaction: Redaction) -> None:
    image = images(4, 3, 16, 16)
    made = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        made.append(redaction(image).image)
    assert torch.equal(made[0], made[1])
    assert not torch.equal(made[0], made[2])


@pytest.mark.parametrize("redaction", SPATIAL[:3], ids=repr)
def test_images_of_a_batch_have_masks_of_their_own(redaction: Redaction) -> None:
    keep = masks(redaction, 16, 16, 16).flatten(1)
    assert len(keep.unique(dim=0)) > 4


@pytest.mark.parametrize("redaction", ALL, ids=repr)
def test_memory_format_changes_nothing(redaction: Redaction) -> None:
    image = images(2, 3, 11, 14)
    plain = redaction(image, seeded())
    last = redaction(image.to(memory_format=torch.channels_last), seeded())
    assert torch.equal(plain.image, last.image)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("redaction", ALL, ids=repr)
def test_a_cpu_generator_gives_the_same_on_cuda(redaction: Redaction) -> None:
    image = images(2, 3, 11, 14)
    here, there = redaction(image, seeded()), redaction(image.cuda(), seeded())
    assert there.image.is_cuda
    torch.testing.assert_close(here.image, there.image.cpu(), atol=1e-5, rtol=1e-5)
    if here.keep is not None:
        assert there.keep is not None
        assert torch.equal(here.keep, there.keep.cpu())


# Spatial redactions against their definitions, written as loops


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


@pytest.mark.parametrize(
    ("redaction", "kept"),
    [(Checkerboard(4), 0.5), (RandomBlocks(4, 0.25), 0.25), (SparsePixels(0.1), 0.1)],
    ids=repr,
)
def test_every_pixel_is_kept_equally_often(redaction: Redaction, kept: float) -> None:
    often = masks(redaction, 3000, 16, 16).double().mean(0)
    deviation = math.sqrt(kept * (1 - kept) / 3000)
    assert (often - kept).abs().max() < 4.5 * deviation


def test_the_two_ends() -> None:
    image = images(2, 3, 6, 7)
    blank, nothing = Blank()(image)
    identity, everything = Identity()(image)
    assert not blank.any()
    assert not nothing.any()
    assert torch.equal(identity, image)
    assert (everything == 1).all()


def test_holes() -> None:
    holed = (Checkerboard(4), RandomBlocks(8, 0.3), SparsePixels(0.02), SparsePixels(0.25))
    assert [redaction.hole for redaction in holed] == [4, 8, 8, 2]
    assert not any(redaction.hole for redaction in (*SPECTRAL, Identity(), Blank()))


# Spectral redactions against NumPy's transform, image by image


def filtered(redaction: Redaction, image: Tensor) -> np.ndarray[Any, Any]:
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


@given(st.sampled_from(SPECTRAL), sides, sides, seeds)
@few
def test_spectral_redactions_are_numpys(
    redaction: Redaction, height: int, width: int, seed: int
) -> None:
    image = images(2, 2, height, width, seed=seed)
    np.testing.assert_allclose(redaction(image).image, filtered(redaction, image), atol=2e-6)


@pytest.mark.parametrize(
    "redaction", [LowPass(0.25), HighPass(0.25), BandStop(0.125, 0.25)], ids=repr
)
def test_frequencies_at_a_cutoff_are_on_its_lower_side(redaction: Redaction) -> None:
    image = images(1, 1, 16, 8)
    np.testing.assert_allclose(redaction(image).image, filtered(redaction, image), atol=2e-6)


@given(st.sampled_from(SPECTRAL), sides, sides)
@few
def test_what_was_filtered_once_is_filtered(redaction: Redaction, height: int, width: int) -> None:
    once = redaction(images(2, 3, height, width)).image
    torch.testing.assert_close(redaction(once).image, once, atol=2e-6, rtol=1e-5)


@given(cutoffs, sides, sides)
@few
def test_low_and_high_split_image_and_energy(cutoff: float, height: int, width: int) -> None:
    image = images(2, 3, height, width)
    low, high = LowPass(cutoff)(image).image, HighPass(cutoff)(image).image
    torch.testing.assert_close(low + high, image, atol=2e-6, rtol=1e-5)
    energy = [float(np.square(part.double().numpy()).sum()) for part in (low, high, image)]
    assert energy[0] + energy[1] == pytest.approx(energy[2], rel=1e-5)


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


@pytest.mark.parametrize("redaction", SPECTRAL, ids=repr)
def test_half_precision_is_filtered_in_float32(redaction: Redaction) -> None:
    image = images(2, 3, 12, 12).bfloat16()
    expected = redaction(image.float()).image.bfloat16()
    assert torch.equal(redaction(image).image, expected)


# Bad input


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Checkerboard(0), r"block=0: must be a whole number"),
        (lambda: Checkerboard(2.5), r"block=2.5: must be a whole number"),
        (lambda: RandomBlocks(-1, 0.5), r"block=-1: must be a whole number"),
        (lambda: RandomBlocks(4, 0.0), r"keep=0.0: must be above 0 and below 1"),
        (lambda: SparsePixels(1.0), r"keep=1.0: must be above 0 and below 1"),
        (lambda: SparsePixels(math.nan), r"keep=nan: must be above 0"),
        (lambda: LowPass(0), r"cutoff=0: must be above 0 and at most 0.7071 cycles"),
        (lambda: HighPass(0.8), r"cutoff=0.8: must be above 0 and at most 0.7071 cycles"),
        (lambda: BandStop(0.3, 0.3), r"low=0.3: must be below high=0.3"),
        (lambda: BandStop(-0.1, 0.3), r"low=-0.1: must be above 0 and at most 0.7071"),
        (lambda: BandStop(0.1, 2.0), r"high=2.0: must be above 0 and at most 0.7071"),
    ],
)
def test_impossible_settings_are_named(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize("redaction", ALL, ids=repr)
@pytest.mark.parametrize(
    ("image", "message"),
    [
        (torch.zeros(3, 16, 16), r"image has shape \(3, 16, 16\); it must be B x C x H x W"),
        (torch.zeros(0, 3, 16, 16), r"image has shape \(0, 3, 16, 16\)"),
        (torch.zeros(1, 3, 16, 16, dtype=torch.uint8), r"image has dtype torch.uint8"),
        (torch.full((1, 3, 16, 16), math.inf), r"must be finite, but is inf at .* \(0, 0, 0, 0\)"),
    ],
)
def test_bad_images_are_refused(redaction: Redaction, image: Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        redaction(image)


def test_one_bad_value_is_found() -> None:
    image = images(2, 3, 8, 9)
    image[1, 2, 7, 4] = math.nan
    with pytest.raises(ValueError, match=r"but is nan at .* \(1, 2, 7, 4\)"):
        Identity()(image)


@pytest.mark.parametrize(("dtype", "value"), [(torch.float32, 3e38), (torch.float16, 6e4)])
def test_large_values_are_finite(dtype: torch.dtype, value: float) -> None:
    assert Identity()(torch.full((1, 3, 8, 8), value, dtype=dtype)).image.max() > 5e4


@pytest.mark.parametrize(
    ("redaction", "message"),
    [
        (Checkerboard(8), r"block=8: must be less than the sides of the image, which is 8 x 20"),
        (RandomBlocks(9, 0.5), r"block=9: must be less than the sides .* 8 x 20"),
        (RandomBlocks(4, 0.01), r"keep=0.01: .* some but not all 10 blocks .* are kept, not 0"),
        (RandomBlocks(4, 0.99), r"keep=0.99: .* some but not all 10 blocks .* are kept, not 10"),
        (SparsePixels(0.001), r"keep=0.001: .* some but not all 160 pixels .* are kept, not 0"),
    ],
    ids=repr,
)
def test_images_too_small_for_the_redaction_are_refused(redaction: Redaction, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        redaction(torch.zeros(1, 3, 8, 20))


# The registry


def test_redactions_are_made_by_name() -> None:
    assert {redaction.name: type(redaction) for redaction in ALL} == REDACTIONS
    for redaction in ALL:
        assert create_redaction(redaction.name, **vars(redaction)) == redaction


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("checker_board", {"block": 4}, r"'checker_board': .* did you mean 'checkerboard'\?"),
        ("zzz", {}, r"'zzz': no such redaction; known: checkerboard, random_blocks, .*blank"),
        ("low_pass", {"cutof": 0.1}, r"'low_pass' takes the settings \(cutoff\).*given \(cutof\)"),
        ("random_blocks", {"block": 4}, r"takes the settings \(block, keep\).*given \(block\)"),
        ("blank", {"block": 4}, r"'blank' takes the settings \(\), but was given \(block\)"),
        ("checkerboard", {"block": 0}, r"block=0: must be a whole number"),
    ],
)
def test_unknown_names_and_settings_are_explained(
    name: str, settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        create_redaction(name, **settings)
