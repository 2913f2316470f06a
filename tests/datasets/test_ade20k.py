"""ADE20K as downloaded: what is read is what was rendered, and scored as the challenge did."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from dejavu.datasets.ade20k import IDS, LABELS, Dataset
from dejavu.datasets.reading.conventions import IGNORE_INDEX
from dejavu.datasets.reading.raw import Array, Entry
from dejavu.datasets.reading.registry import dataset_class
from dejavu.metrics import ConfusionMetric
from dejavu.runtime.errors import DataError
from tests.support.builders import ade20k as builder
from tests.support.builders.scenes import scene
from tests.support.listings import read_all_without_writing, shuffle_listings
from tests.support.png import write_png
from tests.support.studies import Downloads

few = settings(max_examples=15)


@pytest.fixture
def root(downloads: Downloads) -> Path:
    return downloads("ade20k")


@pytest.fixture
def copy(copy_of: Downloads) -> Path:
    return copy_of("ade20k")


def opened(root: Path) -> Dataset:
    return Dataset(root, "challenge")


def numbered(root: Path) -> Iterator[tuple[int, Entry]]:
    """Every entry with the index of its rendered scene."""
    dataset = opened(root)
    return enumerate([*dataset.entries("train"), *dataset.entries("test")])


def test_entries_are_the_official_images_by_name(root: Path) -> None:
    train, test = (opened(root).entries(split) for split in ("train", "test"))
    assert [entry.name for entry in train] == [f"ADE_train_{i:08d}" for i in range(1, 7)]
    assert [entry.name for entry in test] == [f"ADE_val_{i:08d}" for i in range(1, 4)]
    assert all(entry.group == entry.name for entry in train)
    assert test[0].files == {
        "image": "images/validation/ADE_val_00000001.jpg",
        "label": "annotations/validation/ADE_val_00000001.png",
    }


def test_entries_do_not_follow_the_order_of_a_listing(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = opened(root).entries("train")
    shuffle_listings(monkeypatch)
    assert opened(root).entries("train") == expected


def test_labels_are_those_that_were_written(root: Path) -> None:
    dataset = opened(root)
    for index, entry in numbered(root):
        label = dataset.read(entry, "label")
        ids = builder.label_ids(index, *builder.size(index)).tolist()
        assert label.dtype == np.uint8
        assert label.tolist() == [[v - 1 if v else IGNORE_INDEX for v in row] for row in ids]
        assert set(range(150)) | {IGNORE_INDEX} == set(np.unique(label).tolist())


def test_colour_grey_and_cmyk_photographs_are_read_as_rgb(root: Path) -> None:
    dataset = opened(root)
    modes = []
    for index, entry in numbered(root):
        with Image.open(dataset.path(entry, "image")) as stored:
            modes.append(stored.mode)
        image = dataset.read(entry, "image")
        truth = scene(index, *builder.size(index)).image.astype(float)
        if modes[-1] == "L":  # ITU-R 601 luma
            truth = np.repeat(truth @ [[0.299], [0.587], [0.114]], 3, axis=2)
        assert image.dtype == np.uint8
        assert image.shape == truth.shape
        assert np.abs(image - truth).mean() < 3  # what the JPEG loses
    assert modes == ["RGB", "L", "CMYK"] * 3


def test_a_palette_file_is_read_by_its_values_not_its_colours(copy: Path) -> None:
    dataset = opened(copy)
    entry = dataset.entries("train")[0]
    expected = dataset.read(entry, "label")
    path = dataset.path(entry, "label")
    with Image.open(path) as stored:
        stored.load()
    stored.putpalette([255 - value // 2 % 256 for value in range(768)])
    assert stored.mode == "P"
    stored.save(path)
    assert np.array_equal(dataset.read(entry, "label"), expected)


def test_ids_stored_with_4_bits_keep_their_classes(copy: Path) -> None:
    """1, 4 and 6 are wall, floor and ceiling; stretched to 8 bits, they would be other classes."""
    dataset = opened(copy)
    entry = dataset.entries("train")[0]
    write_png(dataset.path(entry, "label"), np.array([[0, 1], [4, 6]]), bits=4)
    assert dataset.read(entry, "label").tolist() == [[IGNORE_INDEX, 0], [3, 5]]


def test_ids_of_labels_read_back_as_the_labels(root: Path) -> None:
    labels = np.array([[*range(150), IGNORE_INDEX]], np.uint8)
    ids = opened(root).to_ids(labels)
    assert ids.dtype == np.uint8
    assert ids.tolist() == [[*range(1, 151), 0]]
    assert LABELS[ids].tolist() == labels.tolist()


def test_a_prediction_is_named_as_its_annotation(root: Path) -> None:
    dataset = opened(root)
    for entry in dataset.entries("test"):
        assert dataset.prediction_name(entry) == dataset.path(entry, "label").name


def test_class_names_and_colours() -> None:
    """Checked against objectInfo150.txt of the development kit, and the colours in common use."""
    variant = Dataset.variants["challenge"]
    names = dict(enumerate(variant.class_names, start=1))
    known = {1: "wall", 8: "bed", 45: "chest of drawers", 59: "screen door", 90: "television"}
    known |= {123: "tank", 131: "screen", 137: "traffic light", 142: "crt screen", 150: "flag"}
    assert {index: names[index] for index in known} == known
    assert len(set(variant.class_names)) == len(variant.class_names) == 150
    assert len(variant.palette) == 150
    assert len(set(variant.palette)) == 149  # road and skyscraper are both grey
    assert [variant.palette[i] for i in (0, 1, 6, 48, 149)] == [
        (120, 120, 120),
        (180, 120, 120),
        (140, 140, 140),
        (140, 140, 140),
        (92, 0, 255),
    ]


def challenge_iou(pairs: list[tuple[Array, Array]]) -> Array:
    """IoU of classes 1 to 150 by the challenge's rule, from (predicted, true) maps of ids."""
    intersection, union = np.zeros(151), np.zeros(151)
    for predicted, truth in pairs:
        kept = np.where(truth > 0, predicted, 0)
        for value in range(151):
            ours, theirs = kept == value, truth == value
            intersection[value] += (ours & theirs).sum()
            union[value] += ours.sum() + theirs.sum() - (ours & theirs).sum()
    iou: Array = intersection / (union + np.spacing(1))
    return iou[1:]


@few
@given(seed=st.integers(0, 10**6), classes=st.sampled_from([3, 60, 150]))
def test_scores_are_those_of_the_challenge(seed: int, classes: int) -> None:
    """Its mean is over all 150 classes, which the 2000 images have; ours over those present."""
    draws = np.random.default_rng(seed)
    metric, pairs = ConfusionMetric(150), []
    for shape in ((40, 50), (35, 61)):
        truth = draws.integers(0, classes + 1, shape).astype(np.uint8)
        labels = LABELS[truth]
        guess = draws.integers(0, classes, shape).astype(np.uint8)
        ignored = labels == IGNORE_INDEX
        prediction = np.where(ignored | (draws.random(shape) < 0.4), guess, labels)
        metric.update(*(torch.from_numpy(m[None].astype(np.int64)) for m in (prediction, labels)))
        pairs.append((IDS[prediction], truth))
    theirs = challenge_iou(pairs)
    ours = metric.iou_per_class().numpy() / 100
    present = ~np.isnan(ours)
    assert np.flatnonzero(present).tolist() == list(range(classes))
    assert ours[present] == pytest.approx(theirs[present], rel=0, abs=1e-9)
    assert metric.compute()["miou"] / 100 == pytest.approx(theirs[:classes].mean(), rel=0, abs=1e-9)
    assert not theirs[classes:].any()


def test_an_image_or_label_that_is_absent_is_listed_all_the_same(copy: Path) -> None:
    dataset = opened(copy)
    entries = dataset.entries("test")
    dataset.path(entries[0], "image").unlink()
    dataset.path(entries[1], "label").unlink()
    assert dataset.entries("test") == entries
    for entry, role in ((entries[0], "image"), (entries[1], "label")):
        with pytest.raises(DataError, match=rf"{entry.files[role]}: is missing"):
            dataset.read(entry, role)


@pytest.mark.parametrize("value", [151, 255])
def test_an_id_that_is_not_defined_is_refused(copy: Path, value: int) -> None:
    dataset = opened(copy)
    entry = dataset.entries("train")[0]
    ids = builder.label_ids(0, *builder.size(0))
    ids[5, 7] = value
    Image.fromarray(ids).save(dataset.path(entry, "label"))
    with pytest.raises(DataError, match=rf"ADE_train_00000001.png: holds the id {value};"):
        dataset.read(entry, "label")


@pytest.mark.parametrize(
    ("role", "mode", "message"),
    [
        ("label", "RGB", "is a PNG of 8-bit RGB"),
        ("label", "I;16", "is a PNG of 16-bit grey"),
        ("image", "I;16", "has 16 bits a channel"),
    ],
)
def test_a_file_of_another_depth_is_refused(copy: Path, role: str, mode: str, message: str) -> None:
    """Also: the full ADE20K's own annotations, whose ids are spread over R and G."""
    dataset = opened(copy)
    entry = dataset.entries("train")[0]
    path = dataset.path(entry, role)
    Image.new(mode, (96, 64)).save(path, format="PNG")
    with pytest.raises(DataError, match=rf"{entry.files[role]}: {message}"):
        dataset.read(entry, role)


@pytest.mark.parametrize("role", ["image", "label"])
def test_a_truncated_file_is_refused(copy: Path, role: str) -> None:
    dataset = opened(copy)
    entry = dataset.entries("train")[0]
    path = dataset.path(entry, role)
    path.write_bytes(path.read_bytes()[:-60])
    with pytest.raises(DataError, match=rf"{entry.files[role]}: cannot be decoded"):
        dataset.read(entry, role)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("wall", "ceiling", "class 1 is not wall"),
        ("flag", "pennant", "class 150 is not flag"),
        ("150\t0.01", "151\t0.01", "class 150 is not flag"),
        ("9\t0.01", "nine\t0.01", "cannot be read"),
        ("\t", " ", "cannot be read"),
    ],
)
def test_another_release_or_a_damaged_list_of_classes_is_refused(
    copy: Path, old: str, new: str, message: str
) -> None:
    info = copy / "objectInfo150.txt"
    info.write_text(info.read_text().replace(old, new))
    with pytest.raises(DataError, match=f"objectInfo150.txt: {message}"):
        opened(copy).entries("train")


def test_a_class_may_be_listed_by_any_order_of_its_synonyms(copy: Path) -> None:
    info = copy / "objectInfo150.txt"
    info.write_text(info.read_text().replace("\ttelevision", "\ttelevision receiver, television"))
    assert len(opened(copy).entries("train")) == 6


def test_a_folder_one_level_off_is_refused_with_the_right_one(root: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=f"too low .*give {root}$"):
        opened(root / "images")
    with pytest.raises(DataError, match=f"too high .*give {root}$"):
        opened(root.parent)
    with pytest.raises(DataError, match=r"/images/training: is missing[\s\S]*ADEchallenge"):
        opened(tmp_path)


def test_a_read_only_folder_is_read_and_left_as_it_was(copy: Path) -> None:
    read_all_without_writing(copy, opened)


def test_the_module_is_found_by_its_name() -> None:
    assert dataset_class("ade20k") is Dataset
