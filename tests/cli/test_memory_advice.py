"""When memory ends: what counts as that, the search for what fits, and what is said."""

import errno
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dejavu import memory_advice
from dejavu.memory_advice import largest_fitting, smaller_batch
from dejavu.runtime.errors import (
    OUT_OF_MEMORY,
    DataError,
    ParamsError,
    is_out_of_memory,
    what_was_said,
)
from dejavu.study.run import Run
from tests.support.builders import trials
from tests.support.studies import TINY, tiny_params

HUGE = 1 << 46


def raised(cause: Any) -> BaseException:
    with pytest.raises((MemoryError, RuntimeError, DataError)) as caught:
        cause()
    return caught.value


def test_what_torch_and_numpy_raise_without_memory_is_recognised() -> None:
    assert is_out_of_memory(raised(lambda: torch.empty(HUGE)))
    assert is_out_of_memory(raised(lambda: np.ones((HUGE,))))
    assert is_out_of_memory(raised(lambda: bytearray(HUGE)))
    assert is_out_of_memory(torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB."))
    assert is_out_of_memory(OSError(errno.ENOMEM, os.strerror(errno.ENOMEM)))
    assert is_out_of_memory(OSError("out of memory error when reading image file"))  # Pillow's
    assert is_out_of_memory(RuntimeError("could not create a primitive"))  # oneDNN's


def read(lack: Exception) -> None:
    """Fail as a reader of files does, whose message blames the file."""
    try:
        raise lack
    except (OSError, MemoryError):
        raise DataError("train.npy: cannot be read; prepare the data anew") from None


@pytest.mark.parametrize("number", [errno.ENOMEM, None])
def test_a_file_that_memory_did_not_suffice_to_read_is_not_to_blame(number: int | None) -> None:
    lack = OSError(number, os.strerror(number)) if number else MemoryError()
    error = raised(lambda: read(lack))
    assert is_out_of_memory(error)
    assert "train.npy" not in what_was_said(error)
    assert not is_out_of_memory(raised(lambda: read(OSError(errno.EIO, "out of memory"))))


def test_other_errors_are_not() -> None:
    assert not is_out_of_memory(raised(lambda: torch.ones(2) @ torch.ones(3)))
    assert not is_out_of_memory(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))
    assert not is_out_of_memory(ValueError("out of memory"))
    other = "could not create a primitive descriptor for the reorder primitive"
    assert not is_out_of_memory(RuntimeError(other))


@given(st.integers(1, 5000), st.data())
@settings(max_examples=60)
def test_what_is_found_was_tried_and_is_near_the_largest(too_large: int, data: Any) -> None:
    limit = data.draw(st.integers(0, too_large - 1))
    tried: list[int] = []

    def fits(size: int) -> bool:
        tried.append(size)
        return size <= limit

    found = largest_fitting(fits, too_large)
    assert found <= limit
    assert found in tried or found == limit == 0
    assert 9 * found >= 8 * limit - 8  # an eighth below it at most, and no more than one of a few
    assert len(tried) <= too_large.bit_length() + 4
    assert len(set(tried)) == len(tried)


def run(**train: Any) -> Run:
    methods = {"baseline": {}, "deranged": {"dejavu": {"condition": "deranged"}}}
    methods["deranged"]["dejavu"] |= {
        key: TINY["methods"]["dejavu-spatial"]["dejavu"][key] for key in ("redaction", "gamma")
    }
    chosen = ("baseline", "deranged") if train.pop("deranged", False) else ("baseline",)
    params = tiny_params(
        train=TINY["train"] | {"batch_size": 8} | train, methods={m: methods[m] for m in chosen}
    )
    return Run(params, "depth", "fpn", "baseline", 0)


def advice(run: Run, limit: int, monkeypatch: pytest.MonkeyPatch, device: str = "the CPU") -> str:
    """What is said where a process has memory for ``limit`` images."""
    monkeypatch.setattr(memory_advice, "_memory", lambda: (device, 3 << 29))
    monkeypatch.setattr(memory_advice, "_fits", lambda run, *files: run.train.batch_size <= limit)
    return str(smaller_batch(run, Path("data"), Path("pair"), "could not create a primitive"))


def test_the_message_names_what_fits(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert advice(run(), 5, monkeypatch) == (
        "depth/fpn/baseline: train.batch_size: 8 does not fit in the memory of the CPU (1.5 GiB); "
        "5 was measured to fit"
    )
    assert "train.batch_size 8 (could not create a primitive): trying" in capsys.readouterr().err
    assert "1.5 GiB); nor does the smallest batch" in advice(run(), 0, monkeypatch)


def test_a_batch_that_the_params_refuse_does_not_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "; 1 was measured" in advice(run(), 1, monkeypatch)
    assert "nor does the smallest batch" in advice(run(deranged=True), 1, monkeypatch)


def test_processes_that_share_a_batch_have_memory_each(monkeypatch: pytest.MonkeyPatch) -> None:
    said = advice(run(processes=2), 3, monkeypatch)
    assert "train.batch_size: 8 does not fit" in said
    assert said.endswith("6 was measured to fit (3 in one process alone)")


def test_jobs_that_share_a_gpu_are_another_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    shared = run(jobs_per_device=2)
    assert "train.jobs_per_device" in advice(shared, 3, monkeypatch, "NVIDIA H100 80GB HBM3")
    assert "train.jobs_per_device" not in advice(shared, 3, monkeypatch)
    assert "train.jobs_per_device" not in advice(run(), 3, monkeypatch, "NVIDIA H100 80GB HBM3")


@pytest.mark.parametrize(("code", "expected"), [(0, True), (OUT_OF_MEMORY, False), (-9, False)])
def test_a_trial_is_judged_by_how_it_ends(
    code: int, expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory_advice, "_trial", trials.ends)
    fits: Any = memory_advice._fits
    assert fits(code, None, None) is expected


def test_a_trial_that_fails_otherwise_is_no_measurement(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(memory_advice, "_trial", trials.fails)
    with pytest.raises(ParamsError, match=r"train\.batch_size: 8 was tried.*failed otherwise"):
        memory_advice._fits(run(), Path("data"), Path("pair"))
    assert "KeyError" in capfd.readouterr().err


def test_a_trial_names_a_mistake_without_a_traceback(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ParamsError, match="failed otherwise; see above"):
        memory_advice._fits(run(), Path("no-data"), Path("pair"))
    said = capfd.readouterr().err
    assert "dejavu: no-data" in said
    assert "Traceback" not in said
