"""Outputs are places of their own, however their paths are spelled."""

from collections.abc import Callable
from pathlib import Path

import pytest

from dejavu.runtime.errors import DejaVuError
from dejavu.runtime.outputs import require_apart


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("folder").mkdir()
    Path("input").write_text("kept")
    Path("other").write_text("kept")


@pytest.mark.parametrize(
    ("name", "link"),
    [
        ("input", lambda path: None),
        ("folder/../input", lambda path: None),
        ("symbolic", lambda path: path.symlink_to("input")),
        ("hard", lambda path: path.hardlink_to("input")),
        ("linked/input", lambda path: path.parent.symlink_to(".")),
    ],
    ids=["itself", "another spelling", "a symbolic link", "a hard link", "a linked folder"],
)
def test_an_output_is_no_input(name: str, link: Callable[[Path], None]) -> None:
    path = Path(name)
    link(path)
    with pytest.raises(DejaVuError, match=rf"{name}: is read by this command"):
        require_apart([Path("new"), path], [Path("other"), Path("input")])
    require_apart([Path("new"), path], [Path("other")])


def test_absolute_and_relative_paths_are_compared() -> None:
    with pytest.raises(DejaVuError, match="is read by this command"):
        require_apart([Path("input").absolute()], [Path("input")])


@pytest.mark.parametrize("name", ["new", "folder/../new", "linked/new", "symbolic"])
def test_an_output_is_no_other_output(name: str) -> None:
    Path("linked").symlink_to(".")
    Path("symbolic").symlink_to("new")  # which is not there yet
    with pytest.raises(DejaVuError, match=rf"{name}: is the same file as new"):
        require_apart([Path("new"), Path(name)], [])
    require_apart([Path("new"), Path("folder/new")], [])


def test_an_output_is_no_folder() -> None:
    with pytest.raises(DejaVuError, match="folder: is a folder"):
        require_apart([Path("folder")], [])
