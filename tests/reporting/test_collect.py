import json
import math
from pathlib import Path

import numpy as np
import pytest

from dejavu.reporting.collect import (
    PROBE_COLUMNS,
    collect_costs,
    collect_curves,
    collect_gaps,
    collect_probes,
    collect_runs,
)
from dejavu.runtime.errors import DejaVuError
from tests.support.measured import VALUES, Write


def test_runs_are_tidy_and_sorted_whatever_the_order_of_files(run_paths: list[Path]) -> None:
    runs = collect_runs(run_paths)
    assert list(runs.frame.columns) == [
        *("study", "dataset", "task", "network", "method", "seed", "split"),
        *("metric", "unit", "value"),
    ]
    expected = [
        (task, method, seed, metric, values[seed])
        for task, method in sorted(VALUES)
        for seed in range(3)
        for metric, values in VALUES[task, method].items()
    ]
    columns = ["task", "method", "seed", "metric", "value"]
    assert list(runs.frame[columns].itertuples(index=False, name=None)) == expected
    assert collect_runs(run_paths[::-1]).frame.equals(runs.frame)
    assert (runs.study, runs.split) == ("tiny", "val")
    assert runs.protocols["depth"].primary == "rmse"
    assert runs.protocols["depth"].boundary == "edge_rmse"
    assert not runs.protocols["depth"].spec("rmse").higher_is_better


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"protocol": {"boundary_ratio": 0.02, "edge_width": 3}}, "protocol.*'edge_width': 2"),
        ({"notes": ["left out of train: 1"]}, "differ in notes"),
        ({"weights": "0123"}, "differ in weights"),
        ({"split": "test"}, "split"),
        ({"study": "other"}, "study"),
        ({"dataset": "nyuv2"}, "dataset"),
        ({"images": 7}, "images"),
        ({"primary": "boundary_iou"}, "primary"),
    ],
)
def test_refuses_to_mix(write_run: Write, changes: dict[str, object], message: str) -> None:
    paths = [
        write_run("segmentation", "baseline", 0),
        write_run("segmentation", "dejavu", 0, **changes),
    ]
    with pytest.raises(DejaVuError, match=message) as caught:
        collect_runs(paths)
    assert all(str(path) in str(caught.value) for path in paths)


def test_protocols_may_differ_between_tasks(write_run: Write) -> None:
    paths = [
        write_run("segmentation", "baseline", 0),
        write_run("depth", "baseline", 0, protocol={"max_depth": 10.0}),
    ]
    assert collect_runs(paths).protocols["depth"].protocol == {"max_depth": 10.0}


def test_refuses_the_same_run_twice(write_run: Write) -> None:
    paths = [
        write_run("depth", "dejavu", 1),
        write_run("depth", "dejavu", 1, name="copy.json"),
    ]
    with pytest.raises(DejaVuError, match="both of depth/fpn/dejavu seed 1") as caught:
        collect_runs(paths)
    assert all(str(path) in str(caught.value) for path in paths)
    with pytest.raises(DejaVuError, match="both of"):
        collect_runs([paths[0], paths[0]])


def test_refuses_damaged_files(write_run: Write, tmp_path: Path) -> None:
    with pytest.raises(DejaVuError, match="no metrics file"):
        collect_runs([])
    with pytest.raises(DejaVuError, match=r"absent\.json: cannot be read"):
        collect_runs([tmp_path / "absent.json"])
    broken = tmp_path / "broken.json"
    broken.write_text('{"study": ')
    with pytest.raises(DejaVuError, match=r"broken\.json: not valid JSON"):
        collect_runs([broken])
    broken.write_text('{"study": "tiny"}')
    with pytest.raises(DejaVuError, match="lacks dataset, task"):
        collect_runs([broken])
    with pytest.raises(DejaVuError, match="miou is 'high', not a number"):
        collect_runs([write_run("segmentation", "baseline", 0, value="high")])
    with pytest.raises(DejaVuError, match="primary metric 'iou'"):
        collect_runs([write_run("segmentation", "baseline", 0, primary="iou")])


def test_curves_come_from_path_and_lines(log_paths: list[Path]) -> None:
    curves = collect_curves(log_paths)
    assert list(curves.columns) == [
        *("task", "network", "method", "seed", "step", "task_loss", "dejavu_loss"),
    ]
    assert len(curves) == 8 * 3
    last = curves.iloc[-1]
    assert tuple(last) == ("segmentation", "fpn", "dejavu", 1, 9, 2.0 - 0.9 + 1, 1.0 - 0.45)
    assert curves[curves["method"] == "baseline"]["dejavu_loss"].isna().all()
    assert collect_curves(log_paths[::-1]).equals(curves)


def test_refuses_damaged_logs(log_paths: list[Path], tmp_path: Path) -> None:
    with log_paths[0].open("a") as log:
        log.write('{"step": 10, "task_')
    with pytest.raises(DejaVuError, match=r"seed0\.jsonl, line 4: not valid JSON"):
        collect_curves(log_paths)
    with pytest.raises(DejaVuError, match="no training log"):
        collect_curves([])
    with pytest.raises(DejaVuError, match=r"task/network/method/seedK\.jsonl"):
        collect_curves([tmp_path / "log.jsonl"])


def test_gaps_and_costs_keep_the_order_of_files(
    gap_paths: list[Path], cost_paths: list[Path]
) -> None:
    gaps, costs = collect_gaps(gap_paths), collect_costs(cost_paths)
    assert list(gaps.frame["task"]) == ["segmentation"] * 3 + ["depth"] * 3
    assert gaps.conditions == {"study": "tiny", "steps": 3, "split": "val"}
    assert list(costs.frame["step_ratio"]) == [1.0, 1.25] * 2
    assert costs.conditions["image_size"] == [64, 64]


def test_probes_without_a_hard_prediction_are_nan(probe_paths: list[Path]) -> None:
    probes = collect_probes(probe_paths)
    assert list(probes.frame.columns) == [
        *("task", "network", "method", "redaction"),
        *("zeros", "live", "detached", "ground_truth", "argmax"),
    ]
    np.testing.assert_array_equal(probes.frame["argmax"], [0.39, math.nan])
    assert probes.conditions == {"study": "tiny", "split": "val", "seed": 0, "steps": 3}
    depth = collect_probes(probe_paths[1:]).frame  # nulls alone are numbers, too
    assert depth["argmax"].dtype == float


def test_a_study_may_have_no_probes(no_probe_paths: list[Path]) -> None:
    probes = collect_probes(no_probe_paths)
    assert probes.frame.empty
    assert list(probes.frame.columns) == PROBE_COLUMNS
    assert probes.conditions["steps"] == 3
    with pytest.raises(DejaVuError, match="no probe file"):
        collect_probes([])


@pytest.mark.parametrize("condition", ["study", "split", "seed", "steps"])
def test_refuses_to_mix_probes(probe_paths: list[Path], condition: str) -> None:
    tree = json.loads(probe_paths[1].read_text()) | {condition: "other"}
    probe_paths[1].write_text(json.dumps(tree))
    with pytest.raises(DejaVuError, match=f"differ in {condition}") as caught:
        collect_probes(probe_paths)
    assert all(str(path) in str(caught.value) for path in probe_paths)


@pytest.mark.parametrize("column", ["argmax", "detached", "redaction"])
def test_refuses_incomplete_probes(probe_paths: list[Path], column: str) -> None:
    tree = json.loads(probe_paths[1].read_text())
    del tree["rows"][0][column]
    probe_paths[1].write_text(json.dumps(tree))
    with pytest.raises(DejaVuError, match=rf"depth\.json: rows\[0\]: lacks {column}"):
        collect_probes(probe_paths)


def test_refuses_to_mix_measurements(gap_paths: list[Path], cost_paths: list[Path]) -> None:
    for path, key, value, collect, paths in (
        (gap_paths[1], "steps", 4, collect_gaps, gap_paths),
        (cost_paths[1], "device", "cuda", collect_costs, cost_paths),
    ):
        path.write_text(json.dumps(json.loads(path.read_text()) | {key: value}))
        with pytest.raises(DejaVuError, match=f"differ in {key}"):
            collect(paths)


def test_refuses_incomplete_rows(gap_paths: list[Path]) -> None:
    tree = json.loads(gap_paths[0].read_text())
    del tree["rows"][1]["gap"]
    gap_paths[0].write_text(json.dumps(tree))
    with pytest.raises(DejaVuError, match=r"rows\[1\]: lacks gap"):
        collect_gaps(gap_paths)


def test_an_undefined_metric_is_read_as_nan(write_run: Write) -> None:
    runs = collect_runs([write_run("depth", "baseline", 0, value=math.nan)])
    assert runs.frame["value"].isna().all()
