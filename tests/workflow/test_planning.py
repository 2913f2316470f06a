"""How planning grows: the promise for a thousand runs, and the measurement at its smallest."""

import json
from itertools import islice
from pathlib import Path

import pytest

from benchmarks.planning import main, planning_rows

pytestmark = pytest.mark.pipeline


def test_a_thousand_runs_are_planned_in_half_a_minute() -> None:
    """CPU time, so that whatever else is at work does not count."""
    alone, planned = (row.cost for row in islice(planning_rows(1008), 2))
    assert alone is not None
    assert planned is not None
    assert planned.cpu < 30
    assert alone.cpu < planned.cpu
    assert planned.peak_mib < 1024


def test_growth_is_measured_and_written(tmp_path: Path) -> None:
    """A plan that is not the expected one stops the measurement."""
    main(["--runs", "6", "--files", "3", "--images", "20", "--output", str(tmp_path)])
    rows = json.loads((tmp_path / "planning.json").read_text())["rows"]
    assert [row["subject"] for row in rows if row["section"] == "Planning"] == [
        "params and run hashes alone",
        "`snakemake -n`, nothing made",
        "`snakemake -n`, all made",
        "`snakemake -n`, all times new",
        "`snakemake -n`, a seed added",
    ]
    assert {row["section"] for row in rows} >= {"Snakemake's records", "Index"}
    table = (tmp_path / "planning.md").read_text()
    assert all(f"| {row['subject']} | " in table for row in rows)
    assert str(Path.cwd()) not in table
