"""Params A, then B, then A, by any mix of verbs, Snakemake and DVC: the results are those of A."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dejavu.config.generated import render_params
from tests.support.pipeline import clone, run, write_study
from tests.support.studies import TINY, tiny_params

pytestmark = pytest.mark.pipeline
CELL = "depth/fpn/baseline/seed0"
CHECKPOINT = Path(f"results/default/checkpoints/{CELL}.safetensors")
METRICS = Path(f"results/default/metrics/runs/{CELL}.json")
OF_RUN = ("--task", "depth", "--method", "baseline")


def study(steps: int) -> dict[str, Any]:
    return {
        "tasks": ["depth"],
        "methods": {"baseline": {}},
        "seeds": [0],
        "train": TINY["train"] | {"steps": steps},
    }


COMMANDS: dict[str, tuple[str, ...]] = {
    "train": ("python", "-m", "dejavu", "train", *OF_RUN),
    "evaluate": ("python", "-m", "dejavu", "evaluate", *OF_RUN),
    "snakemake": ("snakemake", "--cores", "1", "--", str(CHECKPOINT), str(METRICS)),
    "dvc": ("dvc", "repro", "train"),
    "forget": ("rm", "-rf", ".snakemake/metadata"),
}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone with the one run of params A, trained and scored. Do not change it."""
    tree = clone(tmp_path_factory.mktemp("made"))
    shutil.rmtree(tree / "results")
    (tree / "dvc.lock").unlink()
    write_study(tree, **study(6))
    run(tree, *COMMANDS["snakemake"])
    return tree


@pytest.mark.parametrize(
    "mix",
    [
        "B: train, evaluate. A: train, snakemake",
        "A: forget. B: train. A: snakemake",
        "A: dvc. B: train. A: dvc, snakemake",
    ],
)
def test_the_last_params_win(
    mix: str, made: Path, tmp_path: Path, planned: Callable[..., dict[str, int]]
) -> None:
    tree = Path(shutil.copytree(made, tmp_path / "tree", symlinks=True))
    for part in mix.split(". "):
        params, _, verbs = part.partition(": ")
        text = render_params(tiny_params(study="default", **study({"A": 6, "B": 9}[params])))
        (tree / "params/default.yaml").write_text(text)
        for verb in verbs.split(", "):
            run(tree, *COMMANDS[verb])
    for result in (CHECKPOINT, METRICS):
        assert (tree / result).read_bytes() == (made / result).read_bytes()
    assert planned(tree, "--", str(METRICS)) == {}
