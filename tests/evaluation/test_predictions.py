"""Saved predictions, scored here or by the official tool, give the numbers of the evaluation."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from dejavu.config import Params
from dejavu.data.opening import open_split
from dejavu.datasets.reading.registry import dataset_class
from dejavu.evaluation.predictions import save_predictions, score_predictions
from dejavu.evaluation.score import evaluate, load_run, predictions
from dejavu.runtime.errors import CheckpointError, DataError, DejaVuError
from dejavu.study.layout import Layout
from dejavu.study.run import Run
from dejavu.training.loop import train
from tests.support.official import official, run_official
from tests.support.studies import Downloads, disk_params, tiny_params

Study = Callable[[str, str], tuple[Layout, Run]]
CASES = [
    ("rooms", "segmentation"),
    ("rooms", "depth"),
    ("rooms", "normals"),
    ("cityscapes", "segmentation"),
    ("cityscapes", "depth"),
    ("ade20k", "segmentation"),
    ("coco", "segmentation"),
]


def study_of(name: str) -> Params:
    """The study's protocol averages over views in one case, which scoring must keep."""
    views = {"batch_size": 2, "flip": name == "cityscapes"}
    return tiny_params(evaluation=views) if name == "rooms" else disk_params(name, evaluation=views)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return {name: tmp_path_factory.mktemp(f"saved-{name}") for name, _ in CASES}


@pytest.fixture
def study(
    folders: dict[str, Path],
    data: Path,
    on_disk: Downloads,
    monkeypatch: pytest.MonkeyPatch,
) -> Study:
    """The layout of a tiny study in the working directory, and a trained run of it."""

    def use(name: str, task: str) -> tuple[Layout, Run]:
        layout = Layout(study_of(name))
        prepared = data if name == "rooms" else on_disk(name)
        monkeypatch.chdir(folders[name])
        if not layout.data.exists():
            layout.data.parent.mkdir()
            layout.data.symlink_to(prepared)
        run = Run(layout.params, task, "fpn", "baseline", 0)
        if not layout.checkpoint(run).exists():
            train(run, layout.data, Path(".runs"), layout.checkpoint(run))
        return layout, run

    return use


def saved(study: Study, folder: Path, name: str, task: str) -> tuple[Layout, Run, list[Path]]:
    layout, run = study(name, task)
    return layout, run, save_predictions(layout, run, folder)


@pytest.mark.parametrize(("name", "task"), CASES)
def test_scored_later_is_scored_at_once(name: str, task: str, study: Study, tmp_path: Path) -> None:
    layout, run, files = saved(study, tmp_path / "out", name, task)
    expected = evaluate(run, layout.checkpoint(run), layout.data, tmp_path / "at-once.json")
    found = score_predictions(layout, run, tmp_path / "out", tmp_path / "later.json")
    assert expected.pop("checkpoint") == str(layout.checkpoint(run))
    assert found.pop("predictions") == str(tmp_path / "out")
    if name != "rooms":
        variant = dataset_class(name).variants[layout.params.data.variant_name]
        assert found["protocol"]["truth"] == variant.truth[task]
    at_once, later = expected.pop("metrics"), found.pop("metrics")
    assert found == expected
    # A network's normals are laid out by pixel in memory, which rounds their lengths otherwise.
    tolerance = 1e-7 if task == "normals" else 0
    for one, other in zip(later, at_once, strict=True):
        value = pytest.approx(other.pop("value"), rel=tolerance, abs=0, nan_ok=True)
        assert one.pop("value") == value, one
        assert one == other
    assert sorted(files) == sorted((tmp_path / "out").iterdir())
    assert found["images"] == len(files) == (6 if name == "rooms" else 3)


@pytest.mark.parametrize(("name", "task"), [("cityscapes", "depth"), ("rooms", "normals")])
def test_arrays_are_saved_as_they_were_predicted(
    name: str, task: str, study: Study, tmp_path: Path
) -> None:
    layout, run, files = saved(study, tmp_path, name, task)
    scenes = open_split(layout.data, layout.params.data, "test", [task])
    trained = load_run(run, layout.checkpoint(run), scenes.manifest)
    made = predictions(trained.model, trained.task, scenes, run.params.evaluation)
    expected = torch.cat([prediction for _, _, prediction in made]).numpy()
    assert [file.name for file in files] == [f"{scenes.name(i)}.npy" for i in range(len(scenes))]
    for file, prediction in zip(files, expected, strict=True):
        assert np.load(file).dtype == np.float32
        np.testing.assert_array_equal(np.load(file), prediction)


@pytest.mark.parametrize("name", ["rooms", "cityscapes", "ade20k"])
def test_label_maps_have_the_data_sets_own_ids(name: str, study: Study, tmp_path: Path) -> None:
    layout, run, files = saved(study, tmp_path, name, "segmentation")
    scenes = open_split(layout.data, layout.params.data, "test", ["segmentation"])
    ids = {  # of each label
        "rooms": [*range(12)],
        "cityscapes": [7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33],
        "ade20k": [*range(1, 151)],
    }[name]
    trained = load_run(run, layout.checkpoint(run), scenes.manifest)
    made = predictions(trained.model, trained.task, scenes, run.params.evaluation)
    labels = [label.numpy() for _, _, batch in made for label in batch]
    for file, label in zip(files, labels, strict=True):
        with Image.open(file) as image:
            assert image.mode == "L"
            np.testing.assert_array_equal(np.asarray(image), np.array(ids)[label])
    first = {
        "rooms": "test_00000.png",
        "cityscapes": "frankfurt_000006_000019.png",
        "ade20k": "ADE_val_00000001.png",
    }
    assert files[0].name == first[name]


def test_the_official_tool_of_cityscapes_gives_the_same_numbers(
    study: Study, downloads: Downloads, tmp_path: Path
) -> None:
    tool, _ = official()
    layout, run, _ = saved(study, tmp_path / "results", "cityscapes", "segmentation")
    ours = score_predictions(layout, run, tmp_path / "results", tmp_path / "metrics.json")
    (tmp_path / "gtFine").symlink_to(downloads("cityscapes") / "gtFine")
    theirs = run_official(tool, tmp_path)
    values = {metric["name"]: metric["value"] for metric in ours["metrics"]}
    assert values["miou"] == pytest.approx(100 * theirs["averageScoreClasses"], rel=0, abs=1e-9)
    assert values["miou"] > 0.1
    names = dataset_class("cityscapes").variants["fine"].class_names
    scores = [theirs["classScores"][name] for name in names]
    assert values["miou"] == pytest.approx(100 * np.mean(scores), rel=0, abs=1e-9)


def test_scoring_reads_the_files_and_not_the_weights(study: Study, tmp_path: Path) -> None:
    """Predictions equal to the truth score 100 %, whatever the checkpoint predicts."""
    layout, run = study("cityscapes", "segmentation")
    scenes = open_split(layout.data, layout.params.data, "test", ["segmentation"])
    rng = np.random.default_rng(0)
    for index in range(len(scenes)):
        label = scenes.batch([index]).label[0].numpy()
        guess = np.where(label == 255, rng.integers(0, 19, label.shape), label).astype(np.uint8)
        ids = scenes.dataset.to_ids(guess)  # type: ignore[attr-defined]
        Image.fromarray(ids).save(tmp_path / f"{scenes.name(index)}.png")
    found = score_predictions(layout, run, tmp_path, tmp_path / "metrics.json")
    values = {metric["name"]: metric["value"] for metric in found["metrics"]}
    assert values["miou"] == values["boundary_iou"] == values["pixel_accuracy"] == 100


def test_predictions_of_another_run_are_not_saved(study: Study, tmp_path: Path) -> None:
    layout, run = study("rooms", "depth")
    other = Run(layout.params, "depth", "fpn", "baseline", 1)
    layout.checkpoint(other).write_bytes(layout.checkpoint(run).read_bytes())
    with pytest.raises(CheckpointError, match=r"different: seed\)"):
        save_predictions(layout, other, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_data_set_is_not_written_over(
    study: Study, copy_of: Downloads, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """ADE20K's predictions are named as its labels are."""
    layout, run = study("ade20k", "segmentation")
    root = copy_of("ade20k")
    monkeypatch.setenv("DEJAVU_ROOT", str(root))
    labels = root / "annotations/validation"
    (tmp_path / "link").symlink_to(labels)
    before = {path: path.read_bytes() for path in root.rglob("*.*")}
    for folder in (labels, tmp_path / "link"):
        with pytest.raises(DejaVuError, match=rf"{folder}/ADE_val_00000001\.png: is read"):
            save_predictions(layout, run, folder)
    files = save_predictions(layout, run, tmp_path / "out")
    truths = [labels / "ADE_val_00000002.png", root / "images/validation/ADE_val_00000002.jpg"]
    for output in (files[1], *truths, layout.manifest, layout.split("test")):
        with pytest.raises(DejaVuError, match=rf"{output}: is read"):
            score_predictions(layout, run, tmp_path / "out", output)
    assert {path: path.read_bytes() for path in root.rglob("*.*")} == before


def test_progress_is_reported_image_by_image(study: Study, tmp_path: Path) -> None:
    layout, run = study("ade20k", "segmentation")
    calls: list[tuple[int, int]] = []

    def progress(done: int, total: int, note: str = "") -> None:
        calls.append((done, total))

    save_predictions(layout, run, tmp_path, progress)
    assert calls == [(1, 3), (2, 3), (3, 3)]


def test_depth_in_millimetres_is_not_scored(study: Study, tmp_path: Path) -> None:
    """One image may be as wrong as that; all of them are in another unit."""
    layout, run, files = saved(study, tmp_path, "cityscapes", "depth")
    for number, file in enumerate(files):
        score_predictions(layout, run, tmp_path, tmp_path / f"{number}.json")
        np.save(file, 1000 * np.load(file))
    with pytest.raises(DataError, match=rf"{tmp_path}: .*millimetres\? Divide by 1000"):
        score_predictions(layout, run, tmp_path, tmp_path / "metrics.json")
    assert not (tmp_path / "metrics.json").exists()


def spoil_png(path: Path, value: int) -> None:
    labels = np.array(Image.open(path))
    labels[3, 4] = value
    Image.fromarray(labels).save(path)


@pytest.mark.parametrize(
    ("name", "spoil", "message"),
    [
        ("rooms", Path.unlink, "is missing; every image of the split needs a prediction"),
        ("rooms", lambda path: spoil_png(path, 12), "id 12,"),
        ("cityscapes", lambda path: spoil_png(path, 0), "id 0,"),
        ("cityscapes", lambda path: spoil_png(path, 14), "id 14,"),
        ("ade20k", lambda path: spoil_png(path, 0), "id 0,"),
        ("ade20k", lambda path: spoil_png(path, 151), "id 151,"),
        (
            "cityscapes",
            lambda path: Image.new("L", (64, 96), 7).save(path),
            r"shape \(96, 64\), .*\(64, 96\)",
        ),
        (
            "cityscapes",
            lambda path: Image.new("RGB", (96, 64)).save(path),
            "8-bit RGB; expected an 8-bit PNG with one channel",
        ),
        ("cityscapes", lambda path: path.write_bytes(path.read_bytes()[:60]), "cannot be decoded"),
    ],
)
def test_a_label_map_that_is_none_is_named(
    name: str, spoil: Callable[[Path], Any], message: str, study: Study, tmp_path: Path
) -> None:
    layout, run, files = saved(study, tmp_path, name, "segmentation")
    spoil(files[1])
    with pytest.raises(DataError, match=rf"{files[1]}: .*{message}"):
        score_predictions(layout, run, tmp_path, tmp_path / "metrics.json")
    assert not (tmp_path / "metrics.json").exists()


def save_other(path: Path, array: Any) -> None:
    with path.open("wb") as file:
        np.save(file, array, allow_pickle=True)


def save_archive(path: Path) -> None:
    with path.open("wb") as file:
        np.savez(file, depth=np.ones((1, 64, 96), np.float32))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (Path.unlink, "is missing; every image of the split needs a prediction"),
        (lambda path: save_other(path, np.ones((64, 96))), r"shape \(64, 96\), .*\(1, 64, 96\)"),
        (lambda path: save_other(path, np.ones((1, 32, 48))), r"has shape \(1, 32, 48\)"),
        (lambda path: save_other(path, {"depth": 1}), "cannot be read as an array"),
        (lambda path: save_other(path, np.full((1, 64, 96), "far")), "holds <U3"),
        (lambda path: save_other(path, np.full((1, 64, 96), 5000, np.uint16)), "uint16.*1000"),
        (lambda path: path.rename(path.with_suffix(".png")), r"is missing.*there is \S+\.png"),
        (lambda path: save_other(path, np.full((1, 64, 96), np.nan)), "not finite"),
        (save_archive, "cannot be read as an array"),
        (lambda path: path.write_bytes(path.read_bytes()[:-9]), "cannot be read as an array"),
        (lambda path: path.write_bytes(b""), "cannot be read as an array"),
        (lambda path: path.write_text("depth"), "cannot be read as an array"),
    ],
)
def test_an_array_that_is_none_is_named(
    spoil: Callable[[Path], Any], message: str, study: Study, tmp_path: Path
) -> None:
    layout, run, files = saved(study, tmp_path, "cityscapes", "depth")
    spoil(files[1])
    with pytest.raises(DataError, match=rf"{files[1]}: .*{message}"):
        score_predictions(layout, run, tmp_path, tmp_path / "metrics.json")
    assert not (tmp_path / "metrics.json").exists()
