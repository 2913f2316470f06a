"""Files as they are committed: the working tree may hold results of this machine."""

import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

needs_git = pytest.mark.skipif(
    not (ROOT / ".git").exists(), reason="NOT CHECKED: needs the git repository"
)


def committed(path: Path | str) -> str:
    """The text of a file as it was last committed."""
    shown = subprocess.run(
        ["git", "show", f"HEAD:{path}"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return shown.stdout
