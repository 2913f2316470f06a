"""What docs/adding/task.md says, done as it says: its files, its tests, its study."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.pages import ADDING, write
from tests.support.pipeline import clone, run

pytestmark = pytest.mark.pipeline
MODULES = {
    "dejavu/tasks/inverse_depth.py",
    "dejavu/config/tasks.py",
    "dejavu/metrics/inverse_depth.py",
}


def shrink(study: dict[str, Any]) -> dict[str, Any]:
    """Make the page's study end within a minute."""
    return study | {
        "networks": {"fpn": {"architecture": "feature_pyramid", "width": 4}},
        "seeds": [0],
        "data": {"rooms": {"train": 8, "val": 4, "test": 4}},
        "train": {"steps": 4, "batch_size": 4, "subset": 8},
        "gap": {"steps": 2},
        "cost": {"rounds": 1},
        "report": {"scenes": 1},
    }


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone with the page's files, and nothing else changed."""
    tree = clone(tmp_path_factory.mktemp("tree"))
    written = {path for path in write(ADDING / "task.md", tree) if path.startswith("dejavu/")}
    assert written == MODULES
    return tree


def test_the_files_keep_the_rules_of_the_house(tree: Path) -> None:
    run(tree, "ruff", "check", *MODULES, "tests/tasks/test_inverse_depth.py")
    run(tree, "ruff", "format", "--check", *MODULES, "tests/tasks/test_inverse_depth.py")


def test_the_task_passes_the_tests_of_all_tasks(tree: Path) -> None:
    run(tree, "python", "-m", "pytest", "-q", "tests/tasks", "tests/reporting/test_pictures.py")


def test_the_page_leads_to_tables(tree: Path) -> None:
    params = tree / "params/inverse.yaml"
    params.write_text(yaml.safe_dump(shrink(yaml.safe_load(params.read_text()))))
    run(tree, "snakemake", "--cores", "2", "--configfile", "params/inverse.yaml")
    results = tree / "results/inverse"
    files = [json.loads(path.read_text()) for path in results.glob("metrics/runs/**/*.json")]
    assert {(one["task"], one["method"]) for one in files} == {
        ("inverse_depth", "baseline"),
        ("inverse_depth", "dejavu-spatial"),
    }
    for one in files:
        assert one["protocol"]["truth"] == "exact, from the renderer"
        assert {metric["name"] for metric in one["metrics"]} == {"irmse", "edge_irmse"}
    assert "irmse (1/m) ↓" in (results / "tables/main.md").read_text()
    assert (results / "figures/qualitative_inverse_depth.png").stat().st_size > 1000
    assert (results / "report.html").stat().st_size > 50_000
