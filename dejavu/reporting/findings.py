"""Findings of a study in English sentences: differences, oracle gaps, probes and costs."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import pandas as pd

from dejavu.reporting.collect import Measured
from dejavu.reporting.labels import difference_text, metric_label
from dejavu.reporting.tables import PILOT_BELOW, Design, records

Outcome = Literal["better", "worse", "undecided", "no interval", "undefined"]

_MOST_LISTED = 6


@dataclass(frozen=True)
class Verdict:
    """The verdict on one paired difference.

    Attributes:
        task: the task.
        network: the network.
        method: the method, compared with the reference.
        metric: name of the metric.
        outcome: ``better`` or ``worse`` only where the interval excludes zero.
        text: one English sentence.
    """

    task: str
    network: str
    method: str
    metric: str
    outcome: Outcome
    text: str


def outcome_of(delta: float, low: float, high: float, higher_is_better: bool) -> Outcome:
    """Decide whether an interval excludes zero, and on which side.

    Example:
        >>> outcome_of(-0.2, -0.3, -0.1, higher_is_better=False)
        'better'
    """
    if math.isnan(delta):
        return "undefined"
    if math.isnan(low):
        return "no interval"
    if low <= 0 <= high:
        return "undecided"
    return "better" if (low > 0) == higher_is_better else "worse"


def verdicts(table: pd.DataFrame, design: Design) -> list[Verdict]:
    """Judge each difference of a table in one sentence.

    Args:
        table: result of `main_table` or `all_metrics_table`.
        design: the comparison.

    Returns:
        One verdict per task, network, method other than the reference, and metric.
    """
    rows = table[table["method"] != design.reference]
    return [_verdict(row, design) for row in records(rows)]


def headline(found: Sequence[Verdict], design: Design, seeds: int) -> str:
    """Count the outcomes of verdicts in one sentence, which also marks a pilot."""
    if not found:
        return f"The study has no method to compare with {design.reference}."
    counts = {name: sum(v.outcome == name for v in found) for name in ("better", "worse")}
    rest = len(found) - sum(counts.values())
    text = (
        f"Of {len(found)} comparisons with {design.reference} (primary and boundary metrics), "
        f"{counts['better']} {_are(counts['better'])} better, "
        f"{counts['worse']} {_are(counts['worse'])} worse, and in {rest} no difference can be "
        "claimed"
    )
    if seeds < PILOT_BELOW:
        return f"{text}. With n = {seeds} this is a pilot, from which no claim is made."
    return f"{text}, with n = {seeds}."


def gap_sentences(gap: Measured, design: Design) -> list[str]:
    """State, per task, how much the ground truth lowers L_DV under the methods' redactions."""
    sentences = []
    frame = gap.frame
    for task in design.tasks:
        rows = frame[(frame["task"] == task) & frame["method"].isin(list(design.methods))]
        parts = {
            f"{100 * row['gap']:.1f} % for {row['method']} ({row['redaction']})": row["gap"]
            for row in records(rows)
        }
        if parts:
            sentences.append(
                f"{task}: the oracle gap on {gap.conditions['split']}, by how much the "
                "regeneration loss falls with the ground truth instead of zeros, is "
                f"{_listed(parts)}."
            )
    return sentences


def probe_sentences(probes: Measured, design: Design) -> list[str]:
    """State, per task, how much live predictions and other conditions change L_DV, by method."""
    sentences = []
    for task in design.tasks:
        rows = records(probes.frame[probes.frame["task"] == task])
        parts = {_probe(row, design): row["live"] / row["zeros"] for row in rows}
        if parts:
            sentences.append(
                f"{task}: given the live prediction instead of zeros, the regeneration loss on "
                f"{probes.conditions['split']} changes by {_listed(parts)}."
            )
    return sentences


def cost_sentences(cost: Measured, design: Design) -> list[str]:
    """State, per task and network, the methods' cost at inference and in training."""
    sentences = []
    for (task, network), rows in cost.frame.groupby(["task", "network"], sort=False):
        others = records(rows[rows["method"] != design.reference])
        ratios = {
            f"{row['step_ratio']:.2f} x with {row['method']}": row["step_ratio"] for row in others
        }
        training = (
            f"; a training step takes, relative to {design.reference}, {_listed(ratios)}"
            if ratios
            else ""
        )
        sentences.append(f"{task}, {network}: {_deployed(records(rows), design)}{training}.")
    return sentences


def _probe(row: dict[str, Any], design: Design) -> str:
    """State the changes relative to zeros: live, ground truth and, where there is one, arg-max."""
    live, truth, hard = (
        f"{100 * (row[key] / row['zeros'] - 1):+.1f} %"
        for key in ("live", "ground_truth", "argmax")
    )
    where = f" on {row['network']}" if len(design.networks) > 1 else ""
    others = f"given the ground truth {truth}"
    if not math.isnan(row["argmax"]):
        others += f", given the live prediction made hard {hard}"
    return f"{live} with {row['method']}{where} ({others})"


def _deployed(rows: Sequence[dict[str, Any]], design: Design) -> str:
    """State which methods deploy a different network from the reference's, and its size."""
    name = design.reference
    reference = next(row for row in rows if row["method"] == name)
    others = []
    for row in rows:
        parameters, flops = (row[key] / reference[key] for key in ("parameters", "flops"))
        if (parameters, flops) != (1, 1):
            others.append(
                f"{row['method']} deploys a {_size(parameters, flops)} network than {name} "
                f"({parameters:.2f} x its parameters, {flops:.2f} x its FLOPs)"
            )
    same = "a network of the same parameter and FLOP count"
    if not others:
        return f"all methods deploy {same}"
    if len(others) < len(rows) - 1:
        others.append(f"the other methods deploy {same} as {name}")
    return "; ".join(others)


def _size(parameters: float, flops: float) -> str:
    if min(parameters, flops) >= 1:
        return "larger"
    return "smaller" if max(parameters, flops) <= 1 else "different"


def _listed(values: Mapping[str, float]) -> str:
    """Join the texts; of more than ``_MOST_LISTED``, those of the smallest and largest value."""
    if len(values) <= _MOST_LISTED:
        return ", ".join(values)
    low, high = (choose(values, key=values.__getitem__) for choose in (min, max))
    return f"{low} to {high}, the smallest and the largest of {len(values)}"


def _verdict(row: dict[str, Any], design: Design) -> Verdict:
    delta, low, high = row["delta"], row["delta_low"], row["delta_high"]
    task, network, method, metric = (row[k] for k in ("task", "network", "method", "metric"))
    higher = row["higher_is_better"]
    outcome = outcome_of(delta, low, high, higher)
    where = f" on {network}" if len(design.networks) > 1 else ""
    text = (
        f"{task}, {method}{where}: {metric_label(metric)} "
        f"{_amount(delta, low, high, row['unit'])} over {_seeds(row['n'])}: "
        f"{_meaning(outcome, higher, low, row['n'])}."
    )
    return Verdict(task, network, method, metric, outcome, text)


def _amount(delta: float, low: float, high: float, unit: str) -> str:
    if math.isnan(delta):
        return "undefined"
    number, interval = difference_text(delta, low, high, unit).split(" ", 1)
    shown = {"%": " points", "1": "", "deg": "°"}.get(unit, f" {unit}")
    return f"{number}{shown} {interval}"


def _seeds(n: int) -> str:
    pilot = " (a pilot)" if n < PILOT_BELOW else ""
    return f"{n} seed{'' if n == 1 else 's'}{pilot}"


def _meaning(outcome: Outcome, higher_is_better: bool, low: float, n: int) -> str:
    if outcome == "undefined":
        return "nothing can be said, the metric is undefined for some seed"
    if outcome == "no interval":
        return "no difference can be claimed, one seed gives no interval"
    if outcome == "undecided":
        return "no difference can be claimed, the interval includes zero"
    direction = "higher" if higher_is_better else "lower"
    side = "above" if low > 0 else "below"
    where = " in this pilot" if n < PILOT_BELOW else ""
    return f"{outcome}{where}, the interval lies {side} zero and {direction} is better"


def _are(count: int) -> str:
    return "is" if count == 1 else "are"
