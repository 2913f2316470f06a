"""Copies of the package in which a test plants a file, and code that runs beside them."""

import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def copy_of_package(folder: Path) -> Path:
    """Copy ``dejavu/`` into a folder, and return the folder: where `python` finds the copy."""
    ignore = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "dejavu", folder / "dejavu", ignore=ignore)
    return folder


def python(code: str, root: Path = ROOT) -> str:
    """Run code in a process of its own, with the package below ``root``; return what it prints."""
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def imported(code: str) -> set[str]:
    """Run code in a process of its own; return the package's modules that it imports."""
    printed = python(f"{code}\nimport sys\nprint(*sys.modules, sep='\\n')")
    return {name for name in printed.splitlines() if name.startswith("dejavu.")}
