import subprocess
from pathlib import Path

import pytest

from dejavu.config import load_params
from dejavu.reporting.study import render_readme
from dejavu.runtime.errors import DejaVuError
from dejavu.study.layout import Layout

ROOT = Path(__file__).parents[2]


def committed(path: str) -> str:
    """A file as it is committed; the working tree may hold results of this machine."""
    shown = subprocess.run(
        ["git", "show", f"HEAD:{path}"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return shown.stdout


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="NOT CHECKED: needs the git repository")
def test_the_readmes_table_is_the_committed_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    layout = Layout(load_params(ROOT / "params/default.yaml"))
    monkeypatch.chdir(tmp_path)
    layout.tables.mkdir(parents=True)
    for name in ("findings.md", "main.md"):
        (layout.tables / name).write_text(committed(f"{layout.tables}/{name}"))
    readme = committed("README.md")
    assert render_readme(readme, layout) == readme, "run `make readme`"


def test_a_readme_without_the_marks_is_refused() -> None:
    layout = Layout(load_params(ROOT / "params/default.yaml"))
    with pytest.raises(DejaVuError, match=r"README\.md: must hold the lines"):
        render_readme("# Title\n", layout)
