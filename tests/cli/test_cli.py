import json
import subprocess
import sys
from pathlib import Path
from shutil import copytree
from typing import Any

import numpy as np
import pytest
from PIL import Image

from dejavu.config import Params, parse_params
from dejavu.config.generated import render_params
from dejavu.datasets.reading.registry import dataset_class
from dejavu.runtime.files import write_text
from dejavu.study.run import Run
from dejavu.training.loop import train
from tests.support.command import dejavu, dejavu_here
from tests.support.studies import TINY, Downloads, disk_params, tiny_params


@pytest.fixture(scope="module")
def folder(params: Params, data: Path) -> Path:
    """A working directory with the tiny study's data and params."""
    root = data.parent.parent
    (root / "params").mkdir(exist_ok=True)
    (root / "params/default.yaml").write_text(render_params(params))
    return root


def test_help_needs_no_heavy_import(tmp_path: Path) -> None:
    said = dejavu("--help", cwd=tmp_path)
    for verb in ("rooms", "train", "text-pair", "evaluate", "gap", "probes", "cost", "tables"):
        assert verb in said
    for verb in ("figures", "report", "predict", "strip", "onnx", "gallery"):
        assert verb in said
    code = "import sys, dejavu.cli; print(*{'torch', 'numpy', 'pandas'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["params", "--params", "gone.yaml"], "dejavu: gone.yaml: no such params file"),
        (["train", "--task", "depht", "--method", "baseline"], "dejavu: tasks: the study has no"),
        (
            ["train", "--task", "depth", "--method", "baseline", "--seed", "7"],
            "dejavu: seeds: the study has no 7; it has: 0, 1",
        ),
        (["gap", "--task", "depht"], "dejavu: tasks: the study has no 'depht'"),
        (["evaluate", "--task", "depth", "--method", "baseline"], "no such checkpoint"),
        (
            ["train", "--task", "depth", "--method", "baseline", "--expect", "0123"],
            "planned with hash 0123",
        ),
        (["predict", "gone.safetensors", "x.png"], "gone.safetensors: no such checkpoint"),
        (["strip", "gone.safetensors", "x.safetensors"], "gone.safetensors: no such checkpoint"),
        (["onnx", "gone.safetensors", "x.onnx"], "gone.safetensors: no such checkpoint"),
        (["probes", "--task", "depht"], "dejavu: tasks: the study has no 'depht'"),
    ],
)
def test_a_users_mistake_is_one_message(
    folder: Path,
    arguments: list[str],
    expected: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(folder)
    said = dejavu_here(*arguments, capsys=capsys, expect=1)
    assert expected in said
    assert "Traceback" not in said


def test_of_several_networks_one_must_be_named(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    copytree(data.parent, "data")
    networks = {
        label: {"architecture": "feature_pyramid", "width": width}
        for label, width in (("narrow", 4), ("wide", 8))
    }
    write_text(Path("params/default.yaml"), render_params(tiny_params(networks=networks)))
    asked = ("train", "--task", "depth", "--method", "baseline")
    said = dejavu_here(*asked, capsys=capsys, expect=1)
    assert said.startswith("dejavu: --network: ")
    assert said.endswith(": narrow, wide\n")
    said = dejavu_here(*asked, "--network", "wide", capsys=capsys)
    assert said.startswith(
        "results/tiny/checkpoints/depth/wide/baseline/seed0.safetensors: trained"
    )


def test_data_that_was_not_prepared_names_the_command(params: Params, tmp_path: Path) -> None:
    (tmp_path / "params").mkdir()
    (tmp_path / "params/default.yaml").write_text(render_params(params))
    said = dejavu("train", "--task", "depth", "--method", "baseline", cwd=tmp_path, expect=1)
    assert "python -m dejavu rooms" in said
    assert "Traceback" not in said


def test_predicting_ones_own_image(
    folder: Path,
    params: Params,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    run = Run(params, "normals", "fpn", "baseline", 0)
    train(run, folder / "data/tiny", tmp_path, tmp_path / "model.safetensors")
    rgb = np.random.default_rng(0).integers(0, 255, (40, 56, 3), dtype=np.uint8)
    Image.fromarray(rgb).save(tmp_path / "photo.png")
    (tmp_path / "text.png").write_text("no image")
    dejavu_here("predict", "model.safetensors", "photo.png", "--output", "out", capsys=capsys)
    vectors = np.load(tmp_path / "out/photo.npy")
    assert vectors.shape == (3, 40, 56)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=0), 1, rtol=1e-4)
    assert Image.open(tmp_path / "out/photo.png").size == (56, 40)
    said = dejavu_here("predict", "model.safetensors", "text.png", capsys=capsys, expect=1)
    assert "dejavu: text.png: cannot be decoded" in said


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["predict", "C", "photo.png", "--output", "."], "--output: . holds the image photo.png"),
        (["predict", "C", "photo.png", "--output", "text"], "text: "),
        (["predict", "C", "photo.png", "--output", "text/out"], "text/out: "),
        (["strip", "C", "C"], "C: "),
        (["strip", "C", "."], ".: is a folder"),
        (["strip", "C", "text/out.safetensors"], "text: "),
        (["strip", "C", "n" * 300], "n" * 300),
        (["onnx", "C", "./C"], "C: "),
    ],
)
def test_an_output_that_is_an_input_or_cannot_be_is_one_message(
    folder: Path,
    params: Params,
    tmp_path: Path,
    arguments: list[str],
    named: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    train(Run(params, "depth", "fpn", "baseline", 0), folder / "data/tiny", tmp_path, Path("C"))
    Image.new("RGB", (56, 40)).save("photo.png")
    Path("text").write_text("no folder")
    before = {path: path.read_bytes() for path in map(Path, ("C", "photo.png", "text"))}
    said = dejavu_here(*arguments, capsys=capsys, expect=1)
    assert said.startswith(f"dejavu: {named}")
    assert said.count("\n") == 1
    assert {path: path.read_bytes() for path in before} == before


def test_what_only_the_library_can_judge_is_one_message_too(
    params: Params,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A CLIP model that open_clip does not know is the user's mistake."""
    tree = params.model_dump()
    text = {"gamma": dict.fromkeys(params.tasks, 1.0), "encoder": "clip", "clip_weights": "clip.pt"}
    tree["methods"]["dejavu-spatial"]["dejavu"]["text"] = text | {"clip_model": "ViT-Z-32"}
    study = folder / "params/clip.yaml"
    study.write_text(render_params(parse_params(tree, "clip")))
    run = ("--task", "depth", "--method", "dejavu-spatial", "--params", "params/clip.yaml")
    monkeypatch.chdir(folder)
    said = dejavu_here("train", *run, capsys=capsys, expect=1)
    assert "params/clip.yaml: methods.dejavu-spatial: model='ViT-Z-32': open_clip has no" in said
    assert "Traceback" not in said
    tree["methods"]["dejavu-spatial"]["dejavu"]["text"] = text
    study.write_text(render_params(parse_params(tree, "clip")))
    assert "clip.pt: no such file" in dejavu_here("train", *run, capsys=capsys, expect=1)


def on_disk_study(name: str, folder: Path) -> str:
    """Write the tiny study of a data set into a working directory; return its params file."""
    (folder / "params").mkdir(exist_ok=True)
    (folder / f"params/{name}.yaml").write_text(render_params(disk_params(name)))
    return f"params/{name}.yaml"


def test_checking_and_caching_a_download(
    downloads: Downloads,
    manifests: Downloads,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    root = downloads("ade20k")
    study, flag = on_disk_study("ade20k", tmp_path), ("--root", str(root))
    said = dejavu("data", "check", "ade20k", *flag, "--params", study, "--jobs", "2", cwd=tmp_path)
    assert f"ADE20K (challenge) in {root} is in order: train 5, val 1, test 3" in said
    assert dataset_class("ade20k").variants["challenge"].truth["segmentation"] in said
    assert "wrote data/ade20k/manifest.json" in said
    for path in manifests("ade20k").iterdir():
        assert (tmp_path / "data/ade20k" / path.name).read_bytes() == path.read_bytes()
    said = dejavu_here("data", "cache", "--split", "test", *flag, "--params", study, capsys=capsys)
    assert "test: 3 images, 0.00 GB decoded in data/ade20k/cache" in said
    assert (tmp_path / "data/ade20k/cache/test.label.bin").stat().st_size == 3 * 64 * 96
    path = tmp_path / study
    path.write_text(path.read_text().replace("val: ", "val: 1", 1))  # another val: not this data
    said = dejavu_here("data", "cache", *flag, "--params", study, capsys=capsys, expect=1)
    assert "data/ade20k: holds" in said
    assert "the params say" in said


def test_a_check_without_a_study_writes_nothing(
    downloads: Downloads,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("DEJAVU_ROOT", str(downloads("cityscapes")))
    monkeypatch.chdir(tmp_path)
    said = dejavu_here("data", "check", "cityscapes", "--task", "depth", capsys=capsys)
    assert "Cityscapes (fine) in" in said
    assert "  depth: stereo disparity" in said
    assert "segmentation" not in said
    assert not [*tmp_path.iterdir()]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (
            ["check", "nyuv3"],
            "'nyuv3' is none of rooms, ade20k, cityscapes, coco, kitti, nyuv2",
        ),
        (["check", "rooms"], "rooms are rendered: python -m dejavu rooms --params FILE"),
        (["check", "rooms", "--params", "params/default.yaml"], "rooms are rendered"),
        (
            ["check", "coco", "--params", "params/default.yaml"],
            "params/default.yaml: data.name is rooms",
        ),
        (["check", "coco", "--params", "gone.yaml"], "gone.yaml: no such params file"),
        (["check", "kitti", "--variant", "dense"], "kitti has no 'dense'; it has: improved, raw"),
        (
            ["check", "cityscapes", "--task", "depht"],
            "--task: cityscapes (fine) has no ground truth for depht; it has: segmentation, depth",
        ),
        (["check", "cityscapes", "--root", "gone"], "gone/leftImg8bit/train: is missing."),
        (["download", "cityscapes"], "https://www.cityscapes-dataset.com/downloads/ after registr"),
        (["download", "kitti"], "KITTI cannot be downloaded automatically: https://www.cvlibs.net"),
        (["download", "rooms"], "rooms are rendered"),
        (["download", "imagenet"], "'imagenet' is none of rooms, ade20k"),
        (["cache"], "params/default.yaml: data.name is rooms"),
        (
            ["cache", "--params", "params/coco.yaml"],
            "data/coco/manifest.json: there is no prepared data here",
        ),
    ],
)
def test_a_users_mistake_about_data_is_one_message(
    folder: Path,
    arguments: list[str],
    expected: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    on_disk_study("coco", folder)
    monkeypatch.chdir(folder)
    said = dejavu_here("data", *arguments, capsys=capsys, expect=1)
    assert said.startswith("dejavu: ")
    assert expected in said
    assert "Traceback" not in said


def test_damaged_data_is_one_message_and_no_manifest(downloads: Downloads, tmp_path: Path) -> None:
    root = copytree(downloads("coco"), tmp_path / "coco")
    study = on_disk_study("coco", tmp_path)
    for number in (9, 25):
        (root / f"annotations/panoptic_train2017/{number:012d}.png").write_bytes(b"PNG")
    said = dejavu(
        *("--root", str(root), "data", "check", "coco", "--params", study), cwd=tmp_path, expect=1
    )
    assert said.startswith(f"dejavu: {root}: 2 of 9 images ")
    for number in (9, 25):
        assert f"{number:012d}.png: cannot be decoded" in said
    assert "Traceback" not in said
    assert not (tmp_path / "data").exists()


def test_predictions_are_saved_and_scored(
    downloads: Downloads,
    manifests: Downloads,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    study = on_disk_study("ade20k", tmp_path)
    copytree(manifests("ade20k"), tmp_path / "data/ade20k")
    monkeypatch.chdir(tmp_path)
    flags = ("--task", "segmentation", "--method", "baseline", "--params", study)

    def run(verb: str, *arguments: str, expect: int = 0) -> str:
        root = ("--root", str(downloads("ade20k")))
        return dejavu_here(*root, verb, *flags, *arguments, capsys=capsys, expect=expect)

    run("train")
    evaluated = run("evaluate")
    assert "wrote 3 predictions to out" in run("save", "out")
    assert run("score", "out", "metrics.json") == evaluated
    assert json.loads(Path("metrics.json").read_text())["predictions"] == "out"
    assert f"{study}: is read" in run("score", "out", study, expect=1)
    Path("out/ADE_val_00000002.png").unlink()
    said = run("score", "out", "metrics.json", expect=1)
    assert "ADE_val_00000002.png: is missing; every image of the split needs a prediction" in said


@pytest.mark.parametrize("verb", ["train", "cost"])
def test_a_text_pair_of_other_settings_supervises_nothing(
    verb: str, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    copytree(data.parent, "data")
    spatial = TINY["methods"]["dejavu-spatial"]["dejavu"]
    told = spatial | {"text": {"gamma": dict.fromkeys(TINY["tasks"], 1.0)}}

    def study(steps: int) -> None:
        methods = {"baseline": {}, "text": {"dejavu": told}}
        pair = TINY["text_pair"] | {"steps": steps}
        write_text(
            Path("params/default.yaml"), render_params(tiny_params(methods=methods, text_pair=pair))
        )

    asked = [verb, "--task", "depth", *(["--method", "text"] if verb == "train" else [])]
    study(steps=3)
    dejavu_here("text-pair", capsys=capsys)
    study(steps=4)
    said = dejavu_here(*asked, capsys=capsys, expect=1)
    assert "text_pair.safetensors: params, data or code" in said
    assert said.endswith(": python -m dejavu text-pair, with the same --params\n")
    dejavu_here("train", "--task", "depth", "--method", "baseline", capsys=capsys)  # reads none
    dejavu_here("text-pair", capsys=capsys)
    dejavu_here(*asked, capsys=capsys)
