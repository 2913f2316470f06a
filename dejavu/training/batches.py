"""Training batches by step: the seed's subset of images, with the labels in use."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch import Tensor
from torch.utils.data import Dataset

from dejavu.config import TrainParams
from dejavu.data.sample import Batch, collate
from dejavu.data.split import Split
from dejavu.runtime.collective import ALONE, Share
from dejavu.runtime.errors import DataError
from dejavu.runtime.seeding import generator
from dejavu.training.workers import prepared_by


class StepBatch(NamedTuple):
    """The batch of a training step.

    Attributes:
        images: images with their labels.
        scenes: B, the images' positions in the seed's subset.
    """

    images: Batch
    scenes: Tensor

    def to(self, device: torch.device) -> "StepBatch":
        """Return the batch with its images and labels on ``device``."""
        return StepBatch(self.images.to(device), self.scenes)


class Batches(Dataset[StepBatch]):
    """Batches by step, pure functions of (params, seed, step).

    Args:
        split: the training pool.
        params: subset, batch size, labels, augmentation, flips.
        seed: the run's seed.
        share: this process's part of every batch.

    Raises:
        DataError: the pool has fewer images than the params require.

    Attributes:
        subset: the seed's images, sorted indices into the pool, without repetition.
        labelled: bool, whether the labels of each image of the subset are used.
    """

    def __init__(self, split: Split, params: TrainParams, seed: int, share: Share = ALONE) -> None:
        self._split, self._params, self._seed = split, params, seed
        self._mine = share.of(params.batch_size)
        if problem := params.too_many(len(split)):
            raise DataError(problem)
        size = len(split) if params.subset is None else params.subset
        drawn = torch.randperm(len(split), generator=generator(seed, "subset"))
        self.subset = drawn[:size].sort().values
        count = size if params.labelled is None else params.labelled
        order = torch.randperm(size, generator=generator(seed, "labelled"))
        self.labelled = order.argsort() < count
        self._epoch, self._order = -1, torch.empty(0, dtype=torch.int64)

    def __getitem__(self, step: int) -> StepBatch:
        return self.draw(step)

    @contextmanager
    def steps(self, first: int, end: int) -> Iterator[Iterator[StepBatch]]:
        """Prepare the batches of steps ``first`` to ``end`` - 1, for a block that uses them.

        Raises:
            DejaVuError: a worker process that prepares them ended, or cannot pass them on.
        """
        steps, workers = range(first, end), self._params.workers
        if not workers or not steps:
            yield map(self.draw, steps)
            return
        self._split.sample(0)  # parse the data set's files once, before the workers start
        with prepared_by(workers, self, steps) as batches:
            yield batches

    def draw(self, step: int) -> StepBatch:
        """Return a step's batch; each epoch is a permutation without its last partial batch."""
        params, seed = self._params, self._seed
        epoch, position = divmod(step, len(self.subset) // params.batch_size)
        if epoch != self._epoch:  # permuting 10^6 images takes 20 ms, too long for every step
            order = torch.randperm(len(self.subset), generator=generator(seed, "batches", epoch))
            self._epoch, self._order = epoch, order
        scenes = self._order[position * params.batch_size :][self._mine]
        images = self._hide(self._read(self.subset[scenes], step), scenes)
        if params.flip:
            draws = torch.rand(params.batch_size, generator=generator(seed, "flip", step))
            images = images.flip(draws[self._mine] < 0.5)
        return StepBatch(images, scenes)

    def _read(self, indices: Tensor, step: int) -> Batch:
        """Read images, augmented if the params have an augmentation."""
        recipe = self._params.augmentation
        if recipe.changes_nothing:
            return self._split.batch(indices)
        from dejavu.data.augmentation import augment  # imports torchvision, which takes a second

        first = step * self._params.batch_size + self._mine.start
        return collate(
            [
                augment(
                    self._split.sample(int(index)),
                    recipe,
                    generator(self._seed, "augmentation", first + offset),
                )
                for offset, index in enumerate(indices)
            ]
        )

    def _hide(self, images: Batch, scenes: Tensor) -> Batch:
        """Hide the unused labels, the same pixels of an image in every epoch."""
        density = self._params.label_density
        if density == 1 and self.labelled.all():
            return images
        size = images.label.shape[1:]
        known = [
            torch.rand(size, generator=generator(self._seed, "label density", int(scene))) < density
            for scene in scenes
        ]
        return images.hide_labels(torch.stack(known) & self.labelled[scenes].view(-1, 1, 1))
