"""Locks and names that anybody can guess, on file systems and beside neighbours that are unkind."""

import errno
import fcntl
import hashlib
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from dejavu.datasets.fetching.download import Download
from dejavu.datasets.fetching.http import fetch
from dejavu.runtime.devices import _lease, leased_devices
from dejavu.runtime.errors import DejaVuError
from dejavu.runtime.files import locked, write_text
from dejavu.runtime.locks import lock, open_by_name


def test_a_lock_is_for_one_and_a_shared_one_for_those_who_share(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with open_by_name(path) as first, open_by_name(path) as second:
        assert lock(first, shared=True)
        assert lock(second, shared=True)
        assert not lock(second)
    with open_by_name(path) as first, open_by_name(path) as second:
        assert lock(first)
        assert not lock(second, shared=True)


def lock_folder(folder: Path) -> None:
    with locked(folder):
        pass


def write_file(folder: Path) -> None:
    write_text(folder / "table.csv", "text")


def lease(folder: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tempfile, "tempdir", str(folder))
        patch.setattr("dejavu.runtime.devices.visible_devices", lambda: ["GPU-0"])
        with leased_devices():
            pass


def resume(folder: Path) -> None:
    """Go on with a partial download, of which the first half has arrived."""
    (folder / ".list.txt.part.version").write_text('"1"')
    with pytest.MonkeyPatch.context() as patch:
        answer = Answer((folder / ".list.txt.part").stat().st_size)
        patch.setattr("urllib.request.urlopen", lambda *_, **__: answer)
        checksum = f"sha256:{hashlib.sha256(b'textab').hexdigest()}"
        download = Download("http://localhost/list.txt", "list.txt", checksum=checksum)
        fetch(download, folder, sleep=pytest.fail)


class Answer:
    status, length = 206, 2

    def __init__(self, start: int) -> None:
        self.headers = {"Content-Range": f"bytes {start}-"}
        self._chunks = iter([b"ab", b""])

    def __enter__(self) -> "Answer":
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def read(self, size: int) -> bytes:
        return next(self._chunks)


Action = Callable[[Path], None]
LOCKS: dict[str, Action] = {"lock": lock_folder, ".table.csv.tmp": write_file}
LOCKS["dejavu-devices-{}/gate"] = lease
OPENED = LOCKS | {"dejavu-devices-{}/GPU-0": lease, ".list.txt.part": resume}


def place(name: str, folder: Path) -> Path:
    path = folder / name.format(os.getuid())
    path.parent.mkdir(mode=0o700, exist_ok=True)
    return path


@pytest.mark.parametrize("name", LOCKS)
@pytest.mark.parametrize("code", [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP])
def test_a_file_system_without_locks_is_named(
    code: int, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.raises(DejaVuError) as raised:
        LOCKS[name](tmp_path)
    assert str(raised.value).startswith(f"{place(name, tmp_path)}: ")
    assert os.strerror(code) in str(raised.value)
    assert "TMPDIR" in str(raised.value)


@pytest.mark.parametrize("plant", ["symbolic link", "hard link", "named pipe"])
@pytest.mark.parametrize("name", OPENED)
def test_nothing_is_written_through_a_link_at_a_name_that_can_be_guessed(
    name: str, plant: str, tmp_path: Path
) -> None:
    target, path = tmp_path / "precious", place(name, tmp_path)
    target.write_text("text")
    if plant == "symbolic link":
        path.symlink_to(target)
    elif plant == "hard link":
        path.hardlink_to(target)
    else:
        os.mkfifo(path)
    with pytest.raises(DejaVuError) as raised:
        OPENED[name](tmp_path)
    assert str(raised.value).startswith(f"{path}: is a link")
    assert target.read_text() == "text"


@pytest.mark.parametrize("name", OPENED)
def test_without_a_link_the_same_is_done(name: str, tmp_path: Path) -> None:
    if name == ".list.txt.part":
        (tmp_path / name).write_text("text")
    OPENED[name](tmp_path)
    if name == ".list.txt.part":
        assert (tmp_path / "list.txt").read_text() == "textab"


@contextmanager
def told_owner(folder: Path, owner: int) -> Iterator[None]:
    """Let a folder say that it belongs to another user; only root could give it away."""
    lstat = Path.lstat

    def said(path: Path) -> os.stat_result:
        found = lstat(path)
        return found if path != folder else os.stat_result((*found[:4], owner, *found[5:]))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Path, "lstat", said)
        yield


@pytest.mark.parametrize("fault", ["another's", "open to others", "link", "dangling link", "file"])
def test_a_lease_is_not_kept_where_others_can_write(
    fault: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their owner could hold its locks for ever, and every run would wait."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    folder, elsewhere = tmp_path / f"dejavu-devices-{os.getuid()}", tmp_path / "elsewhere"
    if fault in ("another's", "open to others"):
        folder.mkdir(mode=0o700)
        folder.chmod(0o777 if fault == "open to others" else 0o700)
    elif fault == "file":
        folder.touch()
    else:
        folder.symlink_to(elsewhere)
        if fault == "link":
            elsewhere.mkdir(mode=0o700)
    owner = os.getuid() + (fault == "another's")
    with told_owner(folder, owner), pytest.raises(DejaVuError) as raised:
        _lease(["GPU-0"], 1, 1)
    assert str(raised.value).startswith(f"{folder}: ")
    assert "TMPDIR" in str(raised.value)


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a folder away")
def test_a_folder_that_another_user_made_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    folder = tmp_path / "dejavu-devices-0"
    folder.mkdir(mode=0o700)
    os.chown(folder, 12345, -1)
    with pytest.raises(DejaVuError, match="dejavu-devices-0"):
        _lease(["GPU-0"], 1, 1)


def test_the_folder_of_leases_is_made_for_its_user_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    lease_: Any = _lease(["GPU-0"], 1, 1)
    lease_[1].close()
    (folder,) = tmp_path.iterdir()
    assert folder.stat().st_mode & 0o777 == 0o700
