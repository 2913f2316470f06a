"""Errors that are the user's to mend; the command line prints them without a traceback."""

from errno import ENOMEM

OUT_OF_MEMORY = 70
"""Exit code of a process that ran out of memory; the one that started it says what to do."""

_SAID = (
    "out of memory",  # CUDA's, by torch.OutOfMemoryError or by a kernel
    "DefaultCPUAllocator: can't allocate memory",
    "DefaultCPUAllocator: not enough memory",
    "std::bad_alloc",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED",
)


class DejaVuError(Exception):
    """Base of every error that a message can explain: what is wrong, where, and what to do."""


class ParamsError(DejaVuError):
    """The params file is wrong: the message names the key and the fix."""


class DataError(DejaVuError):
    """Prepared data is missing, damaged, or not what the params describe."""


class CheckpointError(DejaVuError):
    """A checkpoint is missing, truncated, foreign, or of another run than asked for."""


def is_out_of_memory(error: BaseException) -> bool:
    """Tell whether memory ran out, on a GPU or on the CPU.

    Example:
        >>> is_out_of_memory(RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB."))
        True
        >>> is_out_of_memory(RuntimeError("shapes do not match"))
        False
    """
    if isinstance(error, OSError):
        return error.errno == ENOMEM
    said = isinstance(error, RuntimeError) and any(text in str(error) for text in _SAID)
    return isinstance(error, MemoryError) or said
