"""Verbs that compute hold a device while they do."""

import fcntl
import os
import tempfile
from errno import ENOMEM
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest

from dejavu.cli import main
from dejavu.config import Params
from dejavu.config.generated import render_params
from dejavu.runtime.devices import VARIABLE, leased_devices
from dejavu.runtime.errors import DataError
from tests.support.command import dejavu_here
from tests.support.studies import TINY, tiny_params

A, B = "GPU-aaaa0000-1111", "GPU-bbbb0000-2222"
RUN = ["--task", "depth", "--method", "baseline"]


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A study's params on a machine of two devices."""
    script = tmp_path / "nvidia-smi"
    script.write_text(f"#!/bin/sh\necho 'GPU 0: X (UUID: {A})'\necho 'GPU 1: X (UUID: {B})'\n")
    script.chmod(0o700)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.delenv(VARIABLE, raising=False)
    Path("params").mkdir()
    return Path("params/default.yaml")


class SeenError(Exception):
    """Ends a verb where it would compute."""


def devices_of(monkeypatch: pytest.MonkeyPatch, function: str, *arguments: str) -> str | None:
    """What CUDA would see in the function that a verb calls."""
    seen = []

    def look(*given: Any, **named: Any) -> None:
        seen.append(os.environ.get(VARIABLE))
        raise SeenError

    monkeypatch.setattr(function, look)
    monkeypatch.setattr("sys.argv", ["dejavu", *arguments])
    with pytest.raises(SeenError):
        main()
    assert VARIABLE not in os.environ
    return seen[0]


@pytest.mark.parametrize(
    ("function", "arguments"),
    [
        ("dejavu.training.loop.train", ["train", *RUN]),
        ("dejavu.evaluation.score.evaluate", ["evaluate", *RUN]),
        ("dejavu.evaluation.gap.measure_gaps", ["gap", *RUN[:2]]),
        ("dejavu.evaluation.probes.measure_probes", ["probes", *RUN[:2]]),
        ("dejavu.evaluation.cost.measure_costs", ["cost", *RUN[:2]]),
    ],
)
def test_a_verb_that_computes_has_a_free_device(
    function: str, arguments: list[str], study: Path, params: Params, monkeypatch: Any
) -> None:
    study.write_text(render_params(params))
    with leased_devices():
        os.environ.pop(VARIABLE)  # monkeypatch would bring it back after the test
        assert devices_of(monkeypatch, function, *arguments) == B


def test_two_orphans_do_not_train_the_text_pair_at_once(
    study: Path, params: Params, monkeypatch: Any
) -> None:
    study.write_text(render_params(params))
    refused = []

    def look(*given: Any) -> None:
        (lock,) = Path(".runs").glob("text_pair-*/lock")
        with lock.open() as other, pytest.raises(BlockingIOError) as error:
            fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
        refused.append(error)
        raise SeenError

    monkeypatch.setattr("dejavu.training.text_pair.train_text_pair", look)
    monkeypatch.setattr("sys.argv", ["dejavu", "text-pair"])
    with pytest.raises(SeenError):
        main()
    assert len(refused) == 1


def test_several_jobs_share_a_device_where_params_say_so(study: Path, monkeypatch: Any) -> None:
    study.write_text(render_params(tiny_params(train=TINY["train"] | {"jobs_per_device": 2})))
    with leased_devices(count=1, slots=2):
        os.environ.pop(VARIABLE)
        assert devices_of(monkeypatch, "dejavu.evaluation.gap.measure_gaps", "gap", *RUN[:2]) == B
        with leased_devices(count=1, slots=2):
            os.environ.pop(VARIABLE)
            assert devices_of(monkeypatch, "dejavu.training.loop.train", "train", *RUN) == A


def test_nothing_else_computes_where_time_is_measured(study: Path, monkeypatch: Any) -> None:
    study.write_text(render_params(tiny_params(train=TINY["train"] | {"jobs_per_device": 2})))
    with leased_devices(count=1, slots=2):
        os.environ.pop(VARIABLE)
        assert (
            devices_of(monkeypatch, "dejavu.evaluation.cost.measure_costs", "cost", *RUN[:2]) == B
        )


def test_the_text_pair_trains_on_the_cpu_and_holds_no_device(
    study: Path, params: Params, monkeypatch: Any
) -> None:
    study.write_text(render_params(params))
    with leased_devices(count=2):
        os.environ.pop(VARIABLE)
        told = devices_of(monkeypatch, "dejavu.training.text_pair.train_text_pair", "text-pair")
    assert told is None


@pytest.mark.parametrize(
    ("function", "arguments", "key"),
    [
        (
            "dejavu.evaluation.score.evaluate",
            ["evaluate", *RUN],
            "evaluation.batch_size: 2 does not",
        ),
        (
            "dejavu.evaluation.probes.measure_probes",
            ["probes", *RUN[:2]],
            "evaluation.batch_size: 2 or train.batch_size: 4 does not",
        ),
    ],
)
def test_a_verb_without_memory_names_the_batch_size(
    function: str, arguments: list[str], key: str, study: Path, monkeypatch: Any, capsys: Any
) -> None:
    study.write_text(render_params(tiny_params(evaluation={"batch_size": 2})))
    monkeypatch.setattr(function, Mock(side_effect=RuntimeError("CUDA out of memory.")))
    said = dejavu_here(*arguments, capsys=capsys, expect=1)
    assert f"default.yaml: {key} fit in memory (CUDA out of memory.); lower it" in said
    assert "Traceback" not in said


def test_data_that_memory_did_not_suffice_to_read_is_not_blamed(
    study: Path, params: Params, monkeypatch: Any, capsys: Any
) -> None:
    def read(*given: Any) -> None:
        try:
            raise OSError(ENOMEM, "Cannot allocate memory")
        except OSError:
            raise DataError("train.npy: cannot be read; prepare the data anew") from None

    study.write_text(render_params(params))
    monkeypatch.setattr("dejavu.evaluation.gap.measure_gaps", read)
    said = dejavu_here("gap", *RUN[:2], capsys=capsys, expect=1)
    assert "train.batch_size: 4 does not fit in memory ([Errno 12] Cannot" in said
    assert "prepare the data anew" not in said


@pytest.mark.parametrize("processes", [1, 2])
def test_training_without_memory_names_its_batch_size_alone(
    processes: int, study: Path, monkeypatch: Any, capsys: Any
) -> None:
    study.write_text(render_params(tiny_params(train=TINY["train"] | {"processes": processes})))
    trains = "dejavu.training.loop.train" if processes == 1 else "dejavu.cli.computing.launch"
    monkeypatch.setattr(trains, Mock(side_effect=MemoryError("in a process; see above")))
    said = dejavu_here("train", *RUN, capsys=capsys, expect=1)
    assert "default.yaml: train.batch_size: 4 does not fit in memory (in a process; see" in said
    assert "evaluation" not in said
    assert "train.augmentation.crop" in said


def test_a_mistake_is_told_once_and_not_by_each_process(
    study: Path, monkeypatch: Any, capsys: Any
) -> None:
    study.write_text(render_params(tiny_params(train=TINY["train"] | {"processes": 2})))
    monkeypatch.setattr("dejavu.cli.computing.launch", Mock(side_effect=SeenError))
    said = dejavu_here("train", *RUN[:2], "--method", "basline", capsys=capsys, expect=1)
    assert "methods: the study has no 'basline'" in said


def test_data_parallel_training_leases_for_its_processes_once(
    study: Path, monkeypatch: Any
) -> None:
    study.write_text(render_params(tiny_params(train=TINY["train"] | {"processes": 2})))
    launch = "dejavu.cli.computing.launch"
    assert devices_of(monkeypatch, launch, "train", *RUN) == f"{A},{B}"
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "1")
    monkeypatch.setattr("dejavu.cli.computing.end_with_the_launcher", lambda: None)
    assert devices_of(monkeypatch, "dejavu.training.loop.train", "train", *RUN) is None
