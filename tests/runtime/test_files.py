import errno
import resource
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

from dejavu.runtime.files import copy_file, locked, whole_file, write_text


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "new" / "file.txt"
    write_text(path, "old")

    def fail() -> None:
        with whole_file(path) as temporary:
            temporary.write_text("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert path.read_text() == "old"
    assert list(path.parent.iterdir()) == [path]


HOLDS = "with locked(path): print('held', flush=True); time.sleep(60)"
WRITES = (
    "with whole_file(path) as t: t.write_text('half'); print('held', flush=True); time.sleep(60)"
)


@contextmanager
def other_process(code: str, path: Path) -> Iterator["subprocess.Popen[str]"]:
    """Run ``code`` in another process; yield once that holds ``path``, and kill it at the end."""
    imports = (
        "import time; from pathlib import Path; from dejavu.runtime.files import locked, whole_file"
    )
    command = [sys.executable, "-c", f"{imports}\npath = Path({str(path)!r})\n{code}"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_a_lock_waits_says_for_whom_and_a_killed_holder_lets_go(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with other_process(HOLDS, tmp_path) as process:
        started = time.monotonic()
        threading.Timer(0.3, process.kill).start()
        with locked(tmp_path):
            assert time.monotonic() - started > 0.2
    said = capfd.readouterr().err
    assert said.startswith(f"dejavu: {tmp_path}: waiting for process {process.pid} on ")
    with locked(tmp_path):
        assert capfd.readouterr().err == ""


def test_a_writer_waits_for_another_and_writes_over_what_a_killed_one_left(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    with other_process(WRITES, path) as process:
        assert (tmp_path / ".a.txt.tmp").read_text() == "half"
        started = time.monotonic()
        threading.Timer(0.3, process.kill).start()
        write_text(path, "whole")
        assert time.monotonic() - started > 0.2
    assert path.read_text() == "whole"
    assert list(tmp_path.iterdir()) == [path]


def test_writers_at_once_lose_nothing(tmp_path: Path) -> None:
    """Every version of the file is one writer's whole text, never a mixture."""
    path = tmp_path / "a.txt"
    texts = {letter * 200_000 for letter in "abcdefgh"}
    writers = [threading.Thread(target=write_text, args=(path, text)) for text in texts]
    for writer in writers:
        writer.start()
    seen = set()
    while any(writer.is_alive() for writer in writers):
        if path.exists():
            seen.add(path.read_text())
    assert seen | {path.read_text()} <= texts
    assert list(tmp_path.iterdir()) == [path]


@pytest.fixture
def small_files() -> Iterator[None]:
    """Limit files to 100 kB, which acts like a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def write_large(library: str, path: Path) -> None:
    with whole_file(path) as temporary:
        if library == "text":
            temporary.write_text("a" * 200_000)
        elif library == "shutil":
            shutil.copyfile(torch.__file__, temporary)
        else:
            torch.save(torch.zeros(100_000), temporary)


@pytest.mark.usefixtures("small_files")
@pytest.mark.parametrize("library", ["text", "shutil", "torch"])
def test_a_full_disk_is_said_of_the_file_itself(library: str, tmp_path: Path) -> None:
    """Even if shutil would name its source file, and torch raises an unrelated message."""
    path = tmp_path / "new" / "a"
    with pytest.raises(OSError, match="too large") as caught:
        write_large(library, path)
    assert (caught.value.errno, caught.value.filename) == (errno.EFBIG, str(path))
    assert list(path.parent.iterdir()) == []


def test_an_error_that_has_a_file_keeps_it(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as caught:
        copy_file(tmp_path / "none", tmp_path / "a")
    assert caught.value.filename == str(tmp_path / "none")
    with pytest.raises(OSError, match="truncated image"), whole_file(tmp_path / "a"):
        raise OSError("truncated image")
    assert list(tmp_path.iterdir()) == []


def test_a_lock_in_a_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError) as caught, locked(tmp_path / "file" / "run"):
        pass
    assert caught.value.filename == str(tmp_path / "file" / "run")
