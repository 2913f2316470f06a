"""Wall time, CPU time and peak memory of commands, measured from outside."""

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from dejavu.runtime.strict_json import from_json

# A process inherits its parent's peak memory: start commands from a small process in between.
_MEASURED = """
import json, resource, subprocess, sys, time
started = time.perf_counter()
code = subprocess.run(sys.argv[1:], stderr=subprocess.STDOUT).returncode
wall = time.perf_counter() - started
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print()
print(json.dumps([wall, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024]), end="")
sys.exit(code)
"""


class MeasurementError(RuntimeError):
    """A command failed, or did not do the work to be measured."""


@dataclass(frozen=True)
class Cost:
    """Time and memory of a command.

    Attributes:
        wall: seconds from start to end.
        cpu: CPU seconds of the command and its finished children.
        peak_mib: largest resident set of any of these processes, MiB.
    """

    wall: float
    cpu: float
    peak_mib: float


@dataclass(frozen=True)
class Growth:
    """One measurement at one size.

    Attributes:
        section: heading of the table.
        subject: the command, or the counted quantity with its unit.
        count: number of runs, files or images.
        cost: of the command, if one was run.
        amount: the counted quantity, if any.
    """

    section: str
    subject: str
    count: int
    cost: Cost | None = None
    amount: float | None = None

    def line(self) -> str:
        """Write the row of a Markdown table.

        Example:
            >>> Growth("Index", "bytes a row", 1000, amount=256.25).line()
            '| bytes a row | 1,000 |  |  |  | 256.2 |'
        """
        cost = self.cost
        cells = (
            (f"{cost.wall:.1f}", f"{cost.cpu:.1f}", f"{cost.peak_mib:,.0f}") if cost else ("",) * 3
        )
        amount = "" if self.amount is None else f"{self.amount:,.1f}".removesuffix(".0")
        return f"| {self.subject} | {self.count:,} | {' | '.join(cells)} | {amount} |"


def measure(folder: Path, *command: str) -> tuple[str, Cost]:
    """Run a command in a folder; return its output and its cost (on Linux).

    Raises:
        MeasurementError: the command failed.
    """
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("SNAKEMAKE", "DVC"))}
    tools = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    environment |= {"PATH": tools, "DVC_NO_ANALYTICS": "1"}
    done = subprocess.run(
        (sys.executable, "-c", _MEASURED, *command),
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    output, _, cost = done.stdout.rpartition("\n")
    if done.returncode:
        raise MeasurementError(
            f"{' '.join(command)}: ended with {done.returncode}:\n{done.stdout[-2000:]}"
        )
    return output, Cost(*from_json(cost))
