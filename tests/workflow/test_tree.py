"""The tree as git, a ZIP or another user left it; what `make clean` takes of it."""

import shutil
import subprocess
from pathlib import Path

import pytest

from dejavu.runtime.environment import read_commit
from tests.support.pipeline import ENVIRONMENT, ROOT, run


@pytest.mark.parametrize("autocrlf", ["true", "input"])
def test_git_converts_no_byte(autocrlf: str, fresh: Path) -> None:
    """Git for Windows asks for it by default; DVC, hashes and records compare bytes."""
    other = fresh / "other"
    run(fresh, "git", "-c", f"core.autocrlf={autocrlf}", "clone", "-q", str(fresh), str(other))
    files = run(fresh, "git", "ls-files", "-z").split("\0")[:-1]
    assert len(files) > 500
    assert [f for f in files if (fresh / f).read_bytes() != (other / f).read_bytes()] == []


def test_a_tree_of_another_user_says_why_it_has_no_commit(
    fresh: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert read_commit(fresh).commit != "unknown"
    assert capsys.readouterr().err == ""
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    assert read_commit(fresh).commit == "unknown"
    assert f"git config --global --add safe.directory {fresh}" in capsys.readouterr().err
    monkeypatch.setenv("PATH", "")
    assert read_commit(fresh).commit == "unknown"
    assert "git is not installed" in capsys.readouterr().err


def test_dvc_works_in_a_tree_without_git(fresh: Path) -> None:
    """As `make install` leaves it."""
    shutil.rmtree(fresh / ".git")
    recipe = (ROOT / "Makefile").read_text()
    (line,) = [line for line in recipe.splitlines() if "core.no_scm" in line]
    run(fresh, "sh", "-c", line.strip().removeprefix("@").replace("$(BIN)/", ""))
    assert "not in cache" in run(fresh, "dvc", "status")


def make(tree: Path, *words: str) -> "subprocess.CompletedProcess[str]":
    command = ["make", *words]
    return subprocess.run(
        command, cwd=tree, env=ENVIRONMENT, capture_output=True, text=True, check=False
    )


def test_clean_takes_what_is_the_default_studys_alone(tmp_path: Path) -> None:
    shutil.copy(ROOT / "Makefile", tmp_path)
    own = {"build", "logs/default", "data/default", "results/default/checkpoints"}
    store = {".runs/a", ".snakemake/metadata", "logs/other"}
    others = {"data/other", "data/raw", "results/other/checkpoints", "results/default/tables"}
    for folder in own | store | others:
        (tmp_path / folder).mkdir(parents=True)

    def left() -> set[str]:
        return {folder for folder in own | store | others if (tmp_path / folder).exists()}

    refused = make(tmp_path, "clean-all")
    assert refused.returncode
    assert "YES=1" in refused.stdout
    assert left() == own | store | others
    said = make(tmp_path, "clean").stdout
    assert left() == store | others
    assert ".runs/" in said
    assert make(tmp_path, "clean-all", "YES=1").returncode == 0
    assert left() == others
