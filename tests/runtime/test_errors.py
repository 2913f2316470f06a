"""Which errors count as running out of memory."""

import errno
import os
from typing import Any

import numpy as np
import pytest
import torch

from dejavu.runtime.errors import DataError, is_out_of_memory, what_was_said

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
    """Fail like a file reader whose message blames the file."""
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
