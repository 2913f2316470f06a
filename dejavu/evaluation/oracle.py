"""The regeneration module alone: trained under a condition, and measured on held-out images."""

from collections.abc import Callable, Iterable, Iterator

import torch
from torch import Tensor

from dejavu.config import Params, TrainParams
from dejavu.data.opening import open_split
from dejavu.data.sample import Batch
from dejavu.data.split import Split
from dejavu.method.loss import RegenerationLoss
from dejavu.runtime.seeding import generator
from dejavu.study.layout import Layout
from dejavu.study.run import Run
from dejavu.tasks.base import Task
from dejavu.training.batches import Batches, StepBatch
from dejavu.training.checkpoint import best_device
from dejavu.training.optimisation import clip_gradients, create_optimizer, learning_rate, set_rate
from dejavu.training.step import TrainingModule

Condition = Callable[[Batch], Tensor]
"""Maps a batch to the condition of the regeneration, B x channels x H x W."""


def zeros(task: Task) -> Condition:
    """Condition the regeneration on zeros: no information."""
    return lambda batch: torch.zeros_like(task.encode(task.target(batch)))


def ground_truth(task: Task) -> Condition:
    """Condition the regeneration on the encoded ground truth."""
    return lambda batch: task.encode(task.target(batch))


def open_pool_and_val(layout: Layout, task: str) -> tuple[Split, Split]:
    """Open the training pool and the val split, and verify both.

    Raises:
        DataError: the data is missing or damaged, or another study prepared it.
    """
    pool, val = (
        open_split(layout.data, layout.params.data, split, [task]) for split in ("train", "val")
    )
    pool.verify()
    val.verify()
    return pool, val


def train_alone(run: Run, task: Task, condition: Condition, pool: Split) -> RegenerationLoss:
    """Train the CRM of a run without the network, on the run's own batches and redactions.

    Its weights equal, byte for byte, those of training beside the network under the condition: in
    such a run no gradient flows from one to the other.

    Args:
        run: a run with the DejaVu loss.
        task: its task.
        condition: the condition of the CRM.
        pool: the training pool.
    """
    params, device = run.train, best_device()
    module, batches = TrainingModule(run, task, device), Batches(pool, run.train, run.seed)
    criterion = module.criterion
    assert criterion is not None

    def losses(prepared: Iterable[StepBatch]) -> Iterator[Tensor]:
        for step, batch in enumerate(prepared):
            images = batch.to(device).images
            draws = generator(run.seed, "redaction", step)
            yield criterion.loss_from_condition(images.image, condition(images), draws)

    with batches.steps(0, params.steps) as prepared:
        descend(criterion, losses(prepared), params)
    return criterion


def descend(criterion: RegenerationLoss, losses: Iterable[Tensor], params: TrainParams) -> None:
    """Take an optimiser step for each loss, with the clipping and schedule of training."""
    optimizer = create_optimizer(None, criterion, params)
    for step, loss in enumerate(losses):
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        clip_gradients(criterion, params)
        set_rate(optimizer, learning_rate(step, params))
        optimizer.step()


def held_out(
    criterion: RegenerationLoss, condition: Condition, split: Split, params: Params
) -> float:
    """Return the held-out loss: the mean of L_DV, unweighted, over a whole split.

    Each batch draws its own redactions. Images are cropped about their centre to the size of the
    training crop.
    """
    device, batch_size = best_device(), params.evaluation.batch_size
    total = 0.0
    with torch.inference_mode():
        for start in range(0, len(split), batch_size):
            indices = range(start, min(start + batch_size, len(split)))
            batch = split.batch(indices, params.train.augmentation.crop).to(device)
            draws = generator(0, "held out", start)
            regeneration = criterion.regenerate_from_condition(batch.image, condition(batch), draws)
            total += criterion.distance(regeneration, batch.image).item() * len(indices)
    return total / len(split)
