from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from dejavu.config import load_params
from dejavu.reporting.reproduction import (
    compare_scores,
    describe_comparison,
    measure_spread,
    parse_scores,
    read_scores,
)
from dejavu.runtime.errors import DejaVuError
from dejavu.study.layout import Layout
from tests.support.committed import ROOT, committed, needs_git


def scores(*values: float, method: str = "baseline", metric: str = "miou") -> pd.DataFrame:
    """The scores of one method: a value per seed."""
    run = {"task": "segmentation", "network": "fpn", "method": method, "unit": "%"}
    rows = [run | {"seed": s, "metric": metric, "value": v} for s, v in enumerate(values)]
    return pd.DataFrame(rows)


COMMITTED = scores(30.0, 31.0, 32.0, 33.0)
SPREAD = pd.DataFrame([{"task": "segmentation", "metric": "miou", "spread": 0.5}])
LIMIT = 4 * 0.5 / 4**0.5


def test_the_spread_is_the_root_mean_square_over_runs_and_reruns() -> None:
    reruns = [scores(30.0, 31.5, 32.0, 32.0), scores(30.1, 31.0, 32.0, 33.2)]
    (row,) = measure_spread(COMMITTED, reruns).to_dict("records")
    differences = np.array([0, 0.5, 0, -1, 0.1, 0, 0, 0.2])
    assert row["spread"] == pytest.approx(np.sqrt(np.mean(differences**2)))
    assert (row["task"], row["metric"], row["unit"], row["count"]) == (
        "segmentation",
        "miou",
        "%",
        8,
    )


def test_each_metric_has_a_spread_of_its_own() -> None:
    def both(shift: float) -> pd.DataFrame:
        wide = scores(*(np.arange(4) + 10 * shift), metric="rmse")
        return pd.concat([scores(*(np.arange(4) + shift)), wide])

    measured = measure_spread(both(0.0), [both(0.1)]).set_index("metric")["spread"]
    assert measured["miou"] == pytest.approx(0.1)
    assert measured["rmse"] == pytest.approx(1.0)


def test_a_rerun_on_the_same_processor_measures_nothing() -> None:
    other = scores(30.0, 31.0, 32.0, 33.1)
    (row,) = measure_spread(COMMITTED, [other, COMMITTED]).to_dict("records")
    assert row["count"] == 4
    with pytest.raises(DejaVuError, match="another processor"):
        measure_spread(COMMITTED, [COMMITTED, COMMITTED])


@pytest.mark.parametrize(("share", "within"), [(-0.99, True), (0.99, True), (1.01, False)])
def test_a_mean_counts_as_reproduced_within_the_limit(share: float, within: bool) -> None:
    found = COMMITTED.assign(value=COMMITTED["value"] + share * LIMIT)
    (row,) = compare_scores(found, COMMITTED, SPREAD).to_dict("records")
    assert row["committed"] == 31.5
    assert row["difference"] == pytest.approx(share * LIMIT)
    assert row["limit"] == pytest.approx(LIMIT)
    assert row["within"] == within


def test_runs_may_move_farther_than_their_mean() -> None:
    found = COMMITTED.assign(value=COMMITTED["value"] + np.array([1, -1, 1, -1]) * 1.5 * LIMIT)
    assert compare_scores(found, COMMITTED, SPREAD)["within"].all()


def test_a_score_that_became_undefined_is_outside() -> None:
    found = scores(30.0, 31.0, 32.0, np.nan)
    assert not compare_scores(found, COMMITTED, SPREAD)["within"].any()
    assert compare_scores(found, found, SPREAD)["within"].all()


@pytest.mark.parametrize(
    ("found", "named"),
    [
        (scores(30.0, 31.0, 32.0), "seed 3 only among the committed"),
        (scores(30.0, 31.0, 32.0, 33.0, 34.0), "seed 4 only here"),
        (scores(30.0, 31.0, 32.0, 33.0, method="dejavu"), "baseline"),
    ],
)
def test_other_runs_cannot_be_compared(found: pd.DataFrame, named: str) -> None:
    with pytest.raises(DejaVuError, match=named):
        compare_scores(found, COMMITTED, SPREAD)


def test_a_metric_without_a_spread_cannot_be_compared() -> None:
    with pytest.raises(DejaVuError, match=r"segmentation miou: make spread"):
        compare_scores(COMMITTED, COMMITTED, SPREAD.assign(metric="rmse"))


def test_what_is_outside_is_named() -> None:
    committed = pd.concat([COMMITTED, scores(30.0, 31.0, 32.0, 33.0, method="dejavu")])
    found = pd.concat([COMMITTED, scores(31.5, 32.5, 33.5, 34.5, method="dejavu")])
    said = describe_comparison(compare_scores(found, committed, SPREAD))
    assert said[0].startswith("2 means over seeds: 1 equal the committed ones, 1 lie within")
    assert said[1].startswith("OUTSIDE: segmentation fpn dejavu miou: 33, committed 31.5 (+1.5 %")
    assert len(said) == 2


@pytest.mark.parametrize("text", ["", "a,b\n1,2\n", '"'])
def test_what_is_no_table_of_scores_is_named(text: str) -> None:
    with pytest.raises(DejaVuError, match=r"own/runs\.csv: "):
        parse_scores(text, Path("own/runs.csv"))


@needs_git
def test_a_halved_learning_rate_is_no_other_processor() -> None:
    """Scores of the embedded study's baselines, measured at half its learning rate."""
    layout = Layout(load_params(ROOT / "params/default.yaml"))
    halved = Path(__file__).with_name("halved_learning_rate.csv")
    found = parse_scores(read_scores(halved), halved)
    known = parse_scores(committed(layout.scores), layout.scores)
    spread = parse_scores(committed(layout.spread), layout.spread)
    trained = known["method"] == "baseline"
    compared = compare_scores(found, known[trained], spread).set_index("metric")
    assert not compared.loc[["miou", "rmse", "mean_angle"], "within"].any()


@needs_git
def test_another_processors_scores_are_within_the_committed_spread() -> None:
    """Scores of the embedded study, measured on an AMD EPYC; the committed ones are a Xeon's."""
    layout = Layout(load_params(ROOT / "params/default.yaml"))
    spread = parse_scores(committed(layout.spread), layout.spread)
    known = parse_scores(committed(layout.scores), layout.scores)
    rerun = Path(__file__).with_name("another_processor.csv")
    found = parse_scores(read_scores(rerun), rerun)
    compared = compare_scores(found, known, spread)
    assert compared["within"].all()
    assert (compared["difference"] != 0).all()
    assert (spread["spread"] > 0).all()
