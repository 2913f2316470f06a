import math
from pathlib import Path

import numpy as np
import pytest

from dejavu.reporting.collect import collect_runs
from dejavu.reporting.tables import (
    Design,
    all_metrics_table,
    main_table,
    paired_values,
    records,
    summarise,
)
from dejavu.runtime.errors import DejaVuError
from tests.support.measured import VALUES, Write


def test_design_refuses_a_reference_that_is_no_method() -> None:
    with pytest.raises(DejaVuError, match="reference: 'plain'"):
        Design(["depth"], ["fpn"], ["baseline"], "plain")


def test_main_table_in_the_order_of_the_design(run_paths: list[Path], design: Design) -> None:
    table = main_table(collect_runs(run_paths), design)
    assert list(table.columns) == [
        *("task", "network", "method", "metric", "unit", "higher_is_better"),
        *("mean", "std", "n", "delta", "delta_low", "delta_high"),
    ]
    assert [(row["task"], row["method"], row["metric"]) for row in records(table)] == [
        ("segmentation", "dejavu", "miou"),
        ("segmentation", "dejavu", "boundary_iou"),
        ("segmentation", "baseline", "miou"),
        ("segmentation", "baseline", "boundary_iou"),
        ("depth", "dejavu", "rmse"),
        ("depth", "dejavu", "edge_rmse"),
        ("depth", "baseline", "rmse"),
        ("depth", "baseline", "edge_rmse"),
    ]


def test_main_table_by_hand(run_paths: list[Path], design: Design) -> None:
    rows = records(main_table(collect_runs(run_paths), design))
    miou = rows[0]
    # 50.5, 53, 51 against 50, 52, 51: differences 0.5, 1, 0, whose standard deviation is 0.5.
    assert miou["mean"] == pytest.approx(51.5)
    assert miou["std"] == pytest.approx(math.sqrt((1 + 2.25 + 0.25) / 2))
    assert miou["n"] == 3
    assert miou["delta"] == pytest.approx(0.5)
    assert miou["delta_low"] == pytest.approx(0.5 - 4.302653 * 0.5 / math.sqrt(3), abs=1e-6)
    assert miou["delta_high"] == pytest.approx(0.5 + 4.302653 * 0.5 / math.sqrt(3), abs=1e-6)
    rmse = rows[4]
    assert rmse["delta"] == pytest.approx(-0.05)  # lower is better, and the sign stays
    assert not rmse["higher_is_better"]
    for row in rows:
        if row["method"] == "baseline":
            assert all(math.isnan(row[key]) for key in ("delta", "delta_low", "delta_high"))


def test_means_and_deviations_against_pandas(run_paths: list[Path], design: Design) -> None:
    runs = collect_runs(run_paths)
    table = all_metrics_table(runs, design)
    keys = ["task", "network", "method", "metric"]
    oracle = runs.frame.groupby(keys)["value"].agg(["mean", "std", "count"])
    ours = table.set_index(keys).sort_index()
    np.testing.assert_allclose(ours["mean"], oracle["mean"])
    np.testing.assert_allclose(ours["std"], oracle["std"], atol=1e-12)
    assert list(ours["n"]) == list(oracle["count"])


def test_pairs_are_by_seed_not_by_position(write_run: Write, design: Design) -> None:
    # As text, seed10 sorts before seed2: on one side only, the file names hide that.
    paths = [write_run("depth", "baseline", seed, value=float(seed)) for seed in (2, 10)]
    paths += [
        write_run("depth", "dejavu", seed, name=name, value=seed + 0.5)
        for name, seed in (("a.json", 2), ("b.json", 10))
    ]
    only_depth = Design(["depth"], ["fpn"], design.methods, "baseline")
    pairs = paired_values(collect_runs(paths), only_depth)["depth", "fpn", "dejavu", "rmse"]
    assert pairs.seeds == [2, 10]
    assert pairs.reference == [2.0, 10.0]
    assert pairs.treated == [2.5, 10.5]


@pytest.mark.parametrize("missing", ["baseline", "dejavu"])
def test_names_the_missing_seed(run_paths: list[Path], design: Design, missing: str) -> None:
    paths = [p for p in run_paths if not p.match(f"segmentation/fpn/{missing}/seed1.json")]
    with pytest.raises(DejaVuError, match=f"segmentation/fpn: {missing} has no run of seed 1,"):
        main_table(collect_runs(paths), design)


def test_names_a_missing_task(run_paths: list[Path], design: Design) -> None:
    paths = [path for path in run_paths if "depth" not in path.parts]
    with pytest.raises(DejaVuError, match="no run of task 'depth'"):
        main_table(collect_runs(paths), design)


def test_refuses_runs_that_no_row_would_show(run_paths: list[Path]) -> None:
    narrow = Design(["segmentation"], ["fpn"], ["baseline", "dejavu"], "baseline")
    with pytest.raises(DejaVuError, match="runs of task depth were given"):
        main_table(collect_runs(run_paths), narrow)


def test_one_seed_has_neither_spread_nor_interval(run_paths: list[Path], design: Design) -> None:
    runs = collect_runs(path for path in run_paths if path.name == "seed0.json")
    row = records(main_table(runs, design))[0]
    assert (row["mean"], row["n"], row["delta"]) == (50.5, 1, 0.5)
    assert all(math.isnan(row[key]) for key in ("std", "delta_low", "delta_high"))


def test_an_undefined_value_makes_no_number(
    run_paths: list[Path], write_run: Write, design: Design
) -> None:
    write_run("segmentation", "dejavu", 1, value=math.nan)
    table = main_table(collect_runs(run_paths), design)
    row = records(table)[0]
    assert all(math.isnan(row[key]) for key in ("mean", "std", "delta", "delta_low"))
    assert "dejavu" not in summarise(table)["segmentation"]["fpn"]


def test_summary_is_nested_plain_numbers(run_paths: list[Path], design: Design) -> None:
    tree = summarise(main_table(collect_runs(run_paths), design))
    expected = float(np.mean(VALUES["depth", "dejavu"]["rmse"]))
    assert tree["depth"]["fpn"]["dejavu"]["rmse"] == pytest.approx(expected)
    assert type(tree["depth"]["fpn"]["dejavu"]["rmse"]) is float
    assert list(tree) == ["segmentation", "depth"]
