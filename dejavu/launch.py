"""Processes that train a run together: torch's own launcher, torchrun, starts and watches them."""

import ctypes
import os
import signal
from collections.abc import Sequence

from dejavu.errors import OUT_OF_MEMORY

_PR_SET_PDEATHSIG = 1  # of Linux: include/uapi/linux/prctl.h


def is_launched() -> bool:
    """Tell whether this is one of the processes that `launch`, or torchrun by hand, started."""
    # WORLD_SIZE and RANK alone say nothing: some platforms set them for every job.
    return "TORCHELASTIC_RUN_ID" in os.environ


def launched() -> tuple[int, int]:
    """Return this process's rank, from 0, and the number of processes started with it.

    Example:
        >>> launched()
        (0, 1)
    """
    if not is_launched():
        return 0, 1
    return int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])


def launch(processes: int, arguments: Sequence[str]) -> int:
    """Run ``python -m dejavu`` in processes of this machine that train together.

    When one fails, the others are stopped: they would wait for it. When this process is killed,
    they are, too (`end_with_the_launcher`).

    Args:
        processes: their number.
        arguments: of each, as on the command line.

    Returns:
        0, or the exit code of the one that failed first.

    Raises:
        MemoryError: memory ran out in one of them.
    """
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.run import parse_args, run

    os.environ.setdefault("OMP_NUM_THREADS", "1")  # as torchrun does, with a warning
    options = ["--standalone", "--nproc-per-node", str(processes), "-m", "dejavu", *arguments]
    try:
        run(parse_args(options))
    except ChildFailedError as error:
        codes = [failure.exitcode for failure in error.failures.values()]
        if OUT_OF_MEMORY in codes:
            raise MemoryError from None
        return error.get_first_failure()[1].exitcode
    except SignalException as stopped:
        return 128 + stopped.sigval
    return 0


def lost_another(error: BaseException) -> bool:
    """Tell whether a process failed because another one of those that train together ended.

    Example:
        >>> lost_another(RuntimeError("[pair.cc:534] Connection closed by peer [127.0.0.1]:21045"))
        True
    """
    said = ("Connection closed by peer", "Connection reset by peer")
    return isinstance(error, RuntimeError) and any(text in str(error) for text in said)


def end_with_the_launcher() -> None:
    """Let the kernel kill this process when the one that started it is gone.

    The launcher holds the lease of the devices, and no process computes on them without it.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if hasattr(libc, "prctl"):
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
