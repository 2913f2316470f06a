"""Rows of the qualitative sheets: each method's input, regeneration, prediction and error."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dejavu.data.opening import open_split
from dejavu.data.sample import Batch, denormalise
from dejavu.datasets.reading.manifest import Manifest
from dejavu.evaluation.score import load_run
from dejavu.reporting.figures import QualitativeRow
from dejavu.reporting.pictures import colour, colour_error
from dejavu.runtime.seeding import generator
from dejavu.study.layout import Layout
from dejavu.study.run import Run
from dejavu.training.checkpoint import Checkpoint

Picture = NDArray[np.uint8]


def qualitative_rows(layout: Layout, task: str) -> list[QualitativeRow]:
    """Draw scenes with the reference and each live DejaVu method, on the first network and seed.

    The scenes are the first `report.scenes` of the evaluated split, not chosen by hand.

    Args:
        layout: the study, with its data and checkpoints in place.
        task: a task of the study.

    Returns:
        A row for each method and scene: image, redacted, regenerated, prediction of the
        reference, prediction of the method, ground truth, and both errors.
    """
    params = layout.params
    scenes = open_split(layout.data, params.data, params.evaluation.split, [task])
    first = range(min(params.report.scenes, len(scenes)))
    batch = scenes.batch(first, params.train.augmentation.crop)
    name = params.report.reference
    reference = _load(layout, task, name, scenes.manifest)
    treated = [
        label
        for label, method in params.methods.items()
        if method.dejavu and method.dejavu.condition == "live"
    ]
    rows = []
    for label in treated or [name]:
        with torch.inference_mode():
            columns = (
                _columns(batch, name, reference, _load(layout, task, label, scenes.manifest))
                if treated
                else _reference_columns(batch, name, reference)
            )
        rows += [
            QualitativeRow(label, [(title, pictures[index]) for title, pictures in columns.items()])
            for index in range(len(batch.image))
        ]
    return rows


def _load(layout: Layout, task: str, method: str, manifest: Manifest) -> Checkpoint:
    network, seed = next(iter(layout.params.networks)), layout.params.seeds[0]
    run = Run(layout.params, task, network, method, seed)
    return load_run(run, layout.checkpoint(run), manifest)


def _columns(
    batch: Batch, name: str, reference: Checkpoint, treated: Checkpoint
) -> dict[str, Picture]:
    task = treated.task
    output = treated.model(batch.image)
    assert treated.criterion is not None
    seen = treated.criterion.regenerate(batch.image, output, generator(0, "qualitative"))
    before = task.predict(reference.model(batch.image))
    after = task.predict(output)
    target = task.target(batch)
    return {
        "image": _rgb(batch.image),
        "redacted": _rgb(seen.redacted),
        "regenerated": _rgb(seen.regenerated),
        name: colour(task, before).numpy(),
        "DejaVu": colour(task, after).numpy(),
        "ground truth": colour(task, target).numpy(),
        f"{name}'s error": colour_error(task, before, target).numpy(),
        "DejaVu's error": colour_error(task, after, target).numpy(),
    }


def _reference_columns(batch: Batch, name: str, reference: Checkpoint) -> dict[str, Picture]:
    """Return the columns for a study without regeneration."""
    task, target = reference.task, reference.task.target(batch)
    prediction = task.predict(reference.model(batch.image))
    return {
        "image": _rgb(batch.image),
        name: colour(task, prediction).numpy(),
        "ground truth": colour(task, target).numpy(),
        f"{name}'s error": colour_error(task, prediction, target).numpy(),
    }


def _rgb(image: Tensor) -> Picture:
    return denormalise(image).permute(0, 2, 3, 1).numpy()
