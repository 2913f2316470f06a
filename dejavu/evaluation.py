"""A checkpoint and a split in, one metrics file that names its protocol out."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from dejavu.checkpoint import Checkpoint, best_device, load_checkpoint
from dejavu.data.sample import Sample
from dejavu.data.store import PreparedSplit
from dejavu.errors import CheckpointError
from dejavu.files import write_text
from dejavu.identity import Run
from dejavu.tasks import Task


def evaluate(run: Run, checkpoint: Path, data: Path, output: Path) -> dict[str, Any]:
    """Score a finished run on the split that its params name, and write the metrics file.

    Args:
        run: the run that the checkpoint must be of.
        checkpoint: its checkpoint.
        data: folder of the prepared data.
        output: metrics file to write (JSON); it holds no timings.

    Returns:
        What was written.

    Raises:
        CheckpointError: the checkpoint is missing, damaged, or of other params or code.
        DataError: the data is missing or damaged.
    """
    trained = load_run(run, checkpoint)
    protocol = run.params.evaluation
    scenes = PreparedSplit(data, protocol.split)
    scenes.verify()
    torch.set_num_threads(run.params.train.threads)
    metrics = trained.task.metrics(protocol)
    for sample, prediction in predictions(trained.model, trained.task, scenes, protocol.batch_size):
        for metric in metrics:
            metric.update(prediction, trained.task.target(sample))

    values = [
        {
            "name": spec.name,
            "unit": spec.unit,
            "higher_is_better": spec.higher_is_better,
            "value": metric.compute()[spec.name],
        }
        for metric in metrics
        for spec in metric.specs
    ]
    result = {
        "study": run.params.study,
        "dataset": run.params.data.name,
        "task": run.task,
        "network": run.network,
        "method": run.method,
        "seed": run.seed,
        "split": protocol.split,
        "images": len(scenes),
        "run": run.hash,
        "checkpoint": str(checkpoint),
        "protocol": protocol.model_dump(exclude={"split", "batch_size"}),
        "primary": trained.task.primary,
        "boundary": trained.task.boundary,
        "metrics": values,
    }
    write_text(output, json.dumps(result, indent=1) + "\n")
    return result


def load_run(run: Run, path: Path) -> Checkpoint:
    """Load a checkpoint and make sure that it is of ``run``.

    Raises:
        CheckpointError: it is damaged, or was trained with other params or other code.
    """
    checkpoint = load_checkpoint(path)
    if checkpoint.run != run.hash:
        different = [k for k, v in run.identity().items() if checkpoint.identity.get(k) != v]
        raise CheckpointError(
            f"{path}: is of run {checkpoint.run}, not {run.hash}: trained with other "
            f"{', '.join(different) or 'code'}; train it again (`snakemake` does)"
        )
    return checkpoint


def predictions(
    model: nn.Module, task: Task, scenes: PreparedSplit, batch_size: int
) -> Iterator[tuple[Sample, Tensor]]:
    """Yield (batch, prediction) over a whole split in order, both on the CPU."""
    device = best_device()
    model = model.to(device, memory_format=torch.channels_last).eval()  # type: ignore[call-overload]
    with torch.inference_mode():
        for start in range(0, len(scenes), batch_size):
            sample = scenes.batch(range(start, min(start + batch_size, len(scenes))))
            yield sample, task.predict(model(sample.image.to(device))).cpu()
