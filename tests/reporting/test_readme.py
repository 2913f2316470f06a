from pathlib import Path

import pandas as pd
import pytest

from dejavu.config import load_params
from dejavu.reporting.readme import answer_table, render_readme
from dejavu.reporting.tables import TABLE_COLUMNS, Design
from dejavu.runtime.errors import DejaVuError
from dejavu.study.layout import Layout
from tests.support.committed import committed, needs_git

ROOT = Path(__file__).parents[2]


@needs_git
def test_the_readmes_table_is_the_committed_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    layout = Layout(load_params(ROOT / "params/default.yaml"))
    monkeypatch.chdir(tmp_path)
    layout.tables.mkdir(parents=True)
    for name in ("findings.md", "main.csv"):
        (layout.tables / name).write_text(committed(f"{layout.tables}/{name}"))
    readme = committed("README.md")
    assert render_readme(readme, layout) == readme, "run `make readme`"


def test_a_readme_without_the_marks_is_refused() -> None:
    layout = Layout(load_params(ROOT / "params/default.yaml"))
    with pytest.raises(DejaVuError, match=r"README\.md: "):
        render_readme("# Title\n", layout)


def test_a_row_has_both_metrics_of_a_method_and_marks_what_excludes_zero() -> None:
    table = pd.DataFrame(
        [
            ["depth", "a", "plain", "rmse", "m", False, 0.5, 0.1, 3, None, None, None],
            ["depth", "a", "ours", "rmse", "m", False, 0.4, 0.1, 3, -0.1, -0.15, -0.05],
            ["depth", "a", "ours", "edge_rmse", "m", False, 0.6, 0.1, 3, 0.1, -0.1, 0.3],
            ["depth", "b", "ours", "rmse", "m", False, 0.6, 0.1, 3, 0.1, 0.05, 0.15],
            ["depth", "b", "ours", "edge_rmse", "m", False, 0.6, 0.1, 3, 0.1, None, None],
        ],
        columns=TABLE_COLUMNS,
    )
    shown = answer_table(table, Design(["depth"], ["a", "b"], ["plain", "ours"], "plain"))
    assert shown.sections[0].rows == [
        [
            "depth",
            "ours on a",
            "RMSE (m) ↓: -0.1000 [-0.1500, -0.0500] better",
            "RMSE at depth edges (m) ↓: +0.1000 [-0.1000, 0.3000]",
            "3",
        ],
        [
            "depth",
            "ours on b",
            "RMSE (m) ↓: +0.1000 [0.0500, 0.1500] worse",
            "RMSE at depth edges (m) ↓: +0.1000 [no interval]",
            "3",
        ],
    ]
