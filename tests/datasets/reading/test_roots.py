"""The folder of a data set, as people type it."""

from pathlib import Path

import pytest

from dejavu.datasets.reading.roots import data_root, use_root
from dejavu.runtime.errors import DataError
from tests.support.command import dejavu_here
from tests.support.studies import Downloads


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("DEJAVU_ROOT", "")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("typed", ["~/my data #1", "$HOME/my data #1", "${HOME}/my data #1"])
def test_a_home_that_no_shell_replaced_is_replaced(home: Path, typed: str) -> None:
    use_root(typed)
    assert data_root("kitti") == home / "my data #1"


@pytest.mark.parametrize("typed", ["2024_05", "1e3", "no", "set #1", "a:b", "~", "$HOME", "$NONE"])
def test_a_folder_of_this_very_name_is_meant(home: Path, typed: str) -> None:
    (home / typed).mkdir()
    use_root(typed)
    assert data_root("kitti") == Path(typed)


@pytest.mark.parametrize("typed", ["", " "])
def test_an_empty_root_is_refused(typed: str) -> None:
    with pytest.raises(DataError, match=r"--root \(root=\)"):
        use_root(typed)


def test_verbs_read_a_root_before_and_after_them_so(
    home: Path, downloads: Downloads, capsys: pytest.CaptureFixture[str]
) -> None:
    (home / "ade").symlink_to(downloads("ade20k"))
    check = ("data", "check", "ade20k")
    for arguments in (("--root", "$HOME/ade", *check), (*check, "--root", "~/ade")):
        said = dejavu_here(*arguments, capsys=capsys)
        assert f"in {home / 'ade'} is in order" in said
    for verb in (check, ("data", "download", "ade20k")):
        assert "--root" in dejavu_here(*verb, "--root", "", capsys=capsys, expect=1)
