"""Results that are not those of the current params, code and sources, by their records.

Snakemake compares params with its own notes of the jobs that it ran; of results that were made by
hand, or brought by git or DVC, only their records tell.
"""

from functools import cached_property
from pathlib import Path

from safetensors import SafetensorError, safe_open

from dejavu.datasets.reading.manifest import file_sha256
from dejavu.runtime.errors import DataError
from dejavu.runtime.strict_json import from_json
from dejavu.study.jobs import JOBS, Job
from dejavu.study.layout import Layout
from dejavu.study.record import Record, read_record


class Records:
    """The records of a study, each read once.

    Args:
        layout: the study.
    """

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._read: dict[Path, Record | None] = {}

    def deny(self, job: Job) -> bool:
        """Tell whether a job's results, if it has any, were made otherwise than it would today.

        That is with other params or code, or from other files than the current ones, or its
        record cannot be read. A record that is missing denies nothing.
        """
        try:
            record = self._of(job.record)
        except DataError:
            return True
        if record is None:
            return False
        if record.hashes != job.hashes or (job.verb == "train" and _is_of_other_run(job)):
            return True
        return any(self._differs(name, read) for name, read in record.inputs.items())

    def _of(self, path: Path) -> Record | None:
        if path not in self._read:
            self._read[path] = read_record(path)
        return self._read[path]

    def _differs(self, name: str, read: str) -> bool:
        """Tell whether a file was made anew since a job read it; the file itself decides."""
        path = Path(name)
        maker = self._makers.get(path)
        try:
            made = self._of(maker) if maker else None
        except DataError:
            return False  # its own job is made again
        now = made.outputs.get(name, read) if made else read
        return now != read and path.is_file() and file_sha256(path) != read

    @cached_property
    def _makers(self) -> dict[Path, Path]:
        """The record of the job that makes a file, by file."""
        layout = self._layout
        return {
            path: layout.record(kind.verb, of)
            for kind in JOBS.values()
            for of in kind.every(layout)
            for paths in kind.outputs(layout, of).values()
            for path in paths
        }


def _is_of_other_run(job: Job) -> bool:
    """Tell whether a checkpoint that exists is damaged or of another run, by its header."""
    path = job.outputs[0]
    if not path.is_file():
        return False
    try:
        with safe_open(path, "numpy") as file:
            # As dejavu/training/checkpoint.py writes it.
            found: object = from_json(file.metadata()["dejavu"])["run"]
    except (OSError, SafetensorError, KeyError, TypeError, ValueError):
        return True
    return found != job.hashes["run"]
