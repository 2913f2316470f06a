"""Processes that train together: how they end, and the messages of their launcher."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError, ProcessFailure

from dejavu.config.generated import render_params
from dejavu.runtime.launch import is_first, is_launched, launch, launched
from dejavu.study.run import Run
from dejavu.training.checkpoint import load_checkpoint
from tests.support.command import dejavu
from tests.support.studies import TINY, tiny_params

ROOT = Path(__file__).parents[2]
TRAIN = ("train", "--task", "depth", "--method", "baseline")
ENVIRONMENT = os.environ | {
    "PYTHONPATH": str(ROOT),
    "OMP_NUM_THREADS": "1",
    "CUDA_VISIBLE_DEVICES": "",
}


@pytest.fixture
def tree(tmp_path: Path, data: Path) -> Path:
    """A study whose long runs are trained by two processes."""
    steps = TINY["train"] | {"steps": 100_000, "processes": 2, "checkpoint_every": 1}
    (tmp_path / "params").mkdir()
    (tmp_path / "params/default.yaml").write_text(render_params(tiny_params(train=steps)))
    (tmp_path / "data").mkdir()
    (tmp_path / "data/tiny").symlink_to(data)
    return tmp_path


def test_what_a_platform_sets_for_every_job_launches_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("RANK", "3")
    monkeypatch.setenv("WORLD_SIZE", "8")
    assert not is_launched()
    assert launched() == (0, 1)
    assert is_first()
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "none")
    assert is_launched()
    assert launched() == (3, 8)
    assert not is_first()


def test_a_process_that_was_killed_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As torchrun tells its launcher."""

    def fail(options: object) -> None:
        failure = ProcessFailure(0, 4711, -signal.SIGKILL, "")
        raise ChildFailedError("dejavu", {0: failure})

    monkeypatch.setattr("torch.distributed.run.run", fail)
    monkeypatch.setenv("DEJAVU_LAUNCHER", "")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert launch(2, ["train"]) == 128 + signal.SIGKILL
    assert capsys.readouterr().err.startswith("dejavu: SIGKILL ended a training process")


def test_a_mistake_is_a_message_here_too(tree: Path) -> None:
    (tree / "data/tiny").unlink()
    said = dejavu(*TRAIN, cwd=tree, env=ENVIRONMENT, expect=1)
    assert "dejavu: data/tiny" in said
    assert "Traceback" not in said


def test_the_command_starts_the_processes(data: Path, tmp_path: Path) -> None:
    """`python -m dejavu train` with train.processes: 2: one log, one checkpoint."""
    params = tiny_params(study="tiny", train=TINY["train"] | {"processes": 2})
    (tmp_path / "tiny.yaml").write_text(render_params(params))
    (tmp_path / "data").mkdir()
    (tmp_path / "data/tiny").symlink_to(data)
    run_key = ("segmentation", "fpn", "dejavu-spatial", 0)
    run = Run(params, *run_key)
    said = dejavu(
        *("train", "--params", "tiny.yaml", "--task", run.task, "--method", run.method),
        *("--expect", run.hash),
        cwd=tmp_path,
        env=ENVIRONMENT,
    )
    assert said.count(": trained") == 1
    folder = tmp_path / "results/tiny/checkpoints/segmentation/fpn/dejavu-spatial"
    log = [json.loads(line) for line in (folder / "seed0.jsonl").read_text().splitlines()]
    assert [line["step"] for line in log] == [0, 2, 4, 5]
    trained = load_checkpoint(folder / "seed0.safetensors")
    assert trained.provenance.run == run.hash == Run(tiny_params(), *run_key).hash
    assert not list((tmp_path / ".runs").glob("*/state.pt"))


def children(process: int) -> list[int]:
    found = Path(f"/proc/{process}/task/{process}/children").read_text().split()
    return [int(child) for child in found]


def ignores(process: int, number: signal.Signals) -> bool:
    (mask,) = re.findall(r"^SigIgn:\s(\w+)$", Path(f"/proc/{process}/status").read_text(), re.M)
    return bool(int(mask, 16) >> (number - 1) & 1)


def is_alive(process: int) -> bool:
    path = Path(f"/proc/{process}/stat")
    return path.exists() and path.read_text().rpartition(")")[2].split()[0] != "Z"


@pytest.mark.parametrize("stop", [signal.SIGKILL, signal.SIGTERM])
def test_processes_end_with_the_one_that_holds_their_devices(
    stop: signal.Signals, tree: Path
) -> None:
    with subprocess.Popen(
        ["nohup", sys.executable, "-m", "dejavu", *TRAIN],
        cwd=tree,
        env=ENVIRONMENT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as launcher:
        try:
            all_must_end(launcher, stop, tree)
        finally:
            launcher.kill()


def all_must_end(launcher: "subprocess.Popen[str]", stop: signal.Signals, tree: Path) -> None:
    """Stop training midway, and look for its processes."""
    until = time.monotonic() + 300
    while not list(tree.glob(".runs/*/state.pt")) and time.monotonic() < until:
        assert launcher.poll() is None, launcher.communicate()
        time.sleep(0.05)
    workers = children(launcher.pid)
    assert len(workers) == 2
    assert all(map(is_alive, workers))
    assert all(ignores(process, signal.SIGHUP) for process in (launcher.pid, *workers))
    launcher.send_signal(stop)
    until = time.monotonic() + 300
    while any(map(is_alive, workers)) and time.monotonic() < until:
        time.sleep(0.05)
    left = [worker for worker in workers if is_alive(worker)]
    for worker in left:
        os.kill(worker, signal.SIGKILL)
    assert not left
    _, said = launcher.communicate(timeout=300)
    assert launcher.returncode == (-stop if stop == signal.SIGKILL else 128 + stop)
    assert not re.search(r"Traceback", said), said
