import hashlib
import os
import subprocess
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import torch

from dejavu.runtime import environment
from dejavu.runtime.environment import read_commit, read_hardware, read_versions
from dejavu.runtime.errors import DataError
from dejavu.runtime.launch import launched
from dejavu.study.jobs import Job
from dejavu.study.record import Record, read_record, recorded, require_current


@pytest.fixture
def job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Job:
    """A job in an empty folder, which reads `in.txt` and writes `out.txt` and its log."""
    monkeypatch.chdir(tmp_path)
    Path("in.txt").write_text("before")
    return Job(
        study="tiny",
        verb="train",
        record=Path("records/train/run.json"),
        params={"steps": 6},
        hashes={"run": "0123"},
        inputs=(Path("in.txt"),),
        outputs=(Path("out.txt"), Path("out.jsonl")),
    )


def make(job: Job) -> None:
    job.outputs[0].write_text("weights")
    job.outputs[1].write_text("{}\n")


def written(job: Job) -> Record:
    record = read_record(job.record)
    assert record is not None
    return record


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def test_a_record_says_what_was_made_of_what_when_and_on_what(job: Job) -> None:
    before = datetime.now(UTC).replace(microsecond=0)
    with recorded(job):
        Path("in.txt").write_text("after")  # what was read is what was there at the start
        time.sleep(0.05)
        make(job)
    record = written(job)
    assert (record.study, record.verb, record.params) == ("tiny", "train", {"steps": 6})
    assert record.hashes == {"run": "0123"}
    assert record.inputs == {"in.txt": sha256("before")}
    assert record.outputs["out.txt"] == sha256("weights")
    assert set(record.outputs) == {"out.txt", "out.jsonl"}
    made = record.execution
    assert made is not None
    assert before <= made.started <= datetime.now(UTC)
    assert made.started.utcoffset() == timedelta(0)
    assert 0.05 <= made.seconds < 10
    assert '"started": "20' in job.record.read_text()
    assert job.record.read_text().count('Z",') == 1  # ISO, UTC


def test_a_block_that_fails_leaves_no_record(job: Job) -> None:
    make(job)
    with pytest.raises(ZeroDivisionError), recorded(job):
        _ = 1 / 0
    assert not job.record.exists()


@pytest.mark.parametrize(("rank", "writes"), [("0", True), ("1", False), ("11", False)])
def test_of_processes_that_train_together_the_first_writes(
    rank: str, writes: bool, job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Under torchrun alone: some platforms set such a variable for every job."""
    monkeypatch.setenv("RANK", rank)
    monkeypatch.setenv("WORLD_SIZE", "12")
    assert launched() == (0, 1)
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "1")
    with recorded(job) as record:
        make(job)
        record.take(Path("store"))
    assert job.record.exists() == writes


def test_a_record_says_how_many_processes_trained(
    job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"TORCHELASTIC_RUN_ID": "1", "RANK": "0", "WORLD_SIZE": "12"}.items():
        monkeypatch.setenv(name, value)
    with recorded(job):
        make(job)
    made = written(job).execution
    assert made is not None
    assert made.processes == 12


def test_a_run_found_in_the_store_keeps_the_record_of_its_training(job: Job) -> None:
    store, kept = Path("store"), Path("store/record.json")
    with recorded(job) as record:
        make(job)
        record.keep(store, 12.5)
        record.take(store)
    first = written(job).execution
    assert first is not None
    assert first.seconds == 12.5  # of the training, not this process's time
    before = kept.read_bytes()
    with recorded(job) as record:
        time.sleep(1.01)  # its start would differ
        record.take(store)
    assert written(job).execution == first
    assert kept.read_bytes() == before
    kept.unlink()
    with recorded(job) as record:
        record.take(store)
    assert written(job).execution is None
    assert not kept.exists()


@pytest.mark.parametrize("text", ["{", "[]", '{"study": "tiny"}', "\udcff"])
def test_a_damaged_record_is_named(text: str, tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    path.write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(DataError, match=r"record\.json: cannot be read as a record"):
        read_record(path)
    assert read_record(tmp_path / "gone.json") is None


def test_what_is_recorded_and_whole_is_current(job: Job) -> None:
    require_current(job, "make it")  # nothing was made: its reader says so
    with recorded(job):
        make(job)
    require_current(job, "make it")
    job.outputs[1].unlink()  # what is not there is not wrong
    require_current(job, "make it")
    job.record.unlink()
    make(job)
    job.outputs[0].unlink()  # as in a clone: git has the rest
    require_current(job, "make it")


def test_what_is_stale_changed_or_not_recorded_is_not(job: Job) -> None:
    make(job)
    with pytest.raises(DataError, match=r"^out\.txt: .*records/train/run\.json; .*: make it$"):
        require_current(job, "make it")
    with recorded(job):
        make(job)
    with pytest.raises(DataError, match=r"^out\.txt: params, data or code"):
        require_current(replace(job, hashes={"run": "4567"}), "make it")
    job.outputs[1].write_text("{} \n")
    with pytest.raises(DataError, match=r"^out\.txt: out\.jsonl differs from .*records/"):
        require_current(job, "make it")


def git(root: Path, *arguments: str) -> str:
    author = [f"-c user.{k}=test@localhost" for k in ("name", "email")]
    command = ["git", *" ".join(author).split(), *arguments]
    return subprocess.check_output(command, cwd=root, text=True, stderr=subprocess.STDOUT).strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    git(tmp_path, "init", "-q")
    for name in ("dejavu/loss.py", "params/default.yaml", "README.md"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("one\n")
    git(tmp_path, "add", "-A")
    git(tmp_path, "commit", "-q", "-m", "first")
    return tmp_path


@pytest.mark.parametrize(
    ("changed", "dirty"),
    [
        (None, False),
        ("README.md", False),
        ("results/table.csv", False),
        ("dejavu/loss.py", True),
        ("dejavu/new.py", True),
        ("params/default.yaml", True),
    ],
)
def test_the_commit_and_whether_code_or_params_differ(
    changed: str | None, dirty: bool, repository: Path
) -> None:
    if changed:
        (repository / changed).parent.mkdir(exist_ok=True)
        (repository / changed).write_text("two\n")
    found = read_commit(repository)
    assert found.commit == git(repository, "rev-parse", "HEAD")
    assert found.dirty is dirty


def test_a_removed_or_staged_module_is_a_difference(repository: Path) -> None:
    (repository / "dejavu/loss.py").unlink()
    assert read_commit(repository).dirty is True
    git(repository, "add", "-A")
    assert read_commit(repository).dirty is True


def test_outside_git_the_commit_is_unknown(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An installed package lies in a folder of a repository and is no part of it."""
    installed = repository / ".venv/site-packages"
    installed.mkdir(parents=True)
    (tmp_path / "empty").mkdir()
    git(tmp_path / "empty", "init", "-q")
    found = [read_commit(root) for root in (installed, tmp_path / "empty")]
    monkeypatch.setenv("PATH", str(tmp_path))  # no git at all
    found.append(read_commit(repository))
    assert {(one.commit, one.dirty) for one in found} == {("unknown", None)}


def test_versions_are_those_in_use() -> None:
    versions = read_versions()
    assert versions["torch"].partition("+")[0] == torch.__version__.partition("+")[0]
    assert versions["python"].startswith("3.")
    assert "no-such-package" not in versions


def test_the_machine_is_described_as_the_process_may_use_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(allowed)})
    try:
        found = read_hardware()
    finally:
        os.sched_setaffinity(0, allowed)
    assert found.cores == 1
    assert found.threads == torch.get_num_threads()
    assert found.processor
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda i: f"GPU {i}")
    tool = tmp_path / "nvidia-smi"
    tool.write_text("#!/bin/sh\nprintf '580.1\\n580.1\\n'\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    found = read_hardware()
    assert (found.gpus, found.driver) == (["GPU 0", "GPU 1"], "580.1")


@pytest.mark.parametrize("script", ["exit 9", "exec sleep 9", "true"])
def test_a_driver_that_does_not_answer_is_no_failure(
    script: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tool = tmp_path / "nvidia-smi"
    tool.write_text(f"#!/bin/sh\n{script}\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr(environment, "_PATIENCE", 0.5)
    assert environment._driver() is None
