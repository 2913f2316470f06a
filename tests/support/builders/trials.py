"""How trials of a batch size may end; a new process imports this module alone."""

import os
import signal
import sys
from typing import Any


def ends(code: int, *files: Any) -> None:
    """End with an exit code; below 0, be killed."""
    if code < 0:
        os.kill(os.getpid(), signal.SIGKILL)
    sys.exit(code)


def fails(*arguments: Any) -> None:
    raise KeyError("no memory question")
