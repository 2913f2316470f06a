"""Errors that a user can fix; the command line prints them without a traceback."""

from errno import ENOMEM

OUT_OF_MEMORY = 70
"""Exit code of a process that ran out of memory; its parent process prints the advice."""

_SAID = (
    "out of memory",  # CUDA (torch.OutOfMemoryError or a kernel) and Pillow
    "DefaultCPUAllocator: can't allocate memory",
    "DefaultCPUAllocator: not enough memory",
    "std::bad_alloc",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED",
)

_SAID_ALONE = "could not create a primitive"
"""oneDNN's whole message, with few other causes; within a longer one it means something else."""


class DejaVuError(Exception):
    """Base of all errors whose message explains the problem, its place and the fix."""


class ParamsError(DejaVuError):
    """The params file is wrong: the message names the key and the fix."""


class DataError(DejaVuError):
    """Prepared data is missing or damaged, or does not match the params."""


class CheckpointError(DejaVuError):
    """A checkpoint is missing, truncated, in a foreign format, or of a different run."""


def is_out_of_memory(error: BaseException) -> bool:
    """Tell whether memory ran out, on a GPU or on the CPU.

    If a file could not be read for lack of memory, the `DataError` blames the file; so the error
    that caused it decides.

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
    """Return the first line of the original error's message, or its type if it has no message.

    Example:
        >>> what_was_said(RuntimeError("could not create a primitive"))
        'could not create a primitive'
        >>> what_was_said(MemoryError())
        'MemoryError'
    """
    cause = _cause(error)
    return next(iter(str(cause).splitlines()), type(cause).__name__)


def _cause(error: BaseException) -> BaseException:
    """Return the original cause of a `DejaVuError`, or any other error itself."""
    while isinstance(error, DejaVuError) and error.__context__:
        error = error.__context__
    return error
