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
    "could not create a primitive",  # oneDNN's, for hardly anything else: what it said is printed
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

    Where a file could not be read for lack of memory, the reader's message blames the file: what
    it was raised from decides.

    Example:
        >>> is_out_of_memory(RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB."))
        True
        >>> is_out_of_memory(RuntimeError("shapes do not match"))
        False
    """
    cause = _cause(error)
    if isinstance(cause, OSError):
        return cause.errno == ENOMEM
    said = isinstance(cause, RuntimeError) and any(text in str(cause) for text in _SAID)
    return isinstance(cause, MemoryError) or said


def what_was_said(error: BaseException) -> str:
    """Return the first line of an error's own words, or its name where it has none.

    Example:
        >>> what_was_said(RuntimeError("could not create a primitive"))
        'could not create a primitive'
        >>> what_was_said(MemoryError())
        'MemoryError'
    """
    cause = _cause(error)
    return next(iter(str(cause).splitlines()), type(cause).__name__)


def _cause(error: BaseException) -> BaseException | None:
    """Return what a message of this package was raised from; any other error itself."""
    return error.__context__ if isinstance(error, DejaVuError) else error
