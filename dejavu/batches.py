"""What each training step sees: batches of a seed's scenes, with the labels that are used."""

from typing import NamedTuple

import torch
from torch import Tensor

from dejavu.config import TrainParams
from dejavu.data.sample import Sample
from dejavu.data.store import PreparedSplit
from dejavu.seeding import generator


class Batch(NamedTuple):
    """A step's batch.

    Attributes:
        sample: images with their labels.
        scenes: B, the images' positions in the seed's subset.
    """

    sample: Sample
    scenes: Tensor

    def to(self, device: torch.device) -> "Batch":
        """Return the batch with its images and labels on ``device``."""
        return Batch(self.sample.to(device), self.scenes)


class Batches:
    """Batches by step, pure functions of (params, seed, step).

    Args:
        split: the training pool.
        params: subset, batch size, labels, flips.
        seed: the run's seed.

    Attributes:
        subset: the seed's scenes, sorted indices into the pool, without repetition.
        labelled: for each of them, whether its labels are used.
    """

    def __init__(self, split: PreparedSplit, params: TrainParams, seed: int) -> None:
        self._split, self._params, self._seed = split, params, seed
        drawn = torch.randperm(len(split), generator=generator(seed, "subset"))
        self.subset = drawn[: params.subset].sort().values
        count = params.subset if params.labelled is None else params.labelled
        order = torch.randperm(params.subset, generator=generator(seed, "labelled"))
        self.labelled = order.argsort() < count

    def draw(self, step: int) -> Batch:
        """Return a step's batch: each epoch is a permutation; a last partial batch is left out."""
        params, seed = self._params, self._seed
        epoch, position = divmod(step, len(self.subset) // params.batch_size)
        order = torch.randperm(len(self.subset), generator=generator(seed, "batches", epoch))
        scenes = order[position * params.batch_size :][: params.batch_size]
        sample = self._hide(self._split.batch(self.subset[scenes]), scenes)
        if params.flip:
            sample = sample.flip(
                torch.rand(len(scenes), generator=generator(seed, "flip", step)) < 0.5
            )
        return Batch(sample, scenes)

    def _hide(self, sample: Sample, scenes: Tensor) -> Sample:
        """Hide the labels that are not used: of a scene, the same ones in every epoch."""
        density = self._params.label_density
        if density == 1 and self.labelled.all():
            return sample
        size = sample.label.shape[1:]
        known = [
            torch.rand(size, generator=generator(self._seed, "label density", int(scene))) < density
            for scene in scenes
        ]
        return sample.hide_labels(torch.stack(known) & self.labelled[scenes].view(-1, 1, 1))
