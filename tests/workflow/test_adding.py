"""What the pages of docs/adding say, done as they say: their files, in a copy of the tree."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.pages import ADDING, changed, write
from tests.support.planting import ROOT

FILES = {
    "redaction": 1,
    "network": 1,
    "metric": 1,
    "figure": 2,
    "control": 2,
    "measurement": 4,
}
"""Files of each page beside its tests."""


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a page may change, and what its tests need."""
    tree = tmp_path_factory.mktemp("copy") / "tree"
    tree.mkdir()
    ignore = shutil.ignore_patterns("__pycache__", ".*")
    for folder in ("dejavu", "params", "profiles", "tests", "workflow"):
        shutil.copytree(ROOT / folder, tree / folder, ignore=ignore)
    for file in ("pyproject.toml", "Snakefile"):
        shutil.copy(ROOT / file, tree)
    return tree


def run(tree: Path, *command: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", *command],
        cwd=tree,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.mark.pipeline
@pytest.mark.parametrize("kind", FILES)
def test_the_files_of_a_page_are_all_that_is_needed(kind: str, copy: Path, tmp_path: Path) -> None:
    tree = shutil.copytree(copy, tmp_path / "tree")
    written = write(ADDING / f"{kind}.md", tree)
    tests = [path for path in written if path.startswith("tests/")]
    assert len(tests) == 1
    assert len(written) - len(tests) == FILES[kind]
    python = [path for path in written if path.endswith(".py")]
    run(tree, "ruff", "check", *python)
    run(tree, "ruff", "format", "--check", *python)
    run(tree, "pytest", "-q", "-p", "no:cacheprovider", *tests)


def test_the_workflow_plans_the_measurement_of_the_page(copy: Path, tmp_path: Path) -> None:
    tree = shutil.copytree(copy, tmp_path / "tree")
    write(ADDING / "measurement.md", tree)
    planned = run(tree, "snakemake", "-n", "--cores", "1")
    assert re.search(r"^measure_sharpness +3$", planned, flags=re.MULTILINE)  # one per task


def test_a_change_needs_its_place() -> None:
    assert changed("a = 1\nb = 2\n", "@@\n a = 1\n-b = 2\n+b = 3\n", "x.py") == "a = 1\nb = 3\n"
    with pytest.raises(AssertionError, match=r"x\.py has 0 places with"):
        changed("a = 1\n", "@@\n b = 1\n+c = 2\n", "x.py")
    with pytest.raises(AssertionError, match="2 places"):
        changed("a = 1\na = 1\n", "@@\n a = 1\n+c = 2\n", "x.py")
