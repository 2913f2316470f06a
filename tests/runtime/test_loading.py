"""Files that would run code where somebody unpickles them: none does, in any form, at any place."""

import importlib
import io
import os
import pickle
import tarfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from dejavu.config import NetworkParams, load_params
from dejavu.data.store import PreparedSplit
from dejavu.datasets.nyuv2 import _read_floats
from dejavu.datasets.nyuv2.mat import LabelledMat, read_variable
from dejavu.datasets.reading.manifest import read_manifest
from dejavu.evaluation.prediction_files import read_map
from dejavu.method.distances import Reconstruction
from dejavu.method.text import load_clip
from dejavu.networks.registry import create_model
from dejavu.networks.weights import WEIGHTS_FOLDER
from dejavu.runtime.errors import DejaVuError
from dejavu.runtime.loading import tensors_only
from dejavu.training.checkpoint import load_checkpoint
from dejavu.training.loop import _load_state
from dejavu.training.text_pair import load_text_pair
from tests.support.clip import open_clip_with_a_tiny_model

HALF = (0.5, 0.5, 0.5)


class Payload:
    """Unpickled, it makes a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return os.mkdir, (str(self.folder),)


def as_tar(payload: Payload, path: Path) -> None:
    """The oldest form of `torch.save`."""
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as archive:
        for name in ("sys_info", "pickle", "tensors", "storages"):
            content = pickle.dumps(payload)
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))


def as_array(payload: Payload, path: Path) -> None:
    with path.open("wb") as file:
        np.save(file, np.array([payload]), allow_pickle=True)


def as_archive(payload: Payload, path: Path) -> None:
    with path.open("wb") as file:
        np.savez(file, *[np.array([payload])])


def as_yaml(payload: Payload, path: Path) -> None:
    path.write_text(f"study: !!python/object/apply:os.mkdir ['{payload.folder}']\n")


FORMS: dict[str, Callable[[Payload, Path], None]] = {
    "zip": torch.save,
    "legacy": lambda payload, path: torch.save(payload, path, _use_new_zipfile_serialization=False),
    "tar": as_tar,
    "pickle": lambda payload, path: path.write_bytes(pickle.dumps(payload)) and None,
    "npy": as_array,
    "npz": as_archive,
    "yaml": as_yaml,
}


def load_carelessly(path: Path, form: str) -> None:
    """What each form is made for."""
    if form in ("zip", "legacy", "tar"):
        torch.load(path, weights_only=False)
    elif form == "pickle":
        pickle.loads(path.read_bytes())
    elif form == "yaml":
        importlib.import_module("yaml").unsafe_load(path.read_text())
    else:
        loaded = np.load(path, allow_pickle=True)
        if form == "npz":
            loaded["arr_0"]


@pytest.mark.parametrize("form", FORMS)
def test_each_form_would_run_code(form: str, tmp_path: Path) -> None:
    FORMS[form](Payload(tmp_path / "ran"), tmp_path / "file")
    with suppress(Exception):
        load_carelessly(tmp_path / "file", form)
    assert (tmp_path / "ran").is_dir()


def open_lpips(path: Path) -> None:
    Reconstruction({"lpips": 1.0}, mean=HALF, std=HALF)


def open_clip(path: Path) -> None:
    open_clip_with_a_tiny_model(path.parent)
    load_clip("tiny-clip", path, HALF, HALF)


def open_smp(path: Path) -> None:
    create_model(NetworkParams(architecture="fpn", encoder="resnet18", pretrained=True), 3)


def open_timm(path: Path) -> None:
    create_model(NetworkParams(architecture="fpn", encoder="tu-resnet10t", pretrained=True), 3)


TORCH, NUMPY = ("zip", "legacy", "tar", "pickle"), ("npy", "npz", "zip", "pickle")
PLACES: dict[str, tuple[Callable[[Path], Any], tuple[str, ...]]] = {
    "hub/checkpoints/squeezenet1_1-b8a52dc0.pth": (open_lpips, (*TORCH, "yaml")),
    "clip.pt": (open_clip, TORCH),
    "clip.safetensors": (open_clip, TORCH),
    "clip.npz": (open_clip, NUMPY),
    "clip.npy": (open_clip, NUMPY),
    "resnet18.pth": (open_smp, TORCH),
    "resnet18.safetensors": (open_smp, TORCH),
    "tu-resnet10t.pth": (open_timm, TORCH),
    "tu-resnet10t.safetensors": (open_timm, TORCH),
    "state.pt": (lambda path: _load_state(path, "0"), TORCH),
    "run.safetensors": (load_checkpoint, TORCH),
    "text_pair.safetensors": (load_text_pair, TORCH),
    "depth.npy": (lambda path: _read_floats(path, 2), NUMPY),
    "splits.mat": (lambda path: read_variable(path, "trainNdxs"), NUMPY),
    "nyu_depth_v2_labeled.mat": (lambda path: LabelledMat(path).scenes(), NUMPY),
    "prediction.npy": (lambda path: read_map(path, "depth", np.ones((1, 2, 2))), NUMPY),
    "study.yaml": (load_params, ("yaml", "pickle")),
    "manifest.json": (lambda path: read_manifest(path.parent), ("yaml", "pickle")),
}


@pytest.fixture(autouse=True)
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The folders of weights are the test's, and there is no network."""
    hub = importlib.import_module("huggingface_hub.constants")
    monkeypatch.setattr(hub, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(hub, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv(WEIGHTS_FOLDER, str(tmp_path))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))


@pytest.mark.parametrize(
    ("place", "form"), [(place, form) for place, (_, forms) in PLACES.items() for form in forms]
)
def test_no_file_that_is_read_runs_code(place: str, form: str, tmp_path: Path) -> None:
    path = tmp_path / place
    path.parent.mkdir(parents=True, exist_ok=True)
    FORMS[form](Payload(tmp_path / "ran"), path)
    with pytest.raises(DejaVuError) as raised:
        PLACES[place][0](path)
    assert path.name in str(raised.value)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("form", NUMPY)
def test_nor_does_prepared_data(form: str, data: Path, tmp_path: Path) -> None:
    for file in data.iterdir():
        (tmp_path / file.name).symlink_to(file)
    path = tmp_path / read_manifest(data).splits["train"].file
    path.unlink()
    FORMS[form](Payload(tmp_path / "ran"), path)
    with pytest.raises(DejaVuError, match=path.name):
        PreparedSplit(tmp_path, "train")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("form", ["zip", "legacy", "tar"])
@pytest.mark.parametrize("switch", ["", "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"])
def test_the_guard_holds_against_a_careless_caller(
    switch: str, form: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if switch:
        monkeypatch.setenv(switch, "1")
    before = dict(os.environ)
    FORMS[form](Payload(tmp_path / "ran"), tmp_path / "file")
    refused = (RuntimeError, pickle.UnpicklingError)
    with pytest.raises(refused, match=r"weights.only"), tensors_only():
        torch.load(tmp_path / "file", weights_only=False)
    assert not (tmp_path / "ran").exists()
    assert dict(os.environ) == before
