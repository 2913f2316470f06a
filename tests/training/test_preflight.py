import sys
from pathlib import Path
from typing import Any

import pytest

from dejavu.config import Params
from dejavu.config.generated import render_params
from dejavu.runtime.errors import ParamsError
from dejavu.training.preflight import check_runs
from tests.support.command import dejavu_here
from tests.support.studies import TINY, disk_params, tiny_params

BLOCKS = {"name": "random_blocks", "block": 8, "keep": 0.3}
CLIP = {"gamma": 1.0, "encoder": "clip", "clip_weights": "gone.pt"}


def study(
    network: dict[str, Any] | None = None, train: dict[str, Any] | None = None, **dejavu: Any
) -> Params:
    methods: dict[str, Any] = {"baseline": {}}
    if dejavu:
        methods["ours"] = {"dejavu": {"redaction": BLOCKS, "gamma": 1.0} | dejavu}
    networks = {"net": network or TINY["networks"]["fpn"]}
    return tiny_params(networks=networks, methods=methods, train=TINY["train"] | (train or {}))


def refusal(params: Params) -> str:
    with pytest.raises(ParamsError) as caught:
        check_runs(params, "study.yaml")
    return str(caught.value)


def test_an_encoder_that_does_not_exist_or_fit() -> None:
    said = refusal(study({"architecture": "fpn", "encoder": "resnet99"}))
    assert said.startswith("study.yaml: networks.net: encoder 'resnet99': ")
    said = refusal(study({"architecture": "deeplabv3plus", "encoder": "tu-swin_s3_tiny_224"}))
    assert said.startswith("study.yaml: networks.net: encoder 'tu-swin_s3_tiny_224' does not fit")
    check_runs(study({"architecture": "fpn", "encoder": "resnet18"}), "study.yaml")


def test_weights_that_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEJAVU_WEIGHTS", str(tmp_path))
    (tmp_path / "resnet18.safetensors").write_text("none")
    network = {"architecture": "fpn", "encoder": "resnet18"}
    said = refusal(study(network | {"pretrained": True}))
    assert said.startswith("study.yaml: networks.net: ")
    assert str(tmp_path / "resnet18.safetensors") in said
    check_runs(study(network), "study.yaml")


def test_a_clip_model_that_does_not_exist_or_has_no_weights() -> None:
    said = refusal(study(text=CLIP | {"clip_model": "ViT-Z-32"}))
    assert said.startswith("study.yaml: methods.ours: model='ViT-Z-32': ")
    assert refusal(study(text=CLIP)).startswith("study.yaml: methods.ours: gone.pt: no such file")


def test_features_that_do_not_fit_the_image() -> None:
    crops = {"augmentation": {"crop": [33, 64]}}, {"augmentation": {"crop": [32, 64]}}
    network = {"architecture": "fcn_resnet50"}
    said = refusal(study(network, crops[0], condition="features"))
    assert said.startswith("study.yaml: methods.ours: prediction is 5 x 8 and image 33 x 64")
    check_runs(study(network, crops[1], condition="features"), "study.yaml")


def test_normalisation_that_processes_cannot_share() -> None:
    network = {"architecture": "fpn", "encoder": "tu-mobilenetv3_small_050"}
    check_runs(study(network), "study.yaml")
    said = refusal(study(network, {"processes": 2}))
    assert said.startswith("study.yaml: networks.net: train.processes: ")


def test_a_study_that_asks_no_library_needs_no_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "dejavu.training.step", None)
    check_runs(tiny_params(), "study.yaml")
    with pytest.raises(ImportError):
        check_runs(study(condition="features"), "study.yaml")


def test_the_first_verb_refuses_before_it_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    network = {"architecture": "fpn", "encoder": "resnet99"}
    Path("rooms.yaml").write_text(render_params(study(network)))
    disk = disk_params("coco", networks={"net": network})
    Path("coco.yaml").write_text(render_params(disk))
    for file, verb in (("rooms.yaml", ["rooms"]), ("coco.yaml", ["data", "check", "coco"])):
        said = dejavu_here(*verb, "--params", file, capsys=capsys, expect=1)
        assert said.startswith(f"dejavu: {file}: networks.net: encoder 'resnet99': ")
    assert not Path("data").exists()
