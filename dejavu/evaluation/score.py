"""Score a checkpoint on a split; the metrics file records the protocol beside the numbers."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from dejavu.config import EvaluationParams
from dejavu.data.opening import open_split
from dejavu.data.sample import Batch
from dejavu.data.split import Split
from dejavu.datasets.reading.manifest import Manifest
from dejavu.evaluation.inference import infer
from dejavu.evaluation.metrics import create_metrics, protocol_of
from dejavu.metrics.base import Metric
from dejavu.runtime.errors import CheckpointError
from dejavu.runtime.strict_json import write_json
from dejavu.study.run import Run
from dejavu.tasks.base import Task
from dejavu.training.checkpoint import Checkpoint, best_device, load_checkpoint


def evaluate(run: Run, checkpoint: Path, data: Path, output: Path) -> dict[str, Any]:
    """Score a finished run on the split that its params name, and write the metrics file.

    Args:
        run: the run.
        checkpoint: its checkpoint.
        data: folder of the prepared data.
        output: metrics file to write (JSON); it holds no timings.

    Returns:
        The content of the metrics file.

    Raises:
        CheckpointError: the checkpoint is missing, damaged, or stale.
        DataError: the data is missing or damaged.
    """
    protocol = run.params.evaluation
    scenes = open_split(data, run.params.data, protocol.split, [run.task])
    trained = load_run(run, checkpoint, scenes.manifest)
    scenes.verify()
    torch.set_num_threads(run.params.train.threads)
    metrics = create_metrics(trained.task, protocol)
    for _, batch, prediction in predictions(trained.model, trained.task, scenes, protocol):
        for metric in metrics:
            metric.update(prediction, trained.task.target(batch))
    origin = {"weights": trained.provenance.weights, "checkpoint": str(checkpoint)}
    result = describe(run, scenes, trained.task, metrics) | origin
    write_json(output, result)
    return result


def describe(run: Run, scenes: Split, task: Task, metrics: Sequence[Metric]) -> dict[str, Any]:
    """Return the content of a metrics file: the run, the protocol and the numbers."""
    protocol = run.params.evaluation
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
    return {
        "study": run.params.study,
        "dataset": scenes.manifest.name,
        "task": run.task,
        "network": run.network,
        "method": run.method,
        "seed": run.seed,
        "split": protocol.split,
        "images": len(scenes),
        "run": run.hash,
        "protocol": {
            "truth": scenes.manifest.truth[run.truth],
            **protocol_of(run.task, protocol),
        },
        "notes": [*scenes.manifest.notes],
        "primary": task.primary,
        "boundary": task.boundary,
        "metrics": values,
    }


def load_run(run: Run, path: Path, manifest: Manifest) -> Checkpoint:
    """Load a checkpoint, and check that it belongs to ``run`` and was trained on this data.

    Raises:
        CheckpointError: it is damaged, or stale: trained with different params, code or data.
    """
    checkpoint = load_checkpoint(path)
    origin = checkpoint.provenance
    other_images = origin.data != manifest.splits["train"].fingerprints[run.truth]
    if origin.run != run.hash or other_images:
        # The hash decides; comparing fields only names the difference (older results lack some).
        different = [k for k, v in run.identity().items() if origin.identity.get(k) != v]
        different += ["images"] if other_images else []
        raise CheckpointError(
            f"{path}: stale: hash {origin.run}, now {run.hash} "
            f"(different: {', '.join(different) or 'code'}); train it again, with `snakemake`"
        )
    return checkpoint


def predictions(
    model: nn.Module, task: Task, scenes: Split, protocol: EvaluationParams
) -> Iterator[tuple[range, Batch, Tensor]]:
    """Yield (positions, batch, prediction) over a whole split in order, on the CPU."""
    device = best_device()
    model = model.to(device, memory_format=torch.channels_last).eval()  # type: ignore[call-overload]
    with torch.inference_mode():
        for indices in scenes.batches(protocol.batch_size):
            batch = scenes.batch(indices)
            prediction = infer(model, task, batch.image.to(device), protocol)
            yield indices, batch, prediction.cpu()
