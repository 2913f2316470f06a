"""Records deny results that would be made otherwise today, and no others."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from dejavu.study.jobs import Job, every_job
from dejavu.study.layout import Layout
from dejavu.study.record import recorded
from dejavu.study.stale import Records
from tests.support.recorded import edit_record


def write_checkpoint(path: Path, run: str) -> None:
    save_file({"bias": np.zeros(1)}, path, {"dejavu": json.dumps({"run": run})})


@pytest.fixture
def jobs(layout: Layout) -> list[Job]:
    """The jobs of a finished study, whose checkpoints name their runs."""
    found = [*every_job(layout)]
    for job in found:
        with recorded(job):
            if job.verb == "train":
                write_checkpoint(job.outputs[0], job.hashes["run"])
    return found


Denied = Callable[[], list[Job]]


@pytest.fixture
def denied(jobs: list[Job], layout: Layout) -> Denied:
    def deny() -> list[Job]:
        records = Records(layout)
        return [job for job in jobs if records.deny(job)]

    return deny


def first(jobs: list[Job], verb: str) -> Job:
    return next(job for job in jobs if job.verb == verb)


def remake(job: Job, text: str) -> None:
    with recorded(job):
        job.outputs[0].write_text(text)


def test_other_params_or_code_deny_that_job_alone(jobs: list[Job], denied: Denied) -> None:
    for verb in ("data", "train", "evaluate", "gap", "cost", "tables", "report"):
        job = first(jobs, verb)
        before = job.record.read_text()
        edit_record(job.record, hashes=job.hashes | {"run": "other"})
        assert denied() == [job]
        job.record.write_text(before)
    assert denied() == []


def test_a_missing_record_denies_nothing_and_a_damaged_one_its_job(
    jobs: list[Job], denied: Denied
) -> None:
    job = first(jobs, "evaluate")
    job.record.unlink()
    assert denied() == []
    job.record.write_text("{")
    assert denied() == [job]


def test_a_checkpoint_of_another_run_is_denied_whatever_its_record_says(
    jobs: list[Job], denied: Denied
) -> None:
    """As after `git checkout` without `dvc checkout`."""
    job = first(jobs, "train")
    write_checkpoint(job.outputs[0], "other")
    assert denied() == [job]
    job.outputs[0].write_text("half")
    assert denied() == [job]


def test_what_was_made_of_older_files_is_denied_until_it_is_made_anew(
    jobs: list[Job], denied: Denied
) -> None:
    """Params of a table stay the same where those of its runs change and change back."""
    evaluated, tables = first(jobs, "evaluate"), first(jobs, "tables")
    before = evaluated.outputs[0].read_text()
    remake(evaluated, "{}")
    assert tables in denied()
    remake(tables, "")
    assert tables not in denied()
    remake(evaluated, before)
    assert tables in denied()


def test_a_file_that_is_as_it_was_read_denies_nothing(jobs: list[Job], denied: Denied) -> None:
    """Or what was edited by hand would be made again for ever."""
    evaluated = first(jobs, "evaluate")
    edit_record(evaluated.record, outputs={str(evaluated.outputs[0]): "0" * 64})
    assert denied() == []


def test_a_record_of_other_params_is_gone_before_anything_is_written(jobs: list[Job]) -> None:
    """So that a kill in between leaves no record that fits other files."""
    job = first(jobs, "gap")
    other = replace(job, hashes={"gap": "other"})
    before = job.record.read_text()

    def fail(text: str | None) -> None:
        with recorded(other):
            assert not job.record.exists()
            if text:
                job.outputs[0].write_text(text)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail(None)
    assert job.record.read_text() == before
    with pytest.raises(ZeroDivisionError):
        fail("half")
    assert not job.record.exists()
