"""Predictions of a trained network for any image."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from dejavu.data.sample import normalise
from dejavu.datasets.reading.decoding import photograph_suffixes, read_image
from dejavu.reporting.pictures import colour
from dejavu.runtime.errors import DataError, DejaVuError
from dejavu.runtime.files import whole_file
from dejavu.runtime.outputs import place, require_apart
from dejavu.training.checkpoint import Checkpoint, load_checkpoint


def predict_images(
    checkpoint: Path, inputs: Sequence[Path], output: Path
) -> Iterator[tuple[Path, Path, Path]]:
    """Predict images one by one, each upright and at its own size.

    The predictions of ``a/b.jpg`` are ``b.npy`` and ``b.png``. Below a folder that is given, the
    folders are kept: of ``photos``, ``photos/a/b.jpg`` becomes ``a/b.npy`` and ``a/b.png``.

    Args:
        checkpoint: checkpoint of a trained run.
        inputs: image files, read by `read_image`, and folders of such files.
        output: output folder; it may be inside an input folder, but may hold no image itself.

    Yields:
        Each image, with the files of its array (labels, metres or unit vectors, by task) and of
        its picture.

    Raises:
        CheckpointError: the checkpoint is missing or damaged.
        DataError: an image is missing or cannot be read.
        DejaVuError: a prediction would replace an image or another prediction; before any is made.
    """
    trained = load_checkpoint(checkpoint, criterion=False)
    names = _names(inputs, output)
    _require_no_image_in(output, names)
    files = {
        image: (output / name.with_suffix(".npy"), output / name.with_suffix(".png"))
        for image, name in names.items()
    }
    require_apart([path for pair in files.values() for path in pair], [checkpoint, *files])
    for image, (array, picture) in files.items():
        _predict(trained, image, array, picture)
        yield image, array, picture


def _predict(trained: Checkpoint, image: Path, array: Path, picture: Path) -> None:
    rgb = torch.from_numpy(read_image(image, upright=True))
    with torch.inference_mode():
        pixels = normalise(rgb.permute(2, 0, 1).unsqueeze(0))
        prediction = trained.task.predict(trained.model(pixels))
    with whole_file(array) as temporary, temporary.open("wb") as file:
        np.save(file, prediction[0].numpy())
    with whole_file(picture) as temporary:
        Image.fromarray(colour(trained.task, prediction)[0].numpy()).save(temporary, format="png")


def _names(inputs: Sequence[Path], output: Path) -> dict[Path, Path]:
    """Return the name of each image below the output folder; no two differ in the suffix alone."""
    names: dict[Path, Path] = {}
    images: dict[Path, Path] = {}
    for path in inputs:
        for image in _images(path, output) if path.is_dir() else [path]:
            if not image.exists():
                raise DataError(f"{image}: no such image")
            name = image.relative_to(path) if path.is_dir() else Path(image.name)
            first = images.setdefault(name.with_suffix(""), image)
            if place(first) != place(image):
                raise DejaVuError(
                    f"{first} and {image}: both predictions would be "
                    f"{output / name.with_suffix('.npy')}; rename one, give the folder that holds "
                    "both, or predict them one by one, each into its own --output"
                )
            names[first] = name
    return names


def _images(folder: Path, output: Path) -> list[Path]:
    """List the images below a folder, without hidden ones and those below the output folder."""

    def refuse(error: OSError) -> None:
        raise error

    suffixes, found = photograph_suffixes(), []
    seen = {place(folder), place(output)}  # links may lead back
    for parent, folders, files in os.walk(folder, onerror=refuse, followlinks=True):
        here = Path(parent)
        folders[:] = sorted(
            name for name in folders if not name.startswith(".") and place(here / name) not in seen
        )
        seen.update(place(here / name) for name in folders)
        images = (here / name for name in sorted(files) if not name.startswith("."))
        found += [path for path in images if path.suffix.lower() in suffixes]
    if not found:
        raise DataError(f"{folder}: has no image ({', '.join(sorted(suffixes))})")
    return found


def _require_no_image_in(output: Path, names: dict[Path, Path]) -> None:
    """Keep predictions out of the images' folders, where a picture could replace a photograph."""
    images = {place(image.parent): image for image in names}
    for folder in {(output / name).parent for name in names.values()}:
        if image := images.get(place(folder)):
            raise DejaVuError(f"--output: {folder} holds the image {image}; name another folder")
