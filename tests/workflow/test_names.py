"""Names are names: whatever a file, folder, root, label or branch is called, no shell reads it."""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from dejavu.config import parse_params
from dejavu.runtime.errors import ParamsError
from tests.support.pipeline import ENVIRONMENT, ROOT, clone, run, write_study
from tests.support.studies import TINY

HOSTILE = (
    *("a$(touch planted)", "a`touch planted`", "a&touch planted&", "a;touch planted;"),
    *("a'b", 'a"b', "*", "a b", "a#b", "a\\b", "~", "-x"),
)
"""Parts of names that a shell would run, expand or split."""


def shell_lines() -> Iterator[tuple[str, str]]:
    """The shell lines of all rules, each with its file."""
    for path in [ROOT / "Snakefile", *sorted((ROOT / "workflow/rules").glob("*.smk"))]:
        for block in re.findall(r"^ +shell:\n((?: +\".*\"\n)+)", path.read_text(), re.MULTILINE):
            for line in block.splitlines():
                yield path.name, line.strip()


def test_every_placeholder_of_a_shell_line_is_quoted() -> None:
    lines = [*shell_lines()]
    rules = "".join(path.read_text() for path in (ROOT / "workflow/rules").glob("*.smk"))
    assert rules.count("shell:") == sum("python -m dejavu" in line for _, line in lines) > 10
    for file, line in lines:
        for placeholder in re.findall(r"\{[^}]*\}", line):
            assert placeholder.endswith(":q}"), f"{file}: {line}: {placeholder} is not quoted"


def test_dvc_puts_no_value_into_a_command() -> None:
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
    commands = [command for stage in stages.values() for command in stage["cmd"]]
    assert len(commands) == 6
    assert all(re.fullmatch(r"[\w -]+", command) for command in commands)


@pytest.mark.parametrize("name", [*HOSTILE, "a{x}", "a\nb", "../a", "é", ""])
def test_labels_are_plain(name: str) -> None:
    method = {"methods": {"baseline": {}, name: {}}}
    network = {"networks": {name: TINY["networks"]["fpn"]}}
    for key, change in (("study", {"study": name}), ("methods", method), ("networks", network)):
        with pytest.raises(ParamsError, match=key):
            parse_params(TINY | change, "tiny")


@pytest.mark.parametrize(
    ("target", "variable"), [("ci-compare", "BASE"), ("ci-push", "PUSH_REMOTE")]
)
@pytest.mark.parametrize("name", ["a;touch${IFS}planted", "`touch planted`", "$(touch planted)"])
def test_make_gives_a_name_to_dvc_as_it_is(
    target: str, variable: str, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A branch may be called so."""
    shutil.copy(ROOT / "Makefile", tmp_path)
    stub = tmp_path / "bin/dvc"
    stub.parent.mkdir()
    stub.write_text('#!/bin/sh\nfor word in "$@"; do echo "$word"; done >> said\n')
    stub.chmod(0o755)
    monkeypatch.setitem(ENVIRONMENT, variable, name)
    run(tmp_path, "make", "-o", "install", "BIN=bin", target)
    assert name in (tmp_path / "said").read_text().splitlines()
    assert not (tmp_path / "planted").exists()


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone with a tiny study, in a folder of a hostile name."""
    folder = tmp_path_factory.mktemp("names") / "a $(touch planted)`touch planted`&'\"*#;é"
    made = clone(folder)
    write_study(made, "tiny")
    return made


@pytest.mark.pipeline
def test_jobs_run_whatever_the_study_and_the_tree_are_called(tree: Path) -> None:
    folder = tree / "my studies $(touch planted)"
    for part in ("".join(HOSTILE), "a{x}{params.file}{{"):
        study = folder / f"{part}.yaml"
        study.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(tree / "params/tiny.yaml", study)
        flags = (f"--configfile={study.relative_to(tree)}", "-R", "prepare_rooms")
        run(tree, "snakemake", "--cores", "1", *flags, "--", "data/tiny/manifest.json")
        assert (tree / "data/tiny/manifest.json").exists()
    assert not [*tree.parent.rglob("planted")]


def refused(tree: Path, *flags: str) -> str:
    said = run(tree, "snakemake", "-n", "--cores", "1", *flags, expect=1)
    assert "Traceback" not in said
    return re.sub(r"\s+", " ", said)


@pytest.mark.pipeline
@pytest.mark.parametrize("name", ["a\nb.yaml", "a\x1b[2J.yaml"])
def test_a_name_that_cannot_be_printed_is_refused(name: str, tree: Path) -> None:
    shutil.copy(tree / "params/tiny.yaml", tree / name)
    assert "rename it" in refused(tree, "--configfile", name)


@pytest.mark.pipeline
def test_braces_in_the_trees_folder_are_refused(tree: Path) -> None:
    """Snakemake fills them in the paths of conda environments."""
    folder = shutil.copytree(tree, tree.with_name("a{x}"))
    assert "the folder of this tree" in refused(Path(folder))


@pytest.mark.pipeline
def test_names_that_only_a_cluster_or_conda_would_interpret_are_refused_there(
    tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Snakemake itself puts them into shell lines of its own."""
    conda = tmp_path / "conda"
    conda.touch(mode=0o755)
    monkeypatch.setitem(ENVIRONMENT, "PATH", f"{tmp_path}:{ENVIRONMENT['PATH']}")
    assert "the folder of this tree" in refused(tree, "--use-conda")
