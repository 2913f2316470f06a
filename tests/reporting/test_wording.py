import math
from pathlib import Path

import pandas as pd
import pytest

from dejavu.reporting.sources import Measured, collect_costs, collect_gaps, collect_runs
from dejavu.reporting.tables import TABLE_COLUMNS, Design, main_table
from dejavu.reporting.wording import (
    cost_sentences,
    difference_text,
    gap_sentences,
    headline,
    metric_header,
    outcome_of,
    value_text,
    verdicts,
)

DESIGN = Design(["depth"], ["fpn"], ["baseline", "dejavu"], "baseline")
NAN = math.nan


def _sentence(metric: str, unit: str, higher: bool, n: int, *delta: float) -> tuple[str, str]:
    row = ["depth", "fpn", "dejavu", metric, unit, higher, 1.0, 0.1, n, *delta]
    (verdict,) = verdicts(pd.DataFrame([row], columns=TABLE_COLUMNS), DESIGN)
    return verdict.outcome, verdict.text


@pytest.mark.parametrize(
    ("delta", "higher", "outcome"),
    [
        ((0.4, 0.1, 0.7), True, "better"),
        ((0.4, 0.1, 0.7), False, "worse"),
        ((-0.4, -0.7, -0.1), True, "worse"),
        ((-0.4, -0.7, -0.1), False, "better"),
        ((0.4, -0.1, 0.9), True, "undecided"),
        ((0.0, 0.0, 0.0), True, "undecided"),
        ((0.4, 0.0, 0.8), True, "undecided"),
        ((0.4, NAN, NAN), True, "no interval"),
        ((NAN, NAN, NAN), True, "undefined"),
    ],
)
def test_outcomes(delta: tuple[float, float, float], higher: bool, outcome: str) -> None:
    assert outcome_of(*delta, higher) == outcome


def test_undecided_pilot() -> None:
    assert _sentence("miou", "%", True, 3, 0.42, -0.31, 1.15) == (
        "undecided",
        "depth, dejavu: mIoU +0.42 points [-0.31, 1.15] over 3 seeds (a pilot): "
        "no difference can be claimed, the interval includes zero.",
    )


def test_lower_is_better() -> None:
    assert _sentence("rmse", "m", False, 12, -0.012, -0.02, -0.004) == (
        "better",
        "depth, dejavu: RMSE -0.0120 m [-0.0200, -0.0040] over 12 seeds: "
        "better, the interval lies below zero and lower is better.",
    )
    outcome, text = _sentence("mean_angle", "deg", False, 3, 0.5, 0.2, 0.8)
    assert outcome == "worse"
    assert "mean angle +0.50° [0.20, 0.80] over 3 seeds (a pilot): worse in this pilot" in text
    assert "above zero and lower is better" in text


def test_one_seed_claims_nothing() -> None:
    outcome, text = _sentence("miou", "%", True, 1, 5.0, NAN, NAN)
    assert outcome == "no interval"
    assert "mIoU +5.00 points [no interval] over 1 seed (a pilot): no difference can be" in text


def test_an_undefined_metric_says_so() -> None:
    assert "nothing can be said" in _sentence("miou", "%", True, 3, NAN, NAN, NAN)[1]


def test_one_verdict_per_compared_method_and_metric(run_paths: list[Path], design: Design) -> None:
    table = main_table(collect_runs(run_paths), design)
    found = verdicts(table, design)
    assert [(v.task, v.method, v.metric, v.outcome) for v in found] == [
        ("segmentation", "dejavu", "miou", "undecided"),
        ("segmentation", "dejavu", "boundary_iou", "better"),
        ("depth", "dejavu", "rmse", "better"),
        ("depth", "dejavu", "edge_rmse", "worse"),
    ]
    text = headline(found, design, 3)
    assert text.startswith("Of 4 comparisons with baseline")
    assert "2 are better, 1 is worse, and in 1 no difference can be claimed" in text
    assert "this is a pilot" in text
    assert "pilot" not in headline(found, design, 10)
    assert "no method to compare" in headline([], design, 10)


def test_the_network_is_named_where_there_are_several() -> None:
    row = ["depth", "resnet", "dejavu", "rmse", "m", False, 1.0, 0.1, 3, 0.1, -0.1, 0.3]
    several = Design(["depth"], ["fpn", "resnet"], ["baseline", "dejavu"], "baseline")
    (verdict,) = verdicts(pd.DataFrame([row], columns=TABLE_COLUMNS), several)
    assert verdict.text.startswith("depth, dejavu on resnet: RMSE")


def test_numbers_and_headers() -> None:
    assert value_text(51.234, 0.456, "%") == "51.23 ± 0.46"
    assert value_text(0.51234, NAN, "m") == "0.5123"
    assert difference_text(-0.004, -0.1, 0.092, "%") == "-0.00 [-0.10, 0.09]"
    assert metric_header("abs_rel", "1", False) == "AbsRel ↓"
    assert metric_header("within_11.25", "%", True) == "within 11.25 (%) ↑"


def test_gap_sentences_name_the_methods_redactions(gap_paths: list[Path], design: Design) -> None:
    assert gap_sentences(collect_gaps(gap_paths), design)[1] == (
        "depth: the oracle gap on val, by how much the regeneration loss falls with the ground "
        "truth instead of zeros, is 15.0 % for dejavu (low_pass(cutoff=0.06))."
    )


def test_cost_sentences_tell_when_deployed_networks_differ(
    cost_paths: list[Path], design: Design
) -> None:
    cost = collect_costs(cost_paths)
    assert cost_sentences(cost, design)[0] == (
        "segmentation, fpn: all methods deploy a network of the same parameter and FLOP count; "
        "a training step takes, relative to baseline, 1.25 x with dejavu."
    )
    frame = cost.frame.copy()
    frame.loc[3, "parameters"] += 1
    same, other = cost_sentences(Measured(frame, cost.conditions), design)
    assert "same" in same
    assert "DIFFER" in other
