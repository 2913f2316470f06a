"""Predictions of a trained network for any image."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError

from dejavu.data.sample import normalise
from dejavu.reporting.pictures import colour
from dejavu.runtime.errors import DataError
from dejavu.runtime.files import whole_file
from dejavu.training.checkpoint import load_checkpoint


def predict_image(checkpoint: Path, image: Path, output: Path) -> tuple[Path, Path]:
    """Predict one image at its own size.

    Args:
        checkpoint: checkpoint of a trained run.
        image: an image file that Pillow can read; converted to RGB.
        output: output folder.

    Returns:
        Files of the array (labels, metres or unit vectors, by task) and of its picture.

    Raises:
        CheckpointError: the checkpoint is missing or damaged.
        DataError: the image is missing or cannot be read.
    """
    trained = load_checkpoint(checkpoint, criterion=False)
    try:
        rgb = np.array(Image.open(image).convert("RGB"))
    except FileNotFoundError:
        raise DataError(f"{image}: no such image") from None
    except (UnidentifiedImageError, OSError) as error:
        raise DataError(f"{image}: cannot be read as an image ({error})") from None
    with torch.inference_mode():
        pixels = normalise(torch.from_numpy(rgb).permute(2, 0, 1).unsqueeze(0))
        prediction = trained.task.predict(trained.model(pixels))
    array, picture = output / f"{image.stem}.npy", output / f"{image.stem}.png"
    with whole_file(array) as temporary, temporary.open("wb") as file:
        np.save(file, prediction[0].numpy())
    with whole_file(picture) as temporary:
        Image.fromarray(colour(trained.task, prediction)[0].numpy()).save(temporary, format="png")
    return array, picture
