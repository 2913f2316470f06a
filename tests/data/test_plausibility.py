"""Splits whose every file is valid, and of which nothing can be right."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from dejavu.data.plausibility import judge
from dejavu.datasets.reading.inspecting import Found, inspect
from dejavu.datasets.reading.raw import Array, Entry, RawDataset, Variant
from dejavu.runtime.errors import DataError
from tests.support.checking import check, problem
from tests.support.studies import Downloads, disk_params

HEIGHT, WIDTH, CLASSES = 4, 6, ("road", "car", "sky")
Change = Callable[[int, str, Array], Array]


class Made(RawDataset):
    """Images made on reading, with what a test changes in them."""

    markers = ()
    variants = {"made": Variant("", {}, CLASSES, [(0, 0, 0)] * 3)}  # noqa: RUF012

    def __init__(self, root: Path, change: Change) -> None:
        super().__init__(root, "made")
        self.change = change
        (root / "file").touch()

    def entries(self, split: str) -> list[Entry]:
        raise NotImplementedError

    def read(self, entry: Entry, role: str) -> Array:
        rng = np.random.default_rng(entry.position)
        normals = rng.normal(size=(HEIGHT, WIDTH, 3)).astype(np.float32)
        normals[..., 2] = -abs(normals[..., 2])
        parts = {
            "image": rng.integers(0, 255, (HEIGHT, WIDTH, 3), np.uint8),
            "label": rng.integers(0, 3, (HEIGHT, WIDTH), np.uint8),
            "depth": rng.uniform(1, 9, (HEIGHT, WIDTH)).astype(np.float32),
            "normals": normals / np.linalg.norm(normals, axis=2, keepdims=True),
        }
        return self.change(entry.position, role, parts[role])


def judged(root: Path, change: Change, count: int = 5) -> list[str]:
    dataset, roles = Made(root, change), ("label", "depth", "normals")
    files = dict.fromkeys(("image", *roles), "file")
    found: list[Found] = [
        inspect(dataset, Entry(f"n{i}", f"n{i}", files, position=i), roles) for i in range(count)
    ]
    return judge(dataset, "train", found)


def changing(role: str, to: Callable[[Array], Any], *, only: int | None = None) -> Change:
    def change(index: int, asked: str, part: Array) -> Array:
        return to(part) if asked == role and only in (None, index) else part

    return change


def like(value: float) -> Callable[[Array], Array]:
    return lambda part: np.full_like(part, value)


def test_a_split_that_may_be_right_has_no_notes(tmp_path: Path) -> None:
    assert judged(tmp_path, lambda index, role, part: part) == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (changing("label", like(255)), "no pixel has a class"),
        (changing("label", like(1)), "every labelled pixel is car"),
        (changing("label", lambda part: np.where(part == 2, 2, 255).astype(np.uint8)), "is sky"),
        (changing("depth", like(0)), "no pixel of any image has depth"),
        (changing("depth", like(1.5)), "every known depth is 1.5 m"),
        (changing("normals", like(0)), "no pixel of any image has normals"),
        (changing("normals", np.negative), "point away from the camera"),
        (changing("image", like(0)), "every image is of one colour"),
        (
            changing("label", lambda part: np.arange(24).reshape(4, 6).astype(np.uint8) % 3),
            "every image has the same label",
        ),
        (
            changing("depth", lambda part: np.arange(24).reshape(4, 6).astype(np.float32)),
            "every image has the same depth",
        ),
    ],
)
def test_a_split_that_cannot_be_right_is_refused(
    change: Change, message: str, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=f"^{tmp_path}: train: .*{message}"):
        judged(tmp_path, change)


@pytest.mark.parametrize(
    ("change", "note"),
    [
        (changing("label", like(255), only=3), "1 of 5 images have no label at all: n3"),
        (changing("depth", like(0), only=3), "1 of 5 images have no depth at all: n3"),
        (changing("depth", lambda part: 1000 * part), "the median depth is [3-7]... m: .* metres"),
        (changing("depth", lambda part: part / 1000), r"the median depth is 0\.00\d+ m"),
        (changing("image", like(0), only=0), "1 of 5 images are of one colour: n0"),
        (
            lambda index, role, part: part if role != "image" or index > 1 else part * 0 + ROWS,
            "2 of 5 images are there more than once: n0, n1",
        ),
        (changing("label", lambda part: part.clip(1)), "no pixel is road"),
        (
            changing("label", lambda part: np.where(ROWS[..., 0] > 1, 255, part)),
            r"9\d\.\d% of the pixels are unlabelled",
        ),
    ],
)
def test_what_is_odd_is_noted(change: Change, note: str, tmp_path: Path) -> None:
    assert any(re.match(f"train: {note}", found) for found in judged(tmp_path, change))


ROWS = np.arange(HEIGHT * WIDTH, dtype=np.uint8).reshape(HEIGHT, WIDTH, 1).repeat(3, 2)
"""An image of as many greys as pixels."""


def test_few_images_need_not_show_all_classes(tmp_path: Path) -> None:
    change = changing("label", lambda part: part.clip(1))
    assert judged(tmp_path, change, count=2) == []
    assert judged(tmp_path, change, count=3) == ["train: no pixel is road"]


@pytest.mark.parametrize(
    ("role", "to"),
    [
        ("image", lambda part: part / np.float32(255)),
        ("image", lambda part: part[..., :2]),
        ("label", lambda part: part.astype(np.int64)),
        ("depth", lambda part: part.astype(np.float64)),
        ("depth", lambda part: part[..., None]),
        ("normals", lambda part: part.transpose(2, 0, 1)),
    ],
)
def test_a_module_that_returns_another_kind_is_told(
    role: str, to: Callable[[Array], Array], tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=rf"file: is read as .*; the {role} must be "):
        judged(tmp_path, changing(role, to))


def test_the_check_judges_each_split(copy_of: Downloads) -> None:
    copy = copy_of("ade20k")
    for path in copy.glob("annotations/validation/*.png"):
        Image.fromarray(np.zeros_like(np.asarray(Image.open(path)))).save(path)
    assert f"{copy}: test: no pixel has a class" in problem(copy, disk_params("ade20k"))


def test_the_check_keeps_what_is_odd(copy_of: Downloads) -> None:
    copy = copy_of("kitti")
    path = sorted(copy.glob("data_depth_annotated/train/*/**/*.png"))[0]
    Image.fromarray(np.zeros_like(np.asarray(Image.open(path)))).save(path)
    notes = check(copy, disk_params("kitti")).notes
    assert any(note.startswith("train: 1 of 6 images have no depth at all: ") for note in notes)
