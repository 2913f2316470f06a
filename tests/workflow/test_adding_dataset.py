"""What docs/adding/dataset.md says, done as it says: one module, one params file, commands."""

import importlib.util
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image

from dejavu.datasets.reading.raw import RawDataset
from tests.support.builders.scenes import scene
from tests.support.pages import ADDING, shown, write
from tests.support.pipeline import clone, run

pytestmark = pytest.mark.pipeline
PAGE = ADDING / "dataset.md"
NAMES = {
    "train": ("oak_0001", "oak_0002", "elm_0001", "elm_0002"),
    "test": ("fir_0001", "fir_0002"),
}
SIZES = ((64, 96), (96, 64))
UNKNOWN = 2
"""Rows at the top without depth."""


def commands(root: Path) -> list[list[str]]:
    """The page's commands, for a folder."""
    text = PAGE.read_text(encoding="utf-8")
    (found,) = re.findall(r"^### The commands\n\n```\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    said = found.replace("DIR", str(root)).replace("--cores all", "--cores 2")
    return [line.split() for line in said.splitlines()]


def ids_and_depth(index: int) -> tuple[Any, Any]:
    """What the label and depth files of an image hold."""
    frame = scene(index, *SIZES[index % 2])
    millimetres = np.round(frame.depth * 1000).astype(np.uint16)
    millimetres[:UNKNOWN] = 0
    return frame.label % 5, millimetres


def build(root: Path) -> None:
    """Write Yards as the page describes its download."""
    for index, (split, name) in enumerate((s, n) for s, names in NAMES.items() for n in names):
        (root / split).mkdir(parents=True, exist_ok=True)
        ids, millimetres = ids_and_depth(index)
        image = Image.fromarray(scene(index, *SIZES[index % 2]).image)
        image.save(root / split / f"{name}.jpg", quality=98)
        Image.fromarray(ids).save(root / split / f"{name}_label.png")
        Image.fromarray(millimetres).save(root / split / f"{name}_depth.png")


def shrink(study: dict[str, Any]) -> dict[str, Any]:
    """Make the page's study, of one task, end within a minute; methods and protocol stay."""
    train = study["train"] | {"steps": 2, "batch_size": 2, "workers": 1}
    train["augmentation"] = train["augmentation"] | {"crop": [64, 64]}
    return study | {
        "tasks": ["segmentation"],
        "networks": {"fpn": {"architecture": "feature_pyramid", "width": 4}},
        "seeds": [0],
        "data": study["data"] | {"val": 1},
        "train": train,
        "gap": {"steps": 1},
        "cost": {"rounds": 1},
        "report": {"scenes": 1},
    }


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "yards"
    build(folder)
    return folder


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone with the page's two files, and nothing else changed."""
    tree = clone(tmp_path_factory.mktemp("tree"))
    assert write(PAGE, tree) == ["dejavu/datasets/yards.py", "params/yards.yaml"]
    return tree


@pytest.fixture
def dataset(tree: Path, root: Path) -> RawDataset:
    spec = importlib.util.spec_from_file_location("yards", tree / "dejavu/datasets/yards.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    made: RawDataset = module.Dataset(root, "four-classes")
    return made


def test_the_module_reads_what_the_page_says_the_files_hold(dataset: RawDataset) -> None:
    entries = dataset.entries("train") + dataset.entries("test")
    written = [*NAMES["train"], *NAMES["test"]]
    assert [e.name for e in entries] == [*sorted(NAMES["train"]), *NAMES["test"]]
    assert {e.group for e in entries} == {"oak", "elm", "fir"}
    for entry in entries:
        ids, millimetres = ids_and_depth(written.index(entry.name))
        expected = [[255, 0, 1, 2, 3][i] for i in ids.ravel()]
        label, depth = dataset.read(entry, "label"), dataset.read(entry, "depth")
        assert label.dtype == np.uint8
        assert label.ravel().tolist() == expected
        assert dataset.to_ids(label).tolist() == ids.tolist()
        assert depth.dtype == np.float32
        np.testing.assert_allclose(depth, millimetres / 1000, rtol=1e-6)
        assert dataset.read(entry, "image").shape == (*ids.shape, 3)


def test_the_module_keeps_the_rules_of_the_house(tree: Path) -> None:
    run(tree, "ruff", "check", "dejavu/datasets/yards.py")
    run(tree, "ruff", "format", "--check", "dejavu/datasets/yards.py")


@pytest.mark.parametrize(
    ("damage", "expected"),
    [
        (lambda path: path.unlink(), "is missing"),
        (lambda path: Image.new("L", (96, 64), 5).save(path), "holds the label 4"),
        (lambda path: Image.new("L", (64, 64), 1).save(path), "is 64 x 64, but its image"),
    ],
    ids=["missing", "no class", "other size"],
)
def test_the_check_names_a_wrong_file(tree: Path, root: Path, damage: Any, expected: str) -> None:
    label = root / "train/oak_0001_label.png"
    damage(label)
    said = " ".join(run(tree, *commands(root)[0], expect=1).split())
    assert f"{label}: {expected}" in said
    assert "Traceback" not in said


def test_the_page_leads_from_two_files_to_tables(tree: Path, root: Path) -> None:
    check, show, study = commands(root)
    said = run(tree, *check)
    assert f"Yards (four-classes) in {root} is in order: train 2, val 2, test 2" in said
    assert "segmentation: Yards labels, 4 classes, drawn by hand" in said
    assert "depth: Yards laser scans, metres" in said
    assert len(run(tree, *show).splitlines()) == 2 * 2 * 3  # tasks x methods x seeds

    whole = yaml.safe_load(shown(PAGE)["params/yards.yaml"])
    params = tree / "params/yards.yaml"
    params.write_text(yaml.safe_dump(shrink(whole)), encoding="utf-8")
    run(tree, *study)
    results = tree / "results/yards"
    files = [json.loads(path.read_text()) for path in results.glob("metrics/runs/**/*.json")]
    assert len(files) == 2
    assert all(one["dataset"] == "yards" and one["images"] == 2 for one in files)
    table = (results / "tables/main.md").read_text()
    assert "truth = Yards labels, 4 classes, drawn by hand" in table
    assert (results / "report.html").stat().st_size > 50_000
