"""The command line as tests call it: in a process of its own, or in theirs."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from dejavu.cli import main


def dejavu(*arguments: str, cwd: Path, env: dict[str, str] | None = None, expect: int = 0) -> str:
    """Run `python -m dejavu` in a process of its own; return its answer, or its error."""
    done = subprocess.run(
        [sys.executable, "-m", "dejavu", *arguments],
        cwd=cwd,
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == expect, done.stderr
    return done.stderr if expect else done.stdout


def dejavu_here(*arguments: str, capsys: pytest.CaptureFixture[str], expect: int = 0) -> str:
    """The same, without a process of its own: heavy imports take seconds in each."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["dejavu", *arguments])
        patch.setenv("DEJAVU_ROOT", os.environ.get("DEJAVU_ROOT", ""))  # restored: --root sets it
        with pytest.raises(SystemExit) as ended:
            main()
    said = capsys.readouterr()
    assert (ended.value.code or 0) == expect, said.err
    return said.err if expect else said.out
