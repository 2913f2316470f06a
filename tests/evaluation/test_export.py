"""Inference parity: the deployed network is the baseline's, whatever loss it was trained with."""

from collections.abc import Callable
from pathlib import Path
from shutil import copyfile

import numpy as np
import onnxruntime
import pytest
import torch
from safetensors import safe_open

from dejavu import load_model
from dejavu.evaluation.export import export_onnx, strip
from dejavu.runtime.errors import DejaVuError
from dejavu.study.run import Run
from dejavu.training.loop import train
from tests.support.studies import tiny_params

METHODS = {
    "baseline": {},
    "dejavu": {
        "dejavu": {
            "redaction": {"name": "random_blocks", "block": 8, "keep": 0.3},
            "gamma": {"segmentation": 1.0},
            "condition": "live",
            "cyclic": {"gamma": {"segmentation": 0.1}},
        }
    },
    "features": {
        "dejavu": {
            "redaction": {"name": "blank"},
            "gamma": {"segmentation": 1.0},
            "condition": "features",
        }
    },
    "attention": {"attention": {"redaction": {"name": "blank"}, "width": 8}},
}


@pytest.fixture(scope="module")
def trained(data: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("trained")
    params = tiny_params(methods=METHODS, tasks=["segmentation"])
    paths = {method: folder / f"{method}.safetensors" for method in METHODS}
    for method, path in paths.items():
        train(Run(params, "segmentation", "fpn", method, 0), data, folder, path)
    return paths


def tensors(path: Path) -> dict[str, tuple[int, ...]]:
    with safe_open(path, framework="pt") as file:
        return {key: tuple(file.get_tensor(key).shape) for key in file.keys()}  # noqa: SIM118


def image() -> torch.Tensor:
    return torch.randn(3, 3, 64, 64, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("export", [strip, lambda a, b: export_onnx(a, b, 64, 64)])
@pytest.mark.parametrize("spelling", ["dejavu.safetensors", "folder/../dejavu.safetensors", "link"])
def test_an_export_does_not_write_over_its_checkpoint(
    export: Callable[[Path, Path], None], spelling: str, trained: dict[str, Path], tmp_path: Path
) -> None:
    checkpoint = tmp_path / "dejavu.safetensors"
    copyfile(trained["dejavu"], checkpoint)
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").hardlink_to(checkpoint)
    with pytest.raises(DejaVuError, match=rf"{tmp_path / spelling}: is read"):
        export(checkpoint, tmp_path / spelling)
    with pytest.raises(DejaVuError, match=r"folder: is a folder"):
        export(checkpoint, tmp_path / "folder")
    assert checkpoint.read_bytes() == trained["dejavu"].read_bytes()


@pytest.mark.parametrize("method", ["dejavu", "features"])
def test_a_stripped_model_is_the_baselines_network(
    method: str, trained: dict[str, Path], tmp_path: Path
) -> None:
    stripped = tmp_path / "stripped.safetensors"
    strip(trained[method], stripped)
    assert any(key.startswith("criterion.") for key in tensors(trained[method]))
    assert tensors(stripped) == tensors(trained["baseline"])
    deployed, whole = load_model(stripped), load_model(trained[method])
    with torch.inference_mode():
        assert torch.equal(deployed(image()), whole(image()))
        assert not torch.equal(deployed(image()), load_model(trained["baseline"])(image()))


@pytest.mark.parametrize("method", ["dejavu", "features"])
def test_the_exported_graph_is_the_baselines(method: str, trained: dict[str, Path]) -> None:
    graphs = [
        torch.export.export(load_model(trained[name]), (image(),)).graph_module.code
        for name in ("baseline", method)
    ]
    assert "conv2d" in graphs[0]
    assert graphs[1] == graphs[0]


@pytest.mark.parametrize("method", ["baseline", "dejavu"])
def test_onnxruntime_runs_the_exported_file_with_the_same_result(
    method: str, trained: dict[str, Path], tmp_path: Path
) -> None:
    path = tmp_path / "model.onnx"
    export_onnx(trained[method], path, height=64, width=64)
    session = onnxruntime.InferenceSession(path)
    for pixels in (image(), image()[:1]):  # the batch's size is free
        (output,) = session.run(["output"], {"image": pixels.numpy()})
        with torch.inference_mode():
            expected = load_model(trained[method])(pixels)
        np.testing.assert_allclose(output, expected.numpy(), atol=1e-4, rtol=1e-4)


def test_shared_attention_is_not_exported_silently(
    trained: dict[str, Path], tmp_path: Path
) -> None:
    with pytest.raises(DejaVuError, match=r"safetensors: .*shared attention"):
        export_onnx(trained["attention"], tmp_path / "model.onnx", height=64, width=64)
