"""What a crash leaves behind: the same command again goes on, and a person does nothing."""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.pipeline import ENVIRONMENT, clone, run, write_study
from tests.support.studies import TINY

pytestmark = pytest.mark.pipeline
CELL = "depth/fpn/baseline/seed0"
SNAKEMAKE = ["snakemake", "--cores", "1", "trained"]
TRAIN = "exec python -m dejavu train --task depth --method baseline"


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone of one run, whose data is rendered. Do not change it."""
    tree = clone(tmp_path_factory.mktemp("prepared"))
    shutil.rmtree(tree / "results")
    (tree / "dvc.lock").unlink()
    train = TINY["train"] | {"steps": 60, "log_every": 1}
    write_study(tree, tasks=["depth"], methods={"baseline": {}}, seeds=[0], train=train)
    run(tree, "python", "-m", "dejavu", "rooms")
    return tree


@pytest.fixture
def tree(prepared: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(prepared, tmp_path / "tree", symlinks=True))


def wait_until(condition: Callable[[], object]) -> None:
    end = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.fixture
def start(tree: Path) -> Iterator[Callable[[], "subprocess.Popen[bytes]"]]:
    """Start Snakemake in the tree; it does not outlive the test."""
    started = []

    def begin() -> "subprocess.Popen[bytes]":
        quiet = subprocess.DEVNULL
        started.append(
            subprocess.Popen(SNAKEMAKE, cwd=tree, env=ENVIRONMENT, stdout=quiet, stderr=quiet)
        )
        return started[-1]

    yield begin
    for process in started:
        process.kill()
        process.wait()


def trainer(tree: Path) -> int:
    """The process that has the run's log open."""
    found = []
    for process in (p for p in Path("/proc").iterdir() if p.name.isdigit()):
        try:
            files = [file.readlink() for file in (process / "fd").iterdir()]
        except OSError:  # it ended meanwhile
            continue
        if any(file.is_relative_to(tree) and file.name == "log.jsonl" for file in files):
            found.append(int(process.name))
    assert len(found) == 1
    return found[0]


def test_two_at_once_and_an_orphan(
    tree: Path, start: Callable[[], "subprocess.Popen[bytes]"]
) -> None:
    """A second run is refused; after a kill of the first, the next one waits for its orphan."""
    first = start()
    wait_until(lambda: [log for log in tree.glob(".runs/*/log.jsonl") if log.stat().st_size])
    orphan = trainer(tree)
    os.kill(orphan, signal.SIGSTOP)
    try:
        for command, code in ((SNAKEMAKE, 1), (["dvc", "repro"], 255)):
            said = " ".join(run(tree, *command, expect=code).split())
            assert f"another run is at work in this folder (process {first.pid} on " in said
        first.kill()
        first.wait()
        second = start()
        log = tree / f"logs/default/train/{CELL}.log"
        # Snakemake removes a job's log before it starts the job.
        wait_until(lambda: log.exists() and f"process {orphan} on " in log.read_text())
    finally:
        os.kill(orphan, signal.SIGCONT)
    assert second.wait() == 0
    assert "already trained" in log.read_text()
    lines = next(tree.glob(".runs/*/log.jsonl")).read_bytes()
    assert lines.count(b"\n") == 60
    assert (tree / f"results/default/checkpoints/{CELL}.jsonl").read_bytes() == lines


def test_what_was_asked_for_is_done_and_no_more(tree: Path) -> None:
    """Neither are pages named that nobody made, nor all files of a goal."""
    (tree / "data/default/manifest.json").unlink()
    said = run(tree, "snakemake", "--cores", "1", "prepared")
    assert "dejavu: done: prepared\n" in said
    (tree / "data/default/manifest.json").unlink()
    said = run(tree, "snakemake", "--cores", "1", "--until", "prepare_rooms")
    assert "dejavu: done: prepare_rooms\n" in said
    assert "main.md" not in said
    assert "train.npy" not in said


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_a_run_that_was_stopped_blames_no_log(sent: signal.Signals, tree: Path) -> None:
    """As Ctrl-C does, to Snakemake and its jobs."""
    said = subprocess.PIPE
    with subprocess.Popen(
        SNAKEMAKE, cwd=tree, env=ENVIRONMENT, stderr=said, text=True, start_new_session=True
    ) as process:
        wait_until(lambda: [log for log in tree.glob(".runs/*/log.jsonl") if log.stat().st_size])
        os.killpg(process.pid, sent)
        assert "dejavu: stopped" in (errors := process.communicate()[1])
        assert "failed: what went wrong" not in errors
    assert process.returncode == 1


def test_a_job_that_was_killed_without_a_word_is_named(tree: Path) -> None:
    log = f"logs/default/train/{CELL}.log"
    with subprocess.Popen(
        SNAKEMAKE, cwd=tree, env=ENVIRONMENT, stderr=subprocess.PIPE, text=True
    ) as process:
        wait_until(lambda: [one for one in tree.glob(".runs/*/log.jsonl") if one.stat().st_size])
        os.kill(trainer(tree), signal.SIGKILL)
        errors = process.communicate()[1]
    assert f"dejavu: failed: what went wrong is in {log}; without a word" in errors


FULL = "mount -t tmpfs -o size=20k disk results"
READ_ONLY = "mount --bind results results && mount -o remount,bind,ro results"


@pytest.mark.parametrize(
    ("before", "said", "then"),
    [
        ("ulimit -f 20", "state.pt: File too large; raise the limit", "trained"),
        (FULL, f"/{CELL}.safetensors: No space left on device; free some", "already"),
        (READ_ONLY, ": Read-only file system; ", "already"),
    ],
    ids=["file size", "full", "read-only"],
)
def test_a_disk_that_takes_nothing_is_named(before: str, said: str, then: str, tree: Path) -> None:
    """The mounts are seen by the training alone, and end with it."""
    (tree / "results").mkdir(exist_ok=True)
    inside = ["unshare", "--mount", "--map-root-user"] if "mount" in before else []
    if inside and subprocess.run([*inside, "true"], check=False).returncode:
        pytest.skip("this machine gives no mount namespaces")
    ended = run(tree, *inside, "bash", "-c", f"{before} && {TRAIN}", expect=1)
    assert said in ended
    assert ended.startswith(("dejavu: results/default", "dejavu: .runs/"))
    assert "then run the same command again: it continues" in ended
    assert "Traceback" not in ended
    assert list(tree.glob("results/**/*.safetensors")) == []
    assert list(tree.rglob(".*.tmp")) == []
    assert f"safetensors: {then}" in run(tree, "bash", "-c", TRAIN)
