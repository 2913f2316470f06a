"""Combinations against their parts, applied by hand."""

import itertools
from typing import Any

import pytest
import scipy.stats
import torch

from dejavu.method.redaction import (
    Blank,
    BlockDCT,
    Checkerboard,
    Compose,
    GridSample,
    HighPass,
    Identity,
    LowPass,
    RandomBlocks,
    RandomChoice,
    Redaction,
    SparsePixels,
)
from tests.support.redactions import SINGLE, images, seeded

COMBINATIONS = [Compose, RandomChoice]


# Compose


@pytest.mark.parametrize(
    ("first", "second"),
    [*itertools.product([Checkerboard(3), SparsePixels(0.5, fill="noise"), LowPass(0.1)], SINGLE)],
    ids=repr,
)
def test_parts_are_applied_from_left_to_right(first: Redaction, second: Redaction) -> None:
    image, generator = images(3, 3, 12, 16), seeded(3)
    between, before = first(image, generator)
    expected, after = second(between, generator)
    redacted, keep = Compose([first, second])(image, seeded(3))
    assert torch.equal(redacted, expected)
    there = [mask for mask in (before, after) if mask is not None]
    if there:
        assert keep is not None
        assert torch.equal(keep, torch.stack(there).amin(0))
    else:
        assert keep is None


def test_the_order_matters() -> None:
    image, (first, second) = images(2, 3, 12, 16), (LowPass(0.1), GridSample(4))
    ahead, behind = Compose([first, second]), Compose([second, first])
    removed = ahead(image, seeded()).keep == 0
    assert not ahead(image, seeded()).image[removed.expand_as(image)].any()
    assert behind(image, seeded()).image[removed.expand_as(image)].any()


def test_compositions_can_be_nested() -> None:
    parts = (Checkerboard(4), HighPass(0.1), SparsePixels(0.5), RandomBlocks(3, 0.6))
    image = images(2, 3, 12, 16)
    flat, left, right = (
        composition(image, seeded())
        for composition in (
            Compose(parts),
            Compose([Compose(parts[:3]), parts[3]]),
            Compose([parts[0], Compose(parts[1:])]),
        )
    )
    for nested in (left, right):
        assert torch.equal(nested.image, flat.image)
        assert nested.keep is not None
        assert flat.keep is not None
        assert torch.equal(nested.keep, flat.keep)


@pytest.mark.parametrize("part", SINGLE, ids=repr)
def test_identity_changes_no_composition_and_blank_empties_it(part: Redaction) -> None:
    image = images(2, 3, 12, 16)
    alone = part(image, seeded())
    assert torch.equal(Compose([Identity(), part])(image, seeded()).image, alone.image)
    assert torch.equal(Compose([part, Identity()])(image, seeded()).image, alone.image)
    redacted, keep = Compose([part, Blank()])(image, seeded())
    assert keep is not None
    assert not redacted.any()
    assert not keep.any()


def test_gradients_of_a_spatial_composition_are_its_mask() -> None:
    image = images(2, 3, 12, 16).requires_grad_()
    redacted, keep = Compose([Checkerboard(3), SparsePixels(0.5)])(image, seeded())
    assert keep is not None
    redacted.sum().backward()
    assert image.grad is not None
    assert torch.equal(image.grad, keep.expand_as(image))


# RandomChoice


def test_one_part_is_drawn_for_the_whole_batch_each_equally_often() -> None:
    parts = (Identity(), Blank(), LowPass(0.1))
    image, generator = images(3, 1, 6, 7), seeded()
    expected = [part(image).image for part in parts]
    counts = [0, 0, 0]
    for _ in range(600):
        redacted = RandomChoice(parts)(image, generator).image
        counts[next(i for i in range(3) if torch.equal(redacted, expected[i]))] += 1
    assert scipy.stats.chisquare(counts).pvalue > 0.01


def test_the_drawn_part_has_its_own_mask_and_draws() -> None:
    choice, generator = RandomChoice([SparsePixels(0.25), BlockDCT(4, 0.5)]), seeded()
    masks = [choice(images(2, 1, 8, 8), generator).keep for _ in range(40)]
    drawn = [mask for mask in masks if mask is not None]
    assert 5 < len(drawn) < 35
    assert {int(mask.sum()) for mask in drawn} == {2 * 16}
    assert len(torch.stack(drawn).flatten(1).unique(dim=0)) == len(drawn)


def test_choices_can_be_nested() -> None:
    inner = Compose([Identity(), RandomChoice([Identity(), Blank()])])
    choice, generator = RandomChoice((Identity(), inner)), seeded()
    image = images(1, 1, 4, 4)
    blank = sum(not choice(image, generator).image.any() for _ in range(400))
    assert scipy.stats.binomtest(blank, 400, 0.25).pvalue > 0.01


# Both


@pytest.mark.parametrize("combine", COMBINATIONS)
@pytest.mark.parametrize(
    ("parts", "kind", "hole"),
    [
        ((Checkerboard(4), RandomBlocks(8, 0.3)), "spatial", 8),
        ((SparsePixels(0.01), Blank()), "spatial", 10),
        ((LowPass(0.1), BlockDCT(8, 0.5)), "spectral", 0),
        ((LowPass(0.1), GridSample(5)), "mixed", 5),
        ((Identity(), Checkerboard(2)), "mixed", 2),
        ((Identity(), Identity()), "none", 0),
        ((Blank(), Compose([LowPass(0.1), GridSample(7)])), "mixed", 7),
        ((RandomChoice([Blank(), GridSample(3)]), GridSample(2)), "spatial", 3),
    ],
    ids=repr,
)
def test_kind_and_hole_come_from_the_parts(
    combine: Any, parts: tuple[Redaction, ...], kind: str, hole: int
) -> None:
    combination = combine(parts)
    assert (combination.kind, combination.hole) == (kind, hole)


@pytest.mark.parametrize("combine", COMBINATIONS)
def test_any_sequence_becomes_a_tuple(combine: Any) -> None:
    parts = [Blank(), Identity()]
    combination = combine(parts)
    parts.clear()
    assert combination.redactions == (Blank(), Identity())
    assert combination == combine((Blank(), Identity()))
    assert hash(combination) == hash(combine((Blank(), Identity())))
    assert combination != combine((Identity(), Blank()))


@pytest.mark.parametrize("combine", COMBINATIONS)
@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ((), r"redactions=\(\): must be a sequence of at least 2"),
        ([Blank()], r"redactions=\[Blank\(.*\)\]: must be a sequence of at least 2"),
        (Blank(), r"redactions=Blank\(.*\): must be a sequence"),
        ({Blank(), Identity()}, r"redactions=\{.*\}: must be a sequence"),
        ([Blank(), "identity"], r"redactions\[1\]='identity': must be a redaction"),
        ([Blank, Identity()], r"redactions\[0\]=.*Blank.*: must be a redaction"),
    ],
)
def test_impossible_parts_are_named(combine: Any, parts: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        combine(parts)


@pytest.mark.parametrize("combine", COMBINATIONS)
def test_images_too_small_for_a_part_are_refused(combine: Any) -> None:
    with pytest.raises(ValueError, match=r"8 x 20 pixels; .*block=8.* needs at least 9 x 9"):
        combine([Checkerboard(8), RandomBlocks(8, 0.5)])(torch.zeros(1, 3, 8, 20))
