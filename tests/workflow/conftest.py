"""Temporary copies of the tree: fresh, or with a finished study."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.pipeline import clone, run, write_study


@pytest.fixture
def fresh(tmp_path: Path) -> Path:
    """A fresh clone."""
    return clone(tmp_path)


@pytest.fixture(scope="session")
def finished_tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone whose default study is tiny and was made by a plain `snakemake`. Do not change it."""
    tree = clone(tmp_path_factory.mktemp("finished"))
    shutil.rmtree(tree / "results", ignore_errors=True)
    (tree / "dvc.lock").unlink(missing_ok=True)
    write_study(tree)
    run(tree, "git", "add", "-A")
    run(tree, "git", "commit", "-q", "-m", "tiny study")
    run(tree, "snakemake", "--cores", "2")
    return tree


@pytest.fixture
def finished(finished_tree: Path, tmp_path: Path) -> Path:
    """A copy of the finished tree that a test may change; times are kept."""
    return Path(shutil.copytree(finished_tree, tmp_path / "tree", symlinks=True))


@pytest.fixture
def planned() -> Callable[..., dict[str, int]]:
    """Count the jobs that `snakemake -n` plans, by rule."""

    def plan(tree: Path, *flags: str) -> dict[str, int]:
        said = run(tree, "snakemake", "-n", "--cores", "2", "--quiet", "rules", *flags)
        rows = (line.split() for line in said.splitlines())
        jobs = {row[0]: int(row[1]) for row in rows if len(row) == 2 and row[1].isdigit()}
        assert jobs or "Nothing to be done" in said, said
        return jobs

    return plan
