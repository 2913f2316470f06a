import math
from pathlib import Path

import pandas as pd
import pytest

from dejavu.reporting.collect import (
    COST_COLUMNS,
    Measured,
    collect_costs,
    collect_gaps,
    collect_probes,
    collect_runs,
)
from dejavu.reporting.findings import (
    cost_sentences,
    gap_sentences,
    headline,
    outcome_of,
    probe_sentences,
    verdicts,
)
from dejavu.reporting.tables import TABLE_COLUMNS, Design, main_table

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


def test_gap_sentences_name_the_methods_redactions(gap_paths: list[Path], design: Design) -> None:
    assert gap_sentences(collect_gaps(gap_paths), design)[1] == (
        "depth: the oracle gap on val, by how much the regeneration loss falls with the ground "
        "truth instead of zeros, is 15.0 % for dejavu (low_pass(cutoff=0.06))."
    )


def test_probe_sentences(probe_paths: list[Path], design: Design) -> None:
    assert probe_sentences(collect_probes(probe_paths), design) == [
        "segmentation: given the live prediction instead of zeros, the regeneration loss on val "
        "changes by -5.0 % with dejavu (given the ground truth -17.5 %, given the live prediction "
        "made hard -2.5 %).",
        "depth: given the live prediction instead of zeros, the regeneration loss on val changes "
        "by +0.5 % with dejavu (given the ground truth -1.0 %).",
    ]


def test_no_probes_no_sentences(no_probe_paths: list[Path], design: Design) -> None:
    assert probe_sentences(collect_probes(no_probe_paths), design) == []


def test_probe_sentences_name_the_network_where_there_are_several(
    probe_paths: list[Path],
) -> None:
    several = Design(["depth"], ["fpn", "resnet"], ["baseline", "dejavu"], "baseline")
    (sentence,) = probe_sentences(collect_probes(probe_paths), several)
    assert "+0.5 % with dejavu on fpn (" in sentence


def _costs(**sizes: tuple[int, int]) -> Measured:
    """Costs of methods, the first the reference, by their parameters and FLOPs."""
    rows = [
        ["depth", "fpn", name, 0.1, 1 + i / 10, 1, 1.0, parameters, 900, flops]
        for i, (name, (parameters, flops)) in enumerate(sizes.items())
    ]
    return Measured(pd.DataFrame(rows, columns=COST_COLUMNS), {})


def test_cost_sentences_of_equal_networks(cost_paths: list[Path], design: Design) -> None:
    assert cost_sentences(collect_costs(cost_paths), design)[0] == (
        "segmentation, fpn: all methods deploy a network of the same parameter and FLOP count; "
        "a training step takes, relative to baseline, 1.25 x with dejavu."
    )


@pytest.mark.parametrize(
    ("size", "words"),
    [
        ((125, 300), "larger network than baseline (1.25 x its parameters, 1.50 x its FLOPs)"),
        ((100, 300), "larger network than baseline (1.00 x its parameters, 1.50 x its FLOPs)"),
        ((50, 200), "smaller network than baseline (0.50 x its parameters, 1.00 x its FLOPs)"),
        ((125, 100), "different network than baseline (1.25 x its parameters, 0.50 x its FLOPs)"),
    ],
)
def test_cost_sentences_name_who_deploys_another_network(size: tuple[int, int], words: str) -> None:
    cost = _costs(baseline=(100, 200), attention=size)
    assert cost_sentences(cost, DESIGN) == [
        f"depth, fpn: attention deploys a {words}; "
        "a training step takes, relative to baseline, 1.10 x with attention."
    ]
    (sentence,) = cost_sentences(_costs(baseline=(100, 200), dejavu=(100, 200), a=size), DESIGN)
    assert sentence.startswith(
        f"depth, fpn: a deploys a {words}; "
        "the other methods deploy a network of the same parameter and FLOP count as baseline; "
    )


def test_of_many_methods_the_smallest_and_largest_are_named() -> None:
    ends = "1.10 x with m1 to 1.70 x with m7, the smallest and the largest of 7."
    few, many = (
        {"baseline": (1, 1)} | {f"m{i}": (1, 1) for i in range(1, count)} for count in (7, 8)
    )
    assert "1.10 x with m1, 1.20 x with m2" in cost_sentences(_costs(**few), DESIGN)[0]
    assert cost_sentences(_costs(**many), DESIGN)[0].endswith(ends)
