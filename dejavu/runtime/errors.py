"""Errors that are the user's to mend; the command line prints them without a traceback."""

from errno import ENOMEM

OUT_OF_MEMORY = 70
"""Exit code of a process that ran out of memory; the one that started it says what to do."""

_SAID = (
    "out of memory",  # CUDA's, by torch.OutOfMemoryError or by a kernel; Pillow's
    "DefaultCPUAllocator: can't allocate memory",
    "DefaultCPUAllocator: not enough memory",
    "std::bad_alloc",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED",
)

_SAID_ALONE = "could not create a primitive"
"""oneDNN's, for little else: what it said is printed. With more words it means something else."""


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

    Where a file could not be read for lack of memory, the reader's message blames the file; so the
    error behind it decides.

    Example:
        >>> is_out_of_memory(RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB."))
        True
        >>> is_out_of_memory(RuntimeError("shapes do not match"))
        False
    """
    cause = _cause(error)
    if isinstance(cause, MemoryError):
        return True
    if isinstance(cause, OSError) and cause.errno is not None:
        return cause.errno == ENOMEM
    text = str(cause) if isinstance(cause, OSError | RuntimeError) else ""
    return text == _SAID_ALONE or any(words in text for words in _SAID)


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


def _cause(error: BaseException) -> BaseException:
    """Return the error behind a message of this package; any other error itself."""
    while isinstance(error, DejaVuError) and error.__context__:
        error = error.__context__
    return error
