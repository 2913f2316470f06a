"""Checks of tiny downloads, and changes to their files."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dejavu.config import Params
from dejavu.data.check import Checked, check_dataset
from dejavu.runtime.errors import DataError

MAT = "nyu_depth_v2_labeled.mat"


def check(root: Path, params: Params, jobs: int = 1) -> Checked:
    data = params.data
    return check_dataset(data.name, data.variant_name, root, params.tasks, data.val, jobs)


def problem(root: Path, params: Params, jobs: int = 1) -> str:
    with pytest.raises(DataError) as caught:
        check(root, params, jobs)
    return str(caught.value)


def change_png(path: Path, position: tuple[int, int], value: int) -> None:
    pixels = np.array(Image.open(path))
    pixels[position] = value
    Image.fromarray(pixels).save(path)
