"""Predictions as files: written once, scored later, here or by a data set's official tools.

Label maps are PNG files with the data set's own ids and names, so that its tools read them; depth
and normals are float arrays, because a PNG would round the values to be scored.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from dejavu.data.indexed import IndexedSplit
from dejavu.data.opening import open_split
from dejavu.data.split import Split
from dejavu.datasets.reading.conventions import ROLES
from dejavu.datasets.reading.raw import Array
from dejavu.evaluation.metrics import create_metrics
from dejavu.evaluation.prediction_files import (
    axis_agreement,
    depth_ratios,
    read_labels,
    read_map,
    require_frame,
    require_metres,
)
from dejavu.evaluation.score import describe, load_run, predictions
from dejavu.runtime.errors import DataError
from dejavu.runtime.files import whole_file
from dejavu.runtime.outputs import require_apart
from dejavu.runtime.progress import Progress, silent
from dejavu.runtime.strict_json import write_json
from dejavu.study.layout import Layout
from dejavu.study.run import Run
from dejavu.tasks.base import Task
from dejavu.training.build import build_task


def save_predictions(
    layout: Layout, run: Run, folder: Path, progress: Progress = silent
) -> list[Path]:
    """Predict the evaluated split, and write one file per image into ``folder``.

    Raises:
        CheckpointError: the run's checkpoint is missing or of another run.
        DataError: the data is missing or damaged.
        DejaVuError: a prediction would be written over a file of the data set.
    """
    protocol = run.params.evaluation
    scenes = open_split(layout.data, layout.params.data, protocol.split, [run.task])
    trained = load_run(run, layout.checkpoint(run), scenes.manifest)
    scenes.verify()
    torch.set_num_threads(run.params.train.threads)  # as in the evaluation
    require_apart(
        _files(scenes, run.task, folder), [layout.checkpoint(run), *_inputs(layout, scenes)]
    )
    files = []
    for indices, _, predicted in predictions(trained.model, trained.task, scenes, protocol):
        for index, prediction in zip(indices, predicted, strict=True):
            path = folder / _file_name(scenes, run.task, index)
            _write(path, scenes, prediction)
            files.append(path)
            progress(len(files), len(scenes))
    return files


def score_predictions(layout: Layout, run: Run, folder: Path, output: Path) -> dict[str, Any]:
    """Score saved predictions by the study's protocol, and write a metrics file.

    Args:
        layout: the study, with its data in place.
        run: the run that the metrics file names; its weights are not read.
        folder: predictions of `save_predictions` or of another program.
        output: metrics file to write (JSON).

    Raises:
        DataError: a prediction is missing, or is of another size, kind or unit than its ground
            truth.
        DejaVuError: the metrics file would be written over a prediction or a file of the data set.
    """
    protocol = run.params.evaluation
    scenes = open_split(layout.data, layout.params.data, protocol.split, [run.task])
    require_apart([output], [*_files(scenes, run.task, folder), *_inputs(layout, scenes)])
    scenes.verify()
    torch.set_num_threads(run.params.train.threads)  # sums depend on the number
    task = build_task(run.identity(), scenes.manifest.palette)
    metrics = create_metrics(task, protocol)
    ratios: list[float] = []
    agreements: list[Array] = []
    # The evaluation's batches, so that sums are taken in the same order.
    for indices in scenes.batches(protocol.batch_size):
        target = task.target(scenes.batch(indices))
        prediction = _read_batch(scenes, task, folder, indices, target)
        if task.name == "depth":
            ratios += depth_ratios(prediction.numpy(), target.numpy())
        if task.name == "normals":
            agreements.append(axis_agreement(prediction.numpy(), target.numpy()))
        for metric in metrics:
            metric.update(prediction, target)
    if protocol.depth_alignment == "none":
        require_metres(folder, ratios)
    require_frame(folder, agreements)
    result = describe(run, scenes, task, metrics) | {"weights": None, "predictions": str(folder)}
    write_json(output, result)
    return result


def _read_batch(
    scenes: Split, task: Task, folder: Path, indices: Sequence[int], target: Tensor
) -> Tensor:
    """Read the predictions of some images, and check each one against its ground truth."""
    read = []
    for index, truth in zip(indices, target, strict=True):
        path = folder / _file_name(scenes, task.name, index)
        if not path.is_file():
            there = ", ".join(sorted(other.name for other in folder.glob(f"{path.stem}.*")))
            raise DataError(
                f"{path}: is missing; every image of the split needs a prediction"
                + (f" in this format, and there is {there}" if there else "")
            )
        if path.suffix == ".npy":
            read.append(torch.from_numpy(read_map(path, task.name, truth.numpy())))
            continue
        labels = read_labels(path, _ids(scenes), scenes.manifest.class_names)
        if labels.shape != truth.shape:
            raise DataError(
                f"{path}: has shape {labels.shape}, but the ground truth has "
                f"{tuple(truth.shape)}; predict at the size of the truth"
            )
        read.append(torch.from_numpy(labels))
    return torch.stack(read)


def _file_name(scenes: Split, task: str, index: int) -> str:
    name = scenes.name(index)
    if task != "segmentation":
        return f"{name}.npy"
    if isinstance(scenes, IndexedSplit):
        return scenes.dataset.prediction_name(scenes.entry(index))
    return f"{name}.png"


def _files(scenes: Split, task: str, folder: Path) -> list[Path]:
    return [folder / _file_name(scenes, task, index) for index in range(len(scenes))]


def _inputs(layout: Layout, scenes: Split) -> list[Path]:
    """List the files of the evaluated split, prepared and as downloaded."""
    prepared = [layout.manifest, scenes.path]
    if not isinstance(scenes, IndexedSplit):
        return prepared
    entries = [scenes.entry(index) for index in range(len(scenes))]
    own = {file for entry in entries for file in entry.files.values()}
    shared = scenes.dataset.shared_files([*ROLES.values()])
    return prepared + [scenes.dataset.root / file for file in (*own, *shared)]


def _write(path: Path, scenes: Split, prediction: Tensor) -> None:
    with whole_file(path) as temporary:
        if path.suffix == ".png":
            ids = _ids(scenes)[prediction.numpy()]
            Image.fromarray(ids).save(temporary, format="png")
        else:
            with temporary.open("wb") as file:
                np.save(file, prediction.numpy())


def _ids(scenes: Split) -> Array:
    """The data set's id of each class, by label."""
    labels = np.arange(len(scenes.manifest.class_names), dtype=np.uint8)
    return scenes.dataset.to_ids(labels) if isinstance(scenes, IndexedSplit) else labels
