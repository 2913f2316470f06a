from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
import torch

from dejavu.config import TrainParams
from dejavu.data.indexed import IndexedSplit
from dejavu.data.sample import IGNORE_INDEX, Batch, denormalise
from dejavu.data.split import Split
from dejavu.data.store import PreparedSplit
from dejavu.runtime.errors import DataError
from dejavu.training.batches import Batches, StepBatch
from tests.support.studies import Downloads


@pytest.fixture
def pool(data: Path) -> PreparedSplit:
    return PreparedSplit(data, "train")


def batches(pool: Split, seed: int = 0, **changes: object) -> Batches:
    settings = {"batch_size": 4, "subset": 8, "flip": False} | changes
    return Batches(pool, TrainParams.model_validate(settings), seed)


def labels_of(sample: Batch) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Masks of known label, depth and normals, B x H x W each."""
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
        seen = torch.cat([batch.images.depth for batch in epoch]).sum((1, 2, 3))
        assert torch.equal(seen.sort().values, expected.sort().values)
        assert torch.cat([batch.scenes for batch in epoch]).sort().values.tolist() == [*range(8)]
    first, second = (torch.cat([b.scenes for b in epoch]) for epoch in (steps[:2], steps[2:]))
    assert not torch.equal(first, second), "same order twice"


def test_batches_do_not_depend_on_the_order_in_which_they_are_asked_for(
    pool: PreparedSplit,
) -> None:
    drawn, asked = batches(pool), batches(pool)
    in_turn = [drawn.draw(step).scenes.tolist() for step in range(6)]
    for step in (5, 0, 3, 2, 4, 1):  # from epoch to epoch, and back
        assert asked.draw(step).scenes.tolist() == in_turn[step]


def test_scenes_say_which_images_they_are(pool: PreparedSplit) -> None:
    drawn = batches(pool)
    sample, scenes = drawn.draw(1)
    assert torch.equal(sample.image, pool.batch(drawn.subset[scenes]).image)


def test_seeds_draw_their_own_scenes(pool: PreparedSplit) -> None:
    subsets = [batches(pool, seed).subset for seed in range(4)]
    assert all(len(subset.unique()) == 8 for subset in subsets)
    assert any(not torch.equal(subset, subsets[0]) for subset in subsets[1:])


def test_every_label_is_used_by_default(pool: PreparedSplit) -> None:
    sample = batches(pool).draw(0).images
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
        batches(pool, label_density=0.3, flip=flip).draw(0).images for flip in (False, True)
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
        assert torch.equal(every.draw(step).images.image, few.draw(step).images.image)


VARIED = {
    "border": [2, 62, 4, 64],
    "scale": [0.5, 2.0],
    "rotate": 20.0,
    "crop": [32, 40],
    "brightness": 0.3,
    "hue": 0.1,
}
SMALL = {"batch_size": 2, "subset": None, "flip": True}


def parts(sample: Batch) -> list[torch.Tensor]:
    return [sample.image, sample.label, sample.depth, sample.normals]


def same(a: StepBatch, b: StepBatch) -> bool:
    pairs = zip([*parts(a.images), a.scenes], [*parts(b.images), b.scenes], strict=True)
    return all(torch.equal(x, y) for x, y in pairs)


def drawn(batches: Batches, first: int, end: int) -> list[StepBatch]:
    with batches.steps(first, end) as prepared:
        return [*prepared]


def agree(found: Iterable[StepBatch], expected: Iterable[StepBatch]) -> None:
    assert all(same(a, b) for a, b in zip(found, expected, strict=True))


def test_variations_depend_on_the_seed_and_the_step_alone(pool: PreparedSplit) -> None:
    first = [batches(pool, flip=True, augmentation=VARIED).draw(step) for step in range(4)]
    assert first[0].images.image.shape == (4, 3, 32, 40)
    again = batches(pool, flip=True, augmentation=VARIED)
    torch.manual_seed(123)
    for step in (3, 1, 0, 2):
        torch.rand(step)
        assert same(again.draw(step), first[step])
    assert not same(batches(pool, 1, flip=True, augmentation=VARIED).draw(0), first[0])


def test_each_image_of_each_step_has_draws_of_its_own(pool: PreparedSplit) -> None:
    """In every epoch the images of a pool of four have another position and another crop."""
    drawn = batches(pool, subset=4, augmentation={"crop": [8, 8]})
    seen = [drawn.draw(step) for step in range(3)]
    crops = {
        (int(scene), image.numpy().tobytes())
        for sample, scenes in seen
        for scene, image in zip(scenes, sample.image, strict=True)
    }
    assert len(crops) == 12
    places = set()
    for sample, scenes in seen:
        wholes = pool.batch(drawn.subset[scenes])
        for depth, whole in zip(sample.depth[:, 0], wholes.depth[:, 0], strict=True):
            windows = whole.unfold(0, 8, 1).unfold(1, 8, 1)
            places.add(tuple((windows == depth).all((-1, -2)).nonzero()[0].tolist()))
    assert len(places) > 9, "one place for all"


def test_varied_targets_stay_with_their_image(pool: PreparedSplit) -> None:
    """A crop alone: image and targets are one window of the stored scene."""
    drawn = batches(pool, subset=4, augmentation={"crop": [32, 40]})
    sample, scenes = drawn.draw(0)
    wholes = pool.batch(drawn.subset[scenes])
    for row in range(4):
        windows = wholes.depth[row, 0].unfold(0, 32, 1).unfold(1, 40, 1)
        places = (windows == sample.depth[row, 0]).all((-1, -2)).nonzero()
        top, left = places[0].tolist()
        area = (..., slice(top, top + 32), slice(left, left + 40))
        for part, whole in zip(parts(sample), parts(wholes), strict=True):
            assert torch.equal(part[row], whole[row][area])


def test_a_recipe_that_changes_nothing_reads_whole_batches(pool: PreparedSplit) -> None:
    plain = batches(pool, flip=True).draw(1)
    every = batches(pool, flip=True, augmentation={"crop": [64, 64]}).draw(1)
    assert torch.equal(denormalise(plain.images.image), denormalise(every.images.image))
    assert same(plain, every)


@pytest.mark.parametrize("augmentation", [{}, VARIED], ids=["plain", "varied"])
def test_worker_processes_change_no_batch(
    augmentation: dict[str, Any], pool: PreparedSplit
) -> None:
    settings: dict[str, Any] = {"augmentation": augmentation, "flip": True, "label_density": 0.5}
    state = torch.get_rng_state()
    agree(drawn(batches(pool, workers=2, **settings), 0, 5), drawn(batches(pool, **settings), 0, 5))
    assert torch.equal(torch.get_rng_state(), state), "drawn from torch's own generator"


@pytest.mark.parametrize("workers", [0, 2])
def test_resuming_goes_on_with_the_next_batch(workers: int, pool: PreparedSplit) -> None:
    resumed = batches(pool, workers=workers, augmentation=VARIED)
    whole = drawn(batches(pool, augmentation=VARIED), 0, 6)
    agree(drawn(resumed, 4, 6), whole[4:])
    assert drawn(resumed, 6, 6) == []


@pytest.mark.parametrize("name", ["nyuv2", "ade20k"])
def test_data_that_is_read_in_place_is_varied_by_workers_too(name: str, on_disk: Downloads) -> None:
    """Images of all sizes are cropped to one; files are opened in the process that reads."""
    pool = IndexedSplit(on_disk(name), "train", ["segmentation"])
    recipe: dict[str, Any] = SMALL | {"augmentation": VARIED | {"border": None}}
    alone = drawn(batches(pool, **recipe), 0, 4)
    assert alone[0].images.label.shape == (2, 32, 40)
    agree(drawn(batches(pool, workers=2, **recipe), 0, 4), alone)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"subset": 13}, r"train\.subset: 13 is more than the 12 images to draw from"),
        ({"subset": None, "batch_size": 13}, r"train\.batch_size: 13 is more than the 12 images"),
        ({"subset": 8, "batch_size": 9}, r"train\.batch_size: 9 is more than the 8 images"),
        ({"subset": 8, "labelled": 9}, r"train\.labelled: 9 is more than the 8 images"),
    ],
)
def test_more_than_there_is_is_refused(
    changes: dict[str, Any], message: str, pool: PreparedSplit
) -> None:
    with pytest.raises(DataError, match=message):
        batches(pool, **changes)


def test_all_images_are_drawn_without_a_subset(pool: PreparedSplit) -> None:
    assert batches(pool, subset=None).subset.tolist() == [*range(12)]
