"""The data of the tiny studies, rendered or built once a session."""

import importlib
from functools import cache
from pathlib import Path
from shutil import copytree

import pytest
from hypothesis import settings

from dejavu.config import Params, load_params
from dejavu.datasets.reading.roots import ROOT_VARIABLE
from dejavu.study.layout import Layout
from tests.support.rooms import render
from tests.support.studies import ON_DISK, Downloads, disk_params, tiny_params

# The same examples in every run, on however slow a machine.
settings.register_profile("dejavu", derandomize=True, deadline=None)
settings.load_profile("dejavu")


@pytest.fixture(scope="session")
def downloads(tmp_path_factory: pytest.TempPathFactory) -> Downloads:
    """Folder of a tiny data set in its official layout, built when first asked for; read only."""

    @cache
    def build(name: str) -> Path:
        root = tmp_path_factory.mktemp("download") / name
        root.mkdir()
        importlib.import_module(f"tests.support.builders.{name}").build(root, **ON_DISK[name])
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
    return render(params, tmp_path_factory.mktemp("study") / Layout(params).data)


@pytest.fixture
def copy_of(downloads: Downloads, tmp_path: Path) -> Downloads:
    """Copies that a test may damage."""
    return lambda name: copytree(downloads(name), tmp_path / "copies" / name)


@pytest.fixture
def manifest_copy(on_disk: Downloads, tmp_path: Path) -> Downloads:
    """Copies of manifests and indices that a test may damage, and beside which it may cache."""
    return lambda name: copytree(on_disk(name), tmp_path / "manifests" / name)


@pytest.fixture(scope="session")
def recorded_tree(params: Params, data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tree with a finished study of made-up numbers; read only."""
    from tests.support.recorded import make_tree

    root = tmp_path_factory.mktemp("recorded")
    make_tree(root, params, data)
    return root


@pytest.fixture
def layout(recorded_tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Layout:
    """That study in a tree that a test may change, which is the working directory."""
    from tests.support.recorded import COMMIT

    copytree(recorded_tree, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("dejavu.study.record.read_commit", lambda: COMMIT)
    return Layout(load_params(Path("params/tiny.yaml")))
