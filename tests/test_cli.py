import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dejavu.config import Params, parse_params
from dejavu.identity import Run
from dejavu.reference import render_params
from dejavu.training import train


def dejavu(*arguments: str, cwd: Path, expect: int = 0) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "dejavu", *arguments],
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == expect, done.stderr
    return done.stdout + done.stderr


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
        (["gap", "--task", "depht"], "dejavu: tasks: the study has no 'depht'"),
        (["evaluate", "--task", "depth", "--method", "baseline"], "no such checkpoint"),
        (
            ["train", "--task", "depth", "--method", "baseline", "--expect", "0123"],
            "the run was planned as 0123 but is",
        ),
        (["predict", "gone.safetensors", "x.png"], "gone.safetensors: no such checkpoint"),
        (["strip", "gone.safetensors", "x.safetensors"], "gone.safetensors: no such checkpoint"),
        (["onnx", "gone.safetensors", "x.onnx"], "gone.safetensors: no such checkpoint"),
        (["probes", "--task", "depht"], "dejavu: tasks: the study has no 'depht'"),
    ],
)
def test_a_users_mistake_is_one_message(folder: Path, arguments: list[str], expected: str) -> None:
    said = dejavu(*arguments, cwd=folder, expect=1)
    assert expected in said
    assert "Traceback" not in said


def test_data_that_was_not_prepared_names_the_command(params: Params, tmp_path: Path) -> None:
    (tmp_path / "params").mkdir()
    (tmp_path / "params/default.yaml").write_text(render_params(params))
    said = dejavu("train", "--task", "depth", "--method", "baseline", cwd=tmp_path, expect=1)
    assert "python -m dejavu rooms" in said
    assert "Traceback" not in said


def test_predicting_ones_own_image(folder: Path, params: Params, tmp_path: Path) -> None:
    run = Run(params, "normals", "fpn", "baseline", 0)
    train(run, folder / "data/tiny", tmp_path, tmp_path / "model.safetensors")
    rgb = np.random.default_rng(0).integers(0, 255, (40, 56, 3), dtype=np.uint8)
    Image.fromarray(rgb).save(tmp_path / "photo.png")
    (tmp_path / "text.png").write_text("no image")
    dejavu("predict", "model.safetensors", "photo.png", "--output", "out", cwd=tmp_path)
    vectors = np.load(tmp_path / "out/photo.npy")
    assert vectors.shape == (3, 40, 56)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=0), 1, rtol=1e-4)
    assert Image.open(tmp_path / "out/photo.png").size == (56, 40)
    said = dejavu("predict", "model.safetensors", "text.png", cwd=tmp_path, expect=1)
    assert "text.png: cannot be read as an image" in said


def test_what_only_the_library_can_judge_is_one_message_too(params: Params, folder: Path) -> None:
    """A CLIP model that open_clip does not know is the user's mistake."""
    tree = params.model_dump()
    text = {"gamma": dict.fromkeys(params.tasks, 1.0), "encoder": "clip", "clip_weights": "clip.pt"}
    tree["methods"]["dejavu-spatial"]["dejavu"]["text"] = text | {"clip_model": "ViT-Z-32"}
    study = folder / "params/clip.yaml"
    study.write_text(render_params(parse_params(tree, "clip")))
    run = ("--task", "depth", "--method", "dejavu-spatial", "--params", "params/clip.yaml")
    said = dejavu("train", *run, cwd=folder, expect=1)
    assert "params/clip.yaml: methods.dejavu-spatial: model='ViT-Z-32': open_clip has no" in said
    assert "Traceback" not in said
    tree["methods"]["dejavu-spatial"]["dejavu"]["text"] = text
    study.write_text(render_params(parse_params(tree, "clip")))
    assert "clip.pt: no such file" in dejavu("train", *run, cwd=folder, expect=1)
