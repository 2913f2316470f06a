"""COCO panoptic as downloaded: labels equal the official converter's.

panopticapi is on no package index: `converted` follows its converter step by step instead.
"""

import json
import pickle
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from dejavu.datasets import coco
from dejavu.datasets.coco import CATEGORIES, Dataset
from dejavu.datasets.reading.conventions import IGNORE_INDEX
from dejavu.datasets.reading.raw import Array, Entry
from dejavu.datasets.reading.registry import dataset_class
from dejavu.runtime.errors import DataError
from tests.support.builders import coco as builder
from tests.support.builders.scenes import scene
from tests.support.listings import read_all_without_writing
from tests.support.png import write_png
from tests.support.studies import Downloads

VAL = "annotations/panoptic_val2017"


@pytest.fixture
def root(downloads: Downloads) -> Path:
    return downloads("coco")


@pytest.fixture
def copy(copy_of: Downloads) -> Path:
    return copy_of("coco")


def opened(root: Path) -> Dataset:
    return Dataset(root, "panoptic-133")


def indexed(dataset: Dataset) -> list[tuple[int, Entry]]:
    """All entries with the index of their rendered scene."""
    return list(enumerate([*dataset.entries("train"), *dataset.entries("test")]))


def annotation_of(root: Path, folder: str, name: str) -> dict[str, Any]:
    tree = json.loads((root / "annotations" / f"panoptic_{folder}.json").read_text())
    (found,) = (a for a in tree["annotations"] if a["file_name"] == f"{name}.png")
    return dict(found)


def converted(root: Path, folder: str, name: str) -> Array:
    """The category id of each pixel, 0 for none: panoptic2semantic_segmentation.py, by segment."""
    with Image.open(root / "annotations" / f"panoptic_{folder}" / f"{name}.png") as file:
        red, green, blue = np.asarray(file).astype(np.uint32).transpose(2, 0, 1)
    panoptic = red + 256 * green + 256 * 256 * blue
    semantic = np.zeros(panoptic.shape, np.uint8)
    for segment in annotation_of(root, folder, name)["segments_info"]:
        semantic[panoptic == segment["id"]] = segment["category_id"]
    return semantic


def test_what_is_read_is_what_was_rendered(root: Path) -> None:
    dataset = opened(root)
    seen: set[int] = set()
    for index, entry in indexed(dataset):
        label = dataset.read(entry, "label")
        assert label.dtype == np.uint8
        np.testing.assert_array_equal(label, builder.category_labels(index))
        image = dataset.read(entry, "image")
        difference = image.astype(int) - scene(index).image
        assert image.shape == (64, 96, 3)
        assert np.abs(difference).mean() < 6  # JPEG
        seen |= {*np.unique(label).tolist()}
    assert IGNORE_INDEX in seen
    assert len(seen) > 40


def test_labels_and_their_ids_are_those_of_the_official_converter(root: Path) -> None:
    dataset = opened(root)
    for split, folder in (("train", "train2017"), ("test", "val2017")):
        for entry in dataset.entries(split):
            ids = dataset.to_ids(dataset.read(entry, "label"))
            assert ids.dtype == np.uint8
            np.testing.assert_array_equal(ids, converted(root, folder, entry.name))
            assert dataset.prediction_name(entry) == f"{entry.name}.png"


def test_crowds_are_kept_as_their_category(root: Path) -> None:
    dataset, crowds = opened(root), 0
    for index, entry in indexed(dataset):
        crowd = scene(index).label == builder.CROWD
        assert (dataset.read(entry, "label")[crowd] != IGNORE_INDEX).all()
        crowds += int(crowd.sum())
    assert crowds


def test_the_splits_are_train2017_and_val2017(root: Path) -> None:
    dataset = opened(root)
    assert [entry.name for entry in dataset.entries("train")] == [
        f"{image:012d}" for image in (9, 25, 41, 57, 73, 89)
    ]
    for entry, image in zip(dataset.entries("test"), (139, 155, 171), strict=True):
        assert entry.name == entry.group == f"{image:012d}"
        assert entry.files == {
            "image": f"val2017/{image:012d}.jpg",
            "label": f"{VAL}/{image:012d}.png",
        }


def test_the_categories_are_the_official_ones() -> None:
    assert dataset_class("coco") is Dataset
    variant = Dataset.variants["panoptic-133"]
    ids = [category for category, _, _ in CATEGORIES]
    assert len(ids) == len({*variant.class_names}) == len({*variant.palette}) == 133
    assert ids == sorted(ids)
    assert sum(category <= 90 for category in ids) == 80  # things
    facts = {0: (1, "person", (220, 20, 60)), 79: (90, "toothbrush", (191, 162, 208))}
    facts |= {80: (92, "banner", (255, 255, 128)), 132: (200, "rug-merged", (250, 141, 255))}
    assert {label: CATEGORIES[label] for label in facts} == facts


def test_each_json_is_parsed_once(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parsed: list[Path] = []
    original = coco._read_segments

    def counted(path: Path) -> Array:
        parsed.append(path)
        return original(path)

    monkeypatch.setattr(coco, "_read_segments", counted)
    dataset = opened(root)
    assert not parsed
    for _, entry in indexed(dataset) * 2:
        dataset.read(entry, "label")
    assert [path.name for path in parsed] == ["panoptic_train2017.json", "panoptic_val2017.json"]


def test_another_process_reads_without_listing(root: Path) -> None:
    entry = opened(root).entries("test")[1]
    elsewhere = pickle.loads(pickle.dumps(opened(root)))
    np.testing.assert_array_equal(elsewhere.read(entry, "label"), builder.category_labels(7))


def change(root: Path, edit: Callable[[dict[str, Any]], object]) -> None:
    """Edit the annotations of val2017."""
    path = root / f"{VAL}.json"
    tree = json.loads(path.read_text())
    edit(tree)
    path.write_text(json.dumps(tree))


def test_an_image_without_segments_is_ignored_everywhere(copy: Path) -> None:
    path = copy / f"{VAL}/000000000139.png"
    Image.fromarray(np.zeros((64, 96, 3), np.uint8)).save(path)
    change(copy, lambda tree: tree["annotations"][-1].update(segments_info=[]))
    entry = opened(copy).entries("test")[0]
    assert entry.name == "000000000139"
    assert (opened(copy).read(entry, "label") == IGNORE_INDEX).all()


def test_a_segment_that_the_json_does_not_list_is_refused(copy: Path) -> None:
    dropped: list[dict[str, Any]] = []
    change(copy, lambda tree: dropped.append(tree["annotations"][-1]["segments_info"].pop(2)))
    dataset = opened(copy)
    first, second, _ = dataset.entries("test")
    with pytest.raises(
        DataError, match=rf"139\.png: has a segment {dropped[0]['id']} .*val2017\.json"
    ):
        dataset.read(first, "label")
    np.testing.assert_array_equal(dataset.read(second, "label"), builder.category_labels(7))


def test_a_label_without_annotation_is_refused(copy: Path) -> None:
    entry = opened(copy).entries("test")[0]
    change(copy, lambda tree: tree["annotations"].pop())
    with pytest.raises(DataError, match=r"139\.png: .*panoptic_val2017\.json has no annotation"):
        opened(copy).read(entry, "label")


@pytest.mark.parametrize("factor", [1, 256, 257])
def test_segments_stored_with_16_bits_a_channel_keep_their_categories(
    copy: Path, factor: int
) -> None:
    """The upper bytes alone would be void everywhere."""
    dataset = opened(copy)
    entry = dataset.entries("test")[0]
    expected = dataset.read(entry, "label")
    path = dataset.path(entry, "label")
    write_png(path, np.asarray(Image.open(path)).astype(int) * factor, 16, "RGB")
    np.testing.assert_array_equal(dataset.read(entry, "label"), expected)
    assert len(np.unique(expected)) > 2


@pytest.mark.parametrize(("mode", "header"), [("L", "8-bit grey"), ("P", "[1248]-bit palette")])
def test_labels_that_are_not_colours_are_refused(copy: Path, mode: str, header: str) -> None:
    path = copy / f"{VAL}/000000000139.png"
    with Image.open(path) as image:
        changed = image.convert(mode)
    changed.save(path)
    dataset = opened(copy)
    with pytest.raises(DataError, match=rf"139\.png: is a PNG of {header}; expected .*RGB"):
        dataset.read(dataset.entries("test")[0], "label")


def test_a_missing_label_is_listed_and_named(copy: Path) -> None:
    (copy / f"{VAL}/000000000155.png").unlink()
    dataset = opened(copy)
    with pytest.raises(DataError, match=r"000000000155\.png: is missing"):
        dataset.read(dataset.entries("test")[1], "label")


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda tree: tree["categories"].pop(), r"categories are not the 133.*\(200, 'rug-merged'"),
        (lambda tree: tree["categories"][0].update(name="man"), r"categories .*\(1, 'man'\)"),
        (lambda tree: tree.update(categories=tree["categories"] * 2), "categories are not the 133"),
        (lambda tree: tree.pop("categories"), r"not a COCO panoptic annotation \(KeyError"),
        (lambda tree: tree.pop("annotations"), r"not a COCO panoptic annotation \(KeyError"),
        (lambda tree: tree.update(annotations=3), r"not a COCO panoptic annotation \(TypeError"),
        (
            lambda tree: tree["annotations"][0]["segments_info"][0].update(category_id=12),
            "of 000000000171.png has the category 12, which",
        ),
        (
            lambda tree: tree["annotations"][0].update(file_name="a.png"),
            r"image 171 .*'a\.png', not 000000000171\.png",
        ),
    ],
)
def test_annotations_that_are_others_are_refused(
    copy: Path, edit: Callable[[dict[str, Any]], object], message: str
) -> None:
    change(copy, edit)
    with pytest.raises(DataError, match=rf"(?s)panoptic_val2017\.json: .*{message}"):
        opened(copy).entries("test")


@pytest.mark.parametrize("content", [b"", b"[]", b'{"categories": [', b"\xff\xfe\x01"])
def test_a_damaged_json_is_refused(copy: Path, content: bytes) -> None:
    (copy / f"{VAL}.json").write_bytes(content)
    with pytest.raises(
        DataError, match=r"panoptic_val2017\.json: is not a COCO panoptic annotation"
    ):
        opened(copy).entries("test")


def test_labels_that_are_still_packed_say_so(copy: Path) -> None:
    shutil.rmtree(copy / VAL)
    with pytest.raises(DataError, match=r"(?s)panoptic_val2017: is missing.*unpack panoptic_val"):
        opened(copy).entries("test")
    (copy / f"{VAL}.zip").touch()
    with pytest.raises(DataError, match=r"panoptic_val2017\.zip: is still packed: unpack it"):
        opened(copy).entries("test")


@pytest.mark.parametrize(("folder", "level"), [("val2017", "too low"), ("..", "too high")])
def test_a_folder_one_level_off_is_refused(copy: Path, folder: str, level: str) -> None:
    with pytest.raises(
        DataError, match=f"one level {level} for COCO panoptic: give .*/copies/coco$"
    ):
        opened((copy / folder).resolve())


def test_the_order_of_annotations_and_segments_does_not_matter(copy: Path, root: Path) -> None:
    def shuffle(tree: dict[str, Any]) -> None:
        for each in (tree["annotations"], *(a["segments_info"] for a in tree["annotations"])):
            random.Random(0).shuffle(each)

    change(copy, shuffle)
    assert opened(copy).entries("test") == opened(root).entries("test")
    for index, entry in enumerate(opened(copy).entries("test"), 6):
        label = opened(copy).read(entry, "label")
        np.testing.assert_array_equal(label, builder.category_labels(index))


def test_a_read_only_folder_is_read_and_left_as_it_was(copy: Path) -> None:
    read_all_without_writing(copy, opened)
