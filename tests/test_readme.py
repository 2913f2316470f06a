from pathlib import Path

import pytest

from dejavu.config import load_params
from dejavu.errors import DejaVuError
from dejavu.layout import Layout
from dejavu.results import render_readme

ROOT = Path(__file__).parent.parent


def test_the_readmes_table_is_the_committed_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    readme = Path("README.md").read_text()
    layout = Layout(load_params(Path("params/default.yaml")))
    assert render_readme(readme, layout) == readme, "run `make readme`"


def test_a_readme_without_the_marks_is_refused() -> None:
    layout = Layout(load_params(ROOT / "params/default.yaml"))
    with pytest.raises(DejaVuError, match=r"README\.md: must hold the lines"):
        render_readme("# Title\n", layout)
