"""Processes that train one run together, started and monitored by torchrun."""

import ctypes
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from dejavu.runtime.errors import OUT_OF_MEMORY

_LAUNCHER = "DEJAVU_LAUNCHER"
"""Environment variable with the launcher's process id: the parent's, as long as that lives."""
_PR_SET_PDEATHSIG = 1  # of Linux: include/uapi/linux/prctl.h
_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT)


def is_launched() -> bool:
    """Tell whether `launch`, or torchrun by hand, started this process."""
    # WORLD_SIZE and RANK are no evidence: some platforms set them for every job.
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


def is_first() -> bool:
    """Tell whether this process reports and records for all processes started with it.

    Example:
        >>> is_first()
        True
    """
    return launched()[0] == 0


def launch(processes: int, arguments: Sequence[str]) -> int:
    """Run ``python -m dejavu`` in several processes on this machine that train together.

    If one fails, the others are stopped, since they would wait for it. If this process is killed,
    so are they (`end_with_the_launcher`).

    Args:
        processes: number of processes.
        arguments: command-line arguments of each process.

    Returns:
        0, or the exit code of the first process that failed: 128 plus the signal's number if a
        signal ended it.

    Raises:
        MemoryError: a process ran out of memory.
    """
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.run import parse_args, run

    os.environ[_LAUNCHER] = str(os.getpid())
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # as torchrun does, with a warning
    # Ignored signals stay ignored: nohup protects from SIGHUP, which torchrun would handle.
    handled = [s.name for s in _SIGNALS if signal.getsignal(s) != signal.SIG_IGN]
    options = ["--standalone", "--nproc-per-node", str(processes)]
    options += ["--signals-to-handle", ",".join(handled)]
    try:
        with _signals_as_before():
            run(parse_args([*options, "-m", "dejavu", *arguments]))
    except ChildFailedError as error:
        codes = [failure.exitcode for failure in error.failures.values()]
        if OUT_OF_MEMORY in codes:
            raise MemoryError("in a process; see above") from None
        code = error.get_first_failure()[1].exitcode
        if code > 0:
            return code
        print(
            f"dejavu: {signal.Signals(-code).name} ended a training process, perhaps for lack of "
            "memory; the same command continues from the last resume state",
            file=sys.stderr,
        )
        return 128 - code
    except SignalException as stopped:
        return 128 + stopped.sigval
    return 0


@contextmanager
def _signals_as_before() -> Iterator[None]:
    """Restore the signal handlers that torchrun replaces."""
    before = {number: signal.getsignal(number) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def lost_another(error: BaseException) -> bool:
    """Tell whether a process failed because another one that trains the same run ended.

    Example:
        >>> lost_another(RuntimeError("[pair.cc:534] Connection closed by peer [127.0.0.1]:21045"))
        True
    """
    said = ("Connection closed by peer", "Connection reset by peer", "Broken pipe")
    return isinstance(error, RuntimeError) and any(text in str(error) for text in said)


def end_with_the_launcher() -> None:
    """Make the kernel kill this process when its launcher ends.

    The launcher holds the lease of the devices, and no process may compute on them without it.
    """
    launcher = int(os.environ.get(_LAUNCHER, os.getppid()))
    libc = ctypes.CDLL(None)
    if hasattr(libc, "prctl"):
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != launcher:  # the launcher ended before prctl took effect
        os._exit(1)
