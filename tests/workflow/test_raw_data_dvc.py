"""What docs/raw-data.md says of DVC and raw data, done as it says."""

import json
import re
import shutil
from pathlib import Path

import pytest
import yaml

from tests.support.pipeline import ROOT, run

pytestmark = pytest.mark.pipeline
IMAGE = "leftImg8bit/val/munster/munster_000000_000019_leftImg8bit.png"
PAGE = (ROOT / "docs/raw-data.md").read_text(encoding="utf-8")


def stage() -> str:
    """The dvc.yaml that the page shows."""
    (found,) = re.findall(r"```yaml\n(stages:\n.*?)```", PAGE, flags=re.DOTALL)
    return str(found)


def status(tree: Path) -> object:
    said = run(tree, "dvc", "status", "--json").splitlines()
    return json.loads(said[-1])  # warnings may come before


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    """A folder as downloaded, outside any repository."""
    folder = tmp_path / "disk/cityscapes"
    (folder / IMAGE).parent.mkdir(parents=True)
    (folder / IMAGE).write_bytes(bytes(200_000))
    (folder / "README").write_text("as downloaded")
    return folder


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository whose `python -m dejavu` writes down what it was asked. Do not change it."""
    folder = tmp_path_factory.mktemp("empty")
    (folder / "dejavu").mkdir()
    (folder / "dejavu/__main__.py").write_text(
        "import sys\nopen('asked', 'a').write(' '.join(sys.argv[1:]) + '\\n')\n"
    )
    (folder / ".gitignore").write_text("/data/*\n")
    run(folder, "git", "init", "-q")
    run(folder, "dvc", "init", "-q")
    return folder


@pytest.fixture
def tree(empty: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(empty, tmp_path / "tree"))


def size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def test_a_stage_watches_a_folder_in_place(tree: Path, raw: Path) -> None:
    (tree / "raw").mkdir()
    link = tree / "data/raw/cityscapes"
    link.parent.mkdir(parents=True)
    link.symlink_to(raw)
    (tree / "raw/dvc.yaml").write_text(stage())
    before = {path: path.stat() for path in sorted(raw.rglob("*"))}
    run(tree, "dvc", "repro", "raw/dvc.yaml")
    assert (tree / "asked").read_text() == "data check cityscapes --root data/raw/cityscapes\n"
    lock = (tree / "raw/dvc.lock").read_text()
    assert str(raw.parent) not in lock
    (dependency,) = yaml.safe_load(lock)["stages"]["cityscapes"]["deps"]
    assert (dependency["path"], dependency["nfiles"]) == ("data/raw/cityscapes", 2)
    assert {path: path.stat().st_mtime_ns for path in before} == {
        path: found.st_mtime_ns for path, found in before.items()
    }
    assert sorted(raw.rglob("*")) == list(before)
    assert size(tree / ".dvc") < 100_000  # nothing was copied

    moved = raw.rename(raw.with_name("elsewhere"))
    link.unlink()
    link.symlink_to(moved)
    assert status(tree) == {}

    (moved / IMAGE).write_bytes(bytes(199_999) + b"1")
    assert status(tree) == {
        "raw/dvc.yaml:cityscapes": [{"changed deps": {"data/raw/cityscapes": "modified"}}]
    }
    run(tree, "dvc", "repro", "raw/dvc.yaml")
    assert (tree / "asked").read_text().count("\n") == 2
    assert status(tree) == {}


def test_an_import_without_download_shows_a_change_only_after_an_update(
    tree: Path, raw: Path
) -> None:
    run(tree, "dvc", "import-url", "--no-download", str(raw), "cityscapes")
    record = (tree / "cityscapes.dvc").read_text()
    assert not (tree / "cityscapes").exists()
    assert size(tree / ".dvc") < 100_000
    (raw / IMAGE).write_bytes(b"changed")
    assert status(tree) == {"cityscapes.dvc": [{"changed outs": {"cityscapes": "deleted"}}]}
    run(tree, "dvc", "update", "--no-download", "cityscapes.dvc")
    assert (tree / "cityscapes.dvc").read_text() != record


def test_a_cache_on_the_same_disk_shares_the_files(tree: Path, raw: Path, tmp_path: Path) -> None:
    run(tree, "dvc", "cache", "dir", str(tmp_path / "disk/cache"))
    run(tree, "dvc", "config", "cache.type", "reflink,hardlink")
    inside = raw.rename(tree / "cityscapes")
    run(tree, "dvc", "add", "cityscapes")
    blocks = {path.stat().st_ino for path in (tmp_path / "disk/cache").rglob("*")}
    image = inside / IMAGE
    if image.stat().st_nlink > 1:  # a file system with reflinks shares blocks, not the inode
        assert image.stat().st_ino in blocks
        assert not image.stat().st_mode & 0o222
    assert status(tree) == {}
    image.unlink()
    image.write_bytes(b"changed")
    assert status(tree) == {"cityscapes.dvc": [{"changed outs": {"cityscapes": "modified"}}]}
    run(tree, "dvc", "checkout", "--force", "cityscapes.dvc")
    assert image.read_bytes() == bytes(200_000)


def test_a_folder_outside_cannot_be_added(tree: Path, raw: Path) -> None:
    assert "outside of DVC project" in run(tree, "dvc", "add", str(raw), expect=1)
    (tree / "cityscapes").symlink_to(raw)
    assert "symlink" in run(tree, "dvc", "add", "cityscapes", expect=1)
