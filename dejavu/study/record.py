"""Records of how results were made, in files of their own: results stay byte-identical."""

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from pydantic import AwareDatetime, BaseModel, Field

from dejavu.datasets.reading.manifest import file_sha256
from dejavu.runtime.environment import Commit, Hardware, read_commit, read_hardware, read_versions
from dejavu.runtime.errors import DataError
from dejavu.runtime.files import write_text
from dejavu.runtime.launch import is_first, launched
from dejavu.runtime.strict_json import read_json
from dejavu.study.jobs import Job

Kind = TypeVar("Kind", bound=BaseModel)

_KEPT = "record.json"


class Execution(BaseModel, frozen=True, extra="forbid"):
    """The execution that made a result: time, code, versions and machine."""

    code: Commit = Field(description="the code at the start of the process")
    started: AwareDatetime = Field(
        description="start in UTC; for a resumed run, of the process that finished it"
    )
    seconds: float = Field(
        description="wall time of the job; for training, of all its steps, without set-up, summed "
        "over the processes of a run that was killed and resumed"
    )
    processes: int = Field(default=1, description="processes that trained the run together")
    versions: dict[str, str] = Field(description="versions of Python and of packages")
    hardware: Hardware = Field(
        description="the machine; for a resumed run, of the process that finished it"
    )


class Record(BaseModel, frozen=True, extra="forbid"):
    """A record of how a job's results were made."""

    study: str = Field(description="name of the study")
    verb: str = Field(description="verb of the job, such as train or tables")
    params: dict[str, Any] = Field(description="the fields that decide the result")
    hashes: dict[str, str] = Field(
        description="hashes of those fields and of the code that reads them, by name"
    )
    execution: Execution | None = Field(
        description="how it was made; null if the run was found in the store without a record"
    )
    inputs: dict[str, str] = Field(description="SHA-256 of the files read, by path")
    outputs: dict[str, str] = Field(description="SHA-256 of the files written, by path")


class Recording:
    """A record being made.

    Args:
        job: the job to record.
    """

    def __init__(self, job: Job) -> None:
        self._job = job
        self._kept: Path | None = None
        self._started, self._clock = datetime.now(UTC).replace(microsecond=0), time.perf_counter()
        self._code, self._inputs = read_commit(), _checksums(job.inputs)

    def keep(self, folder: Path, seconds: float) -> None:
        """Keep the execution with a run in the store, for all studies that share the run.

        Args:
            folder: the run's folder in the store.
            seconds: wall time of its training.
        """
        _write(folder / _KEPT, self._execution(seconds))

    def take(self, folder: Path) -> None:
        """Record the execution kept in the store's ``folder``, instead of this process's."""
        self._kept = folder / _KEPT

    def write(self) -> None:
        """Write the record.

        Raises:
            DataError: the execution kept in the store cannot be read.
        """
        if not is_first():
            return
        own = self._execution(time.perf_counter() - self._clock) if self._kept is None else None
        record = Record(
            study=self._job.study,
            verb=self._job.verb,
            params=self._job.params,
            hashes=self._job.hashes,
            execution=_read(self._kept, Execution) if self._kept else own,
            inputs=self._inputs,
            outputs=_checksums(self._job.outputs),
        )
        _write(self._job.record, record)

    def _execution(self, seconds: float) -> Execution:
        return Execution(
            code=self._code,
            started=self._started,
            seconds=round(seconds, 3),
            processes=launched()[1],
            versions=read_versions(),
            hardware=read_hardware(),
        )


@contextmanager
def recorded(job: Job) -> Iterator[Recording]:
    """Record how a block makes a job's results; a block that fails leaves no record.

    A record of other params or code is removed first, so that a killed job does not leave it beside
    new results; a block that fails before it writes any brings it back. If several processes train
    a run together, only the first one writes.
    """
    recording = Recording(job)
    with _without_outdated(job):
        yield recording
    recording.write()


@contextmanager
def _without_outdated(job: Job) -> Iterator[None]:
    try:
        record = read_record(job.record)
    except DataError:
        record = None  # it is written anew
    if record is None or record.hashes == job.hashes or not is_first():
        yield
        return
    job.record.unlink()
    try:
        yield
    except BaseException:
        if record.outputs.items() >= _checksums(job.outputs).items():
            _write(job.record, record)
        raise


def require_current(job: Job, command: str) -> None:
    """Check that a job's outputs are up to date, if the first one exists.

    Args:
        job: the job.
        command: the command that makes them again, for the message.

    Raises:
        DataError: a file differs from the record, there is none, or params or code have changed.
    """
    if not job.outputs[0].is_file():
        return  # its reader reports the missing file
    made, record = _checksums(job.outputs), read_record(job.record)
    if record is None:
        wrong = f"there is no record {job.record}"
    elif record.hashes != job.hashes:
        wrong = "params, data or code have changed since it was made"
    elif changed := made.items() - record.outputs.items():
        wrong = f"{min(changed)[0]} differs from its record {job.record}"
    else:
        return
    raise DataError(f"{job.outputs[0]}: {wrong}; make it again: {command}")


def read_record(path: Path) -> Record | None:
    """Read a record; None if it does not exist.

    Raises:
        DataError: it cannot be read.
    """
    return _read(path, Record)


def _checksums(paths: Iterable[Path]) -> dict[str, str]:
    """Hash the existing files; the job itself reports a missing input."""
    return {path.as_posix(): file_sha256(path) for path in paths if path.is_file()}


def _write(path: Path, model: BaseModel) -> None:
    write_text(path, model.model_dump_json(indent=1) + "\n")


def _read(path: Path, kind: type[Kind]) -> Kind | None:
    if not path.exists():
        return None
    try:
        return kind.model_validate(read_json(path))
    except (OSError, ValueError) as error:  # pydantic's error is a ValueError
        raise DataError(
            f"{path}: cannot be read as a record of this version ({type(error).__name__}); delete "
            "it, and make the result again or take the record from git"
        ) from None
