from pathlib import Path

import pytest
import torch

from dejavu.batches import Batches
from dejavu.config import TrainParams
from dejavu.data.sample import IGNORE_INDEX, Sample
from dejavu.data.store import PreparedSplit


@pytest.fixture
def pool(data: Path) -> PreparedSplit:
    return PreparedSplit(data, "train")


def batches(pool: PreparedSplit, seed: int = 0, **changes: object) -> Batches:
    settings = {"batch_size": 4, "subset": 8, "flip": False} | changes
    return Batches(pool, TrainParams.model_validate(settings), seed)


def labels_of(sample: Sample) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Where label, depth and normals are known, B x H x W each."""
    return (
        sample.label != IGNORE_INDEX,
        (sample.depth > 0)[:, 0],
        (sample.normals != 0).any(1),
    )


def test_each_epoch_sees_every_scene_once(pool: PreparedSplit) -> None:
    drawn = batches(pool, seed=3)
    expected = pool.batch(drawn.subset).depth.sum((1, 2, 3))
    steps = [drawn.draw(step) for step in range(4)]
    for epoch in (steps[:2], steps[2:]):
        seen = torch.cat([batch.sample.depth for batch in epoch]).sum((1, 2, 3))
        assert torch.equal(seen.sort().values, expected.sort().values)
        assert torch.cat([batch.scenes for batch in epoch]).sort().values.tolist() == [*range(8)]
    first, second = (torch.cat([b.scenes for b in epoch]) for epoch in (steps[:2], steps[2:]))
    assert not torch.equal(first, second), "same order twice"


def test_scenes_say_which_images_they_are(pool: PreparedSplit) -> None:
    drawn = batches(pool)
    sample, scenes = drawn.draw(1)
    assert torch.equal(sample.image, pool.batch(drawn.subset[scenes]).image)


def test_seeds_draw_their_own_scenes(pool: PreparedSplit) -> None:
    subsets = [batches(pool, seed).subset for seed in range(4)]
    assert all(len(subset.unique()) == 8 for subset in subsets)
    assert any(not torch.equal(subset, subsets[0]) for subset in subsets[1:])


def test_every_label_is_used_by_default(pool: PreparedSplit) -> None:
    sample = batches(pool).draw(0).sample
    assert all(known.all() for known in labels_of(sample)[:2])


def test_only_the_labelled_scenes_have_labels(pool: PreparedSplit) -> None:
    drawn = batches(pool, labelled=3)
    assert drawn.labelled.sum() == 3
    for step in range(4):
        sample, scenes = drawn.draw(step)
        for known in labels_of(sample):
            assert known.flatten(1).any(1).tolist() == drawn.labelled[scenes].tolist()


def test_a_density_of_pixels_keeps_its_labels_and_the_same_ones_in_every_epoch(
    pool: PreparedSplit,
) -> None:
    drawn = batches(pool, label_density=0.2)
    seen: dict[int, torch.Tensor] = {}
    for step in range(4):
        sample, scenes = drawn.draw(step)
        label, depth, _ = labels_of(sample)
        assert torch.equal(label, depth), "label and depth must be hidden alike"
        assert label.float().mean() == pytest.approx(0.2, abs=0.02)
        for scene, known in zip(scenes.tolist(), label, strict=True):
            assert torch.equal(seen.setdefault(scene, known), known)
    assert not torch.equal(seen[0], seen[1])


def test_hidden_labels_move_with_a_mirrored_image(pool: PreparedSplit) -> None:
    plain, mirrored = (
        batches(pool, label_density=0.3, flip=flip).draw(0).sample for flip in (False, True)
    )
    flipped = [not torch.equal(a, b) for a, b in zip(plain.image, mirrored.image, strict=True)]
    assert any(flipped)
    for index, turned in enumerate(flipped):
        expected = plain.label[index].flip(-1) if turned else plain.label[index]
        assert torch.equal(mirrored.label[index], expected)


def test_hiding_labels_draws_nothing_from_other_streams(pool: PreparedSplit) -> None:
    """Few labels and many must be comparable: same scenes, same batches, same flips."""
    every, few = (batches(pool, flip=True, **kept) for kept in ({}, {"labelled": 2}))
    for step in range(3):
        assert torch.equal(every.draw(step).sample.image, few.draw(step).sample.image)
