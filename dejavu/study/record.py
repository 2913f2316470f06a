"""Records of how results were made, one beside each result: it stays byte-identical itself."""

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from pydantic import AwareDatetime, BaseModel, Field, ValidationError

from dejavu.datasets.reading.manifest import file_sha256
from dejavu.runtime.environment import Commit, Hardware, read_commit, read_hardware, read_versions
from dejavu.runtime.errors import DataError
from dejavu.runtime.files import write_text
from dejavu.runtime.launch import is_first, launched
from dejavu.study.jobs import Job

Kind = TypeVar("Kind", bound=BaseModel)

_KEPT = "record.json"


class Execution(BaseModel, frozen=True, extra="forbid"):
    """When, by which code and on what a result was made."""

    code: Commit = Field(description="the code, when the process started")
    started: AwareDatetime = Field(
        description="start in UTC; of a run that was resumed, of the process that finished it"
    )
    seconds: float = Field(
        description="wall time of the job; of training, that of all its steps, as its log says: "
        "summed over the processes of a run that was killed and resumed, without their set-up"
    )
    processes: int = Field(default=1, description="processes that trained the run together")
    versions: dict[str, str] = Field(description="versions of Python and of packages")
    hardware: Hardware = Field(
        description="the machine; of a run that was resumed, that of the process that finished it"
    )


class Record(BaseModel, frozen=True, extra="forbid"):
    """How a job's results were made."""

    study: str = Field(description="name of the study")
    verb: str = Field(description="what was done, such as train or tables")
    params: dict[str, Any] = Field(description="the fields that decide the result")
    hashes: dict[str, str] = Field(
        description="hashes of those fields and of the code that reads them, by name"
    )
    execution: Execution | None = Field(
        description="how it was made; null: found finished in the store, which did not say"
    )
    inputs: dict[str, str] = Field(description="SHA-256 of what was read, by path")
    outputs: dict[str, str] = Field(description="SHA-256 of what was written, by path")


class Recording:
    """A record in the making.

    Args:
        job: what is done.
    """

    def __init__(self, job: Job) -> None:
        self._job = job
        self._kept: Path | None = None
        self._started, self._clock = datetime.now(UTC).replace(microsecond=0), time.perf_counter()
        self._code, self._inputs = read_commit(), _checksums(job.inputs)

    def keep(self, folder: Path, seconds: float) -> None:
        """Keep the execution with a run in the store, for all studies that want the run.

        Args:
            folder: the run's folder in the store.
            seconds: wall time of its training.
        """
        _write(folder / _KEPT, self._execution(seconds))

    def take(self, folder: Path) -> None:
        """Record the execution that the store keeps in ``folder``, instead of this process's."""
        self._kept = folder / _KEPT

    def write(self) -> None:
        """Write the record.

        Raises:
            DataError: what the store kept cannot be read.
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
    """Record how the block makes a job's results; a block that fails leaves no record.

    Of several processes that train a run together the first alone writes.
    """
    recording = Recording(job)
    yield recording
    recording.write()


def require_current(job: Job, command: str) -> None:
    """Make sure that what a job made is what it would make now, if its first output is there.

    Args:
        job: what made it.
        command: what the message says to run.

    Raises:
        DataError: a file is not that of the record, or the record is of other params or code.
    """
    if not job.outputs[0].is_file():
        return  # what reads it says so
    made, record = _checksums(job.outputs), read_record(job.record)
    if record is None:
        wrong = f"there is no {job.record} to say what made it"
    elif record.hashes != job.hashes:
        wrong = "made with other params, data or code than those of now"
    elif changed := made.items() - record.outputs.items():
        wrong = f"{min(changed)[0]} is not the file that {job.record} tells of"
    else:
        return
    raise DataError(f"{job.outputs[0]}: {wrong}; make it anew: {command}")


def read_record(path: Path) -> Record | None:
    """Read a record; None where there is none.

    Raises:
        DataError: it cannot be read.
    """
    return _read(path, Record)


def _checksums(paths: Iterable[Path]) -> dict[str, str]:
    """Hash the files that are there; the job itself names an input that is missing."""
    return {path.as_posix(): file_sha256(path) for path in paths if path.is_file()}


def _write(path: Path, model: BaseModel) -> None:
    write_text(path, model.model_dump_json(indent=1) + "\n")


def _read(path: Path, kind: type[Kind]) -> Kind | None:
    if not path.exists():
        return None
    try:
        return kind.model_validate_json(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, ValidationError) as error:
        raise DataError(
            f"{path}: cannot be read as a record of this version ({type(error).__name__}); delete "
            "it, and make the result again or take the record from git"
        ) from None
