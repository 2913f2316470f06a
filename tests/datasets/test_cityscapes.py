"""Cityscapes as downloaded: what is read is what was rendered, and scored as the official tool."""

import json
import shutil
from pathlib import Path
from shutil import copytree

import numpy as np
import pytest
import torch
from PIL import Image

from dejavu.datasets.cityscapes import IDS, LABELS, Dataset
from dejavu.datasets.reading.conventions import IGNORE_INDEX
from dejavu.datasets.reading.raw import Array, Entry
from dejavu.datasets.reading.registry import dataset_class
from dejavu.metrics import ConfusionMetric
from dejavu.runtime.errors import DataError
from tests.support.builders import cityscapes as builder
from tests.support.builders.scenes import scene
from tests.support.listings import read_all_without_writing, shuffle_listings
from tests.support.official import official, run_official
from tests.support.studies import Downloads

HEIGHT, WIDTH = 64, 96


@pytest.fixture
def root(downloads: Downloads) -> Path:
    return downloads("cityscapes")


@pytest.fixture
def copy(copy_of: Downloads) -> Path:
    return copy_of("cityscapes")


def opened(root: Path) -> Dataset:
    return Dataset(root, "fine")


def number(entry: Entry) -> int:
    """The index of the rendered scene."""
    return int(entry.name.split("_")[1])


def test_entries_are_the_official_images_by_name(root: Path) -> None:
    train, test = (opened(root).entries(split) for split in ("train", "test"))
    assert [entry.name for entry in train] == [
        f"{city}_{index:06d}_000019"
        for city, indices in (("aachen", (0, 2, 4)), ("bochum", (1, 3, 5)))
        for index in indices
    ]
    assert [entry.name for entry in test] == [f"frankfurt_{i:06d}_000019" for i in (6, 7, 8)]
    assert {entry.group for entry in train} == {"aachen", "bochum"}
    assert {entry.group for entry in test} == {"frankfurt"}
    assert test[0].files == {
        "image": "leftImg8bit/val/frankfurt/frankfurt_000006_000019_leftImg8bit.png",
        "label": "gtFine/val/frankfurt/frankfurt_000006_000019_gtFine_labelIds.png",
        "depth": "disparity/val/frankfurt/frankfurt_000006_000019_disparity.png",
    }


def test_entries_do_not_follow_the_order_of_a_listing(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = opened(root).entries("train")
    shuffle_listings(monkeypatch)
    assert opened(root).entries("train") == expected


@pytest.mark.parametrize("split", ["train", "test"])
def test_what_is_read_is_what_was_rendered(root: Path, split: str) -> None:
    dataset = opened(root)
    for entry in dataset.entries(split):
        index = number(entry)
        frame = scene(index, HEIGHT, WIDTH)
        image, label, depth = (dataset.read(entry, role) for role in ("image", "label", "depth"))
        assert np.array_equal(image, frame.image)
        assert label.dtype == np.uint8
        assert label.tolist() == expected_labels(builder.label_ids(index, HEIGHT, WIDTH))
        assert depth.dtype == np.float32
        assert (depth[:, : builder.BORDER] == 0).all()
        seen, truth = (d[:, builder.BORDER :].astype(float) for d in (depth, frame.depth))
        # Half a step of the stored disparity, 1 / 512 pixel, is all that may be lost.
        scale = builder.baseline(index) * frame.intrinsics[0]
        assert np.abs(scale / seen - scale / truth).max() < 1.02 / 512


def expected_labels(ids: Array) -> list[list[int]]:
    """The trainIds of PROTOCOLS.md, pixel by pixel."""
    table = {7: 0, 8: 1, 11: 2, 12: 3, 13: 4, 17: 5, 19: 6, 20: 7, 21: 8, 22: 9, 23: 10, 24: 11}
    table |= {25: 12, 26: 13, 27: 14, 28: 15, 31: 16, 32: 17, 33: 18}
    return [[table.get(value, IGNORE_INDEX) for value in row] for row in ids.tolist()]


def test_classes_are_those_of_the_official_table() -> None:
    _, table = official()
    evaluated = [label for label in table.labels if not label.ignoreInEval]
    evaluated.sort(key=lambda label: label.trainId)
    variant = Dataset.variants["fine"]
    assert list(variant.class_names) == [label.name for label in evaluated]
    assert list(variant.palette) == [label.color for label in evaluated]
    stored = [label for label in table.labels if label.id >= 0]  # number plates are not drawn
    assert {label.id: int(LABELS[label.id]) for label in stored} == {
        label.id: label.trainId for label in stored
    }
    assert (LABELS[len(stored) :] == IGNORE_INDEX).all()
    assert IDS[:19].tolist() == [label.id for label in evaluated]


def test_ids_of_labels_read_back_as_the_labels(root: Path) -> None:
    labels = np.array([[*range(19), IGNORE_INDEX]], np.uint8)
    ids = opened(root).to_ids(labels)
    assert ids.dtype == np.uint8
    assert LABELS[ids].tolist() == labels.tolist()


def predict(truth: Array, seed: int) -> Array:
    """Labels that are wrong in a third of the pixels, also where the truth is ignored."""
    draws = np.random.default_rng(seed)
    guess = draws.integers(0, 19, truth.shape).astype(np.uint8)
    return np.where((truth == IGNORE_INDEX) | (draws.random(truth.shape) < 0.3), guess, truth)


@pytest.mark.parametrize("lacking", [(), (5, 16)])
def test_scores_are_those_of_the_official_tool(
    root: Path, tmp_path: Path, lacking: tuple[int, ...]
) -> None:
    """Also where the truth lacks classes that are predicted: the tool's mean counts them as 0."""
    tool, _ = official()
    copytree(root / "gtFine", tmp_path / "gtFine")
    metric = ConfusionMetric(19)
    dataset = opened(root)
    (tmp_path / "results").mkdir()
    for entry in dataset.entries("test"):
        truth_file = tmp_path / entry.files["label"]
        ids = np.array(Image.open(truth_file))
        ids[np.isin(LABELS[ids], lacking)] = 0
        Image.fromarray(ids).save(truth_file)
        truth = LABELS[ids]
        prediction = predict(truth, number(entry))
        path = tmp_path / "results" / dataset.prediction_name(entry)
        Image.fromarray(dataset.to_ids(prediction)).save(path)
        metric.update(*(torch.from_numpy(m[None].astype(np.int64)) for m in (prediction, truth)))

    result = run_official(tool, tmp_path)
    names = Dataset.variants["fine"].class_names
    theirs = np.array([result["classScores"][name] for name in names])
    ours = metric.iou_per_class().numpy() / 100
    present = ~np.isnan(ours)
    assert np.flatnonzero(~present).tolist() == list(lacking)
    assert ours[present] == pytest.approx(theirs[present], rel=0, abs=1e-9)
    assert 0.1 < ours[present].mean() < 0.9
    miou = metric.compute()["miou"] / 100
    assert miou == pytest.approx(theirs[present].mean(), rel=0, abs=1e-9)
    if not lacking:
        assert miou == pytest.approx(result["averageScoreClasses"], rel=0, abs=1e-9)


def test_disparities_of_no_pixels_are_no_depth(copy: Path) -> None:
    """Stored: 0 was not measured, and 1 is a disparity of 0, infinitely far."""
    dataset = opened(copy)
    entry = dataset.entries("train")[0]
    stored = np.zeros((HEIGHT, WIDTH), np.uint16)
    stored[0, :5] = [0, 1, 2, 257, 65535]
    Image.fromarray(stored).save(dataset.path(entry, "depth"))
    depth = dataset.read(entry, "depth")
    scale = builder.baseline(0) * scene(0, HEIGHT, WIDTH).intrinsics[0]
    assert depth[0, :5] == pytest.approx([0, 0, scale * 256, scale, scale * 256 / 65534], rel=1e-6)
    assert not depth[1:].any()


def camera_of(root: Path, entry: Entry) -> Path:
    return root / f"camera/train/{entry.group}/{entry.name}_camera.json"


def test_each_image_has_its_own_camera(copy: Path) -> None:
    dataset = opened(copy)
    first, second = dataset.entries("train")[:2]
    before = [dataset.read(entry, "depth") for entry in (first, second)]
    camera = json.loads(camera_of(copy, first).read_text())
    camera["extrinsic"]["baseline"] *= 2
    camera_of(copy, first).write_text(json.dumps(camera))
    after = [dataset.read(entry, "depth") for entry in (first, second)]
    assert after[0] == pytest.approx(2 * before[0], rel=1e-6)
    assert np.array_equal(after[1], before[1])


@pytest.mark.parametrize(
    ("package", "role"), [("gtFine", "label"), ("disparity", "depth"), ("camera", "depth")]
)
def test_a_package_that_is_absent_is_named_when_it_is_read(
    copy: Path, package: str, role: str
) -> None:
    shutil.rmtree(copy / package)
    dataset = opened(copy)
    entries = dataset.entries("train")
    assert len(entries) == 6
    with pytest.raises(DataError, match=rf"/{package}: is missing[\s\S]*{package}_trainvaltest"):
        dataset.read(entries[0], role)
    assert dataset.read(entries[0], "image").shape == (HEIGHT, WIDTH, 3)


def test_an_image_or_label_that_is_absent_is_listed_all_the_same(copy: Path) -> None:
    dataset = opened(copy)
    entries = dataset.entries("test")
    dataset.path(entries[0], "image").unlink()
    dataset.path(entries[1], "label").unlink()
    assert dataset.entries("test") == entries
    for entry, role in ((entries[0], "image"), (entries[1], "label")):
        with pytest.raises(DataError, match=rf"{entry.files[role]}: is missing"):
            dataset.read(entry, role)


def spoil_camera(path: Path, section: str, key: str, value: object) -> None:
    camera = json.loads(path.read_text())
    camera[section][key] = value
    path.write_text(json.dumps(camera))


@pytest.mark.parametrize("value", [0, -0.2, float("nan"), float("inf"), None, "wide"])
@pytest.mark.parametrize(("section", "key"), [("extrinsic", "baseline"), ("intrinsic", "fx")])
def test_a_calibration_without_sense_is_refused(
    copy: Path, section: str, key: str, value: object
) -> None:
    dataset = opened(copy)
    entry = dataset.entries("train")[0]
    spoil_camera(camera_of(copy, entry), section, key, value)
    with pytest.raises(DataError, match=rf"{entry.name}_camera.json: .*unpack camera"):
        dataset.read(entry, "depth")


@pytest.mark.parametrize("text", [None, "", "[]", "{}", '{"extrinsic": {"baseline": 0.2}}'])
def test_a_damaged_calibration_is_refused(copy: Path, text: str | None) -> None:
    dataset = opened(copy)
    entry = dataset.entries("train")[0]
    camera = camera_of(copy, entry)
    if text is None:
        camera.unlink()
    else:
        camera.write_text(text)
    with pytest.raises(DataError, match=rf"{entry.name}_camera.json: is .*unpack camera"):
        dataset.read(entry, "depth")


@pytest.mark.parametrize("factor", [0.5, 2.0])
def test_a_disparity_map_of_another_size_than_the_camera_is_refused(
    copy: Path, factor: float
) -> None:
    """The widespread copies of half the size would give half the depth."""
    dataset = opened(copy)
    entry = dataset.entries("train")[0]
    path = dataset.path(entry, "depth")
    with Image.open(path) as image:
        resized = image.resize(
            (int(WIDTH * factor), int(HEIGHT * factor)), Image.Resampling.NEAREST
        )
    resized.save(path)
    with pytest.raises(DataError, match=r"_camera.json: the principal point .* resized"):
        dataset.read(entry, "depth")


def test_both_known_cameras_fit_the_full_size(copy: Path) -> None:
    dataset = opened(copy)
    entry = dataset.entries("train")[0]
    stored = np.full((1024, 2048), 1 + 256 * 10, np.uint16)  # ten pixels
    Image.fromarray(stored).save(dataset.path(entry, "depth"))
    for baseline, fx, u0, v0 in (
        (0.209313, 2262.52, 1096.98, 513.137),
        (0.222126, 2268.36, 1048.64, 519.277),
    ):
        camera = {"extrinsic": {"baseline": baseline}, "intrinsic": {"fx": fx, "u0": u0, "v0": v0}}
        camera_of(copy, entry).write_text(json.dumps(camera))
        assert np.allclose(dataset.read(entry, "depth"), baseline * fx / 10, rtol=1e-6, atol=0)


@pytest.mark.parametrize("value", [34, 254, 255])
def test_an_id_that_is_not_defined_is_refused(copy: Path, value: int) -> None:
    """Such as the 255 of files that hold trainIds."""
    dataset = opened(copy)
    entry = dataset.entries("train")[0]
    ids = builder.label_ids(0, HEIGHT, WIDTH)
    ids[5, 7] = value
    Image.fromarray(ids).save(dataset.path(entry, "label"))
    with pytest.raises(DataError, match=rf"_gtFine_labelIds.png: holds the id {value};"):
        dataset.read(entry, "label")


@pytest.mark.parametrize(
    ("role", "mode", "message"),
    [
        ("label", "RGB", "8-bit RGB; expected an 8-bit PNG with one channel"),
        ("label", "I;16", "16-bit grey; expected an 8-bit PNG with one channel"),
        ("depth", "L", "8-bit grey; expected a 16-bit PNG"),
    ],
)
def test_a_file_of_another_depth_is_refused(copy: Path, role: str, mode: str, message: str) -> None:
    dataset = opened(copy)
    entry = dataset.entries("train")[0]
    path = dataset.path(entry, role)
    Image.new(mode, (WIDTH, HEIGHT)).save(path)
    with pytest.raises(DataError, match=message) as error:
        dataset.read(entry, role)
    assert str(path) in str(error.value)


@pytest.mark.parametrize("role", ["image", "label", "depth"])
def test_a_truncated_file_is_refused(copy: Path, role: str) -> None:
    dataset = opened(copy)
    entry = dataset.entries("train")[0]
    path = dataset.path(entry, role)
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(DataError, match=rf"{entry.files[role]}: cannot be decoded"):
        dataset.read(entry, role)


def test_a_folder_one_level_off_is_refused_with_the_right_one(root: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=f"too low .*give {root}$"):
        opened(root / "leftImg8bit")
    copytree(root, tmp_path / "outer" / "inner")
    with pytest.raises(DataError, match=r"too high .*give .*/outer/inner$"):
        opened(tmp_path / "outer")
    with pytest.raises(DataError, match=r"/leftImg8bit/train: is missing[\s\S]*registration"):
        opened(tmp_path / "elsewhere")


def test_a_read_only_folder_is_read_and_left_as_it_was(copy: Path) -> None:
    read_all_without_writing(copy, opened)


def test_the_module_is_found_by_its_name() -> None:
    assert dataset_class("cityscapes") is Dataset
    assert Dataset.variants["fine"].truth["depth"].startswith("stereo disparity (SGM)")
