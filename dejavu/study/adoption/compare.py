"""Compute the same by the code of a commit and by the present code, and name the differences."""

import json
import math
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from dejavu.config import load_params
from dejavu.datasets.reading.roots import ROOT_VARIABLE, data_root
from dejavu.runtime.code_hash import PACKAGE
from dejavu.runtime.errors import DejaVuError
from dejavu.study.adoption.plan import LONG, SHORT, Step, write_params

ROOT = PACKAGE.parent
_DRIVER = Path(__file__).with_name("driver.py")
_SHOWN = 10
"""Differences that a message names."""
_MISSING = "(missing)"


def compare(file: Path, commit: str, plan: list[Step], steps: int) -> None:
    """Compute a plan by the code of a commit and by present code, and compare the two.

    Raises:
        DejaVuError: a verb fails, or the two differ.
    """
    with TemporaryDirectory(prefix="dejavu-adopt-") as folder, _worktree(commit, folder) as tree:
        sides = {"recorded": tree, "present": ROOT}
        started: dict[str, Process] = {}
        try:
            for side, code in sides.items():
                started[side] = _start(Path(folder) / side, code, file, plan, steps)
            found = {side: _finish(side, *process) for side, process in started.items()}
        finally:
            for process, _ in started.values():  # one that failed leaves the other at work
                process.kill()
                process.wait()
    differences = [*differing(found["recorded"], found["present"])]
    if differences:
        listed = "\n  ".join(differences[:_SHOWN])
        more = f"\n  and {len(differences) - _SHOWN} more" if len(differences) > _SHOWN else ""
        raise DejaVuError(f"present code differs from commit {commit}:\n  {listed}{more}")


def differing(before: Any, after: Any, where: str = "") -> Iterator[str]:
    """Name the places at which two JSON-like values differ.

    Example:
        >>> [*differing({"a": [1, 2], "b": 0}, {"a": [1, 3], "b": 0})]
        ['a[1]: 2 became 3']
    """
    if isinstance(before, dict) and isinstance(after, dict):
        for key in [*before, *(k for k in after if k not in before)]:
            inner = f"{where}.{key}" if where else str(key)
            yield from differing(before.get(key, _MISSING), after.get(key, _MISSING), inner)
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for index, (one, other) in enumerate(zip(before, after, strict=True)):
            yield from differing(one, other, f"{where}[{index}]")
    elif _is_nan(before) and (_is_nan(after) or after is None):
        return  # where code wrote NaN, later code writes null
    elif before != after or type(before) is not type(after):
        yield f"{where}: {_short(before)} became {_short(after)}"


def _is_nan(value: Any) -> bool:
    return isinstance(value, float) and math.isnan(value)


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


@contextmanager
def _worktree(commit: str, folder: str) -> Iterator[Path]:
    """Check a commit out beside the repository, and remove it afterwards."""
    tree = Path(folder) / "code"
    if git("worktree", "add", "--detach", str(tree), commit) is None:
        raise DejaVuError(f"git cannot check out {commit}: see `git worktree list`")
    try:
        yield tree
    finally:
        git("worktree", "remove", "--force", str(tree))


Process = tuple["subprocess.Popen[str]", Path]


def _start(folder: Path, code: Path, file: Path, plan: list[Step], steps: int) -> Process:
    """Start the driver on the code of one side, in its own folder."""
    folder.mkdir()
    write_params(file, folder, steps)
    params = load_params(folder / LONG)
    load_params(folder / SHORT)  # the present code refuses them here, before anything starts
    # Both compute in folders of their own, where a relative path of the data leads nowhere.
    root = (
        {} if params.data.is_rooms else {ROOT_VARIABLE: str(data_root(params.data.name).resolve())}
    )
    (folder / "plan.json").write_text(json.dumps(plan), encoding="utf-8")
    process = subprocess.Popen(
        [sys.executable, "-P", str(_DRIVER), "plan.json", "result.json", str(code)],
        cwd=folder,
        env=os.environ | root | {"PYTHONPATH": str(code)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    return process, folder / "result.json"


def _finish(side: str, process: "subprocess.Popen[str]", result: Path) -> dict[str, Any]:
    _, said = process.communicate()
    if process.returncode:
        raise DejaVuError(f"the {side} code failed:\n{said.strip()}")
    found: dict[str, Any] = json.loads(result.read_text(encoding="utf-8"))
    return found


def git(*command: str) -> str | None:
    """Return the output of git; None if it fails."""
    done = subprocess.run(
        ["git", "-C", str(ROOT), *command], capture_output=True, text=True, check=False
    )
    return done.stdout if done.returncode == 0 else None
