"""Studies so small that tests can train them, and their data, rendered once a session."""

import copy
import importlib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from dejavu.config import DataParams, Params, parse_params
from dejavu.data.roots import ROOT_VARIABLE
from dejavu.layout import Layout
from dejavu.reference import DEFAULT_STUDY

# The same examples in every run, on however slow a machine.
settings.register_profile("dejavu", derandomize=True, deadline=None)
settings.load_profile("dejavu")

TINY: dict[str, Any] = copy.deepcopy(DEFAULT_STUDY) | {
    "study": "tiny",
    "networks": {"fpn": {"architecture": "feature_pyramid", "width": 4}},
    "seeds": [0, 1],
    "data": {"rooms": {"train": 12, "val": 4, "test": 6}},
    "train": {"steps": 6, "batch_size": 4, "subset": 8, "log_every": 2, "checkpoint_every": 2},
    "evaluation": {"batch_size": 4},
    "gap": {"steps": 3, "candidates": [{"name": "blank"}]},
    "text_pair": {"steps": 3, "batch_size": 4, "width": 4, "dimension": 8},
    "cost": {"rounds": 2},
    "report": {"scenes": 1},
}


ON_DISK: dict[str, dict[str, int]] = {
    "nyuv2": {"train": 4, "test": 2},
    "cityscapes": {"train": 6, "val": 3},
    "ade20k": {"train": 6, "val": 3},
    "kitti": {"train": 6, "test": 3},
    "coco": {"train": 6, "val": 3},
}
"""The data sets that are read in place, with the images of their tiny copies; the second split is
scored."""

Downloads = Callable[[str], Path]


def tiny_params(**changes: Any) -> Params:
    """The tiny study with whole sections replaced."""
    return parse_params(copy.deepcopy(TINY) | changes, "tiny")


def disk_params(name: str, **changes: Any) -> Params:
    """A tiny study of all tasks of a data set that is read in place."""
    data = DataParams(name=name, val=1)
    train = TINY["train"] | {"subset": None, "batch_size": 2, "augmentation": {"crop": [32, 48]}}
    study = {"study": name, "tasks": [*(data.tasks or ())], "methods": {"baseline": {}}}
    return tiny_params(**study | {"data": data.model_dump(), "train": train} | changes)


@pytest.fixture(scope="session")
def downloads(tmp_path_factory: pytest.TempPathFactory) -> Downloads:
    """Folder of a tiny data set in its official layout, built when first asked for; read only."""

    @cache
    def build(name: str) -> Path:
        root = tmp_path_factory.mktemp("download") / name
        root.mkdir()
        importlib.import_module(f"tests.builders.{name}").build(root, **ON_DISK[name])
        return root

    return build


@pytest.fixture(scope="session")
def manifests(downloads: Downloads, tmp_path_factory: pytest.TempPathFactory) -> Downloads:
    """Folder of the manifest and indices of a tiny data set, of all its tasks; read only."""

    @cache
    def write(name: str) -> Path:
        from dejavu.data.check import check_dataset

        params = disk_params(name)
        data = params.data
        folder = tmp_path_factory.mktemp("study") / Layout(params).data
        root = downloads(name)
        check_dataset(name, data.variant_name, root, params.tasks, data.val).write(folder, params)
        return folder

    return write


@pytest.fixture
def on_disk(
    manifests: Downloads, downloads: Downloads, monkeypatch: pytest.MonkeyPatch
) -> Downloads:
    """The folder of ``manifests``, while ``DEJAVU_ROOT`` names that of the images."""

    def use(name: str) -> Path:
        monkeypatch.setenv(ROOT_VARIABLE, str(downloads(name)))
        return manifests(name)

    return use


@pytest.fixture(scope="session")
def params() -> Params:
    return tiny_params()


@pytest.fixture(scope="session")
def data(params: Params, tmp_path_factory: pytest.TempPathFactory) -> Path:
    from dejavu.data.rooms import prepare_rooms
    from dejavu.data.rooms.scenes import RoomsSpec

    folder = tmp_path_factory.mktemp("study") / Layout(params).data
    assert params.data.rooms is not None
    settings = params.data.rooms.model_dump()
    counts = {split: settings.pop(split) for split in ("train", "val", "test")}
    prepare_rooms(RoomsSpec(**settings), counts, folder)
    return folder
