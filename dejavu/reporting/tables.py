"""Tables of a study: means, standard deviations and differences paired by seed."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from dejavu.reporting.collect import Runs, Spec, TaskProtocol
from dejavu.reporting.statistics import PairedDifference, paired_difference
from dejavu.runtime.errors import DejaVuError

TABLE_COLUMNS = [
    *("task", "network", "method", "metric", "unit", "higher_is_better"),
    *("mean", "std", "n", "delta", "delta_low", "delta_high"),
]
PILOT_BELOW = 10
"""Fewer seeds than this are a pilot: no claim is made from them."""


@dataclass(frozen=True)
class Design:
    """The comparison that a study makes, in the order of tables and figures.

    Attributes:
        tasks: tasks of the study.
        networks: labels of its networks.
        methods: labels of its methods.
        reference: the method that differences are taken against.
        confidence: level of the intervals, in (0, 1).
    """

    tasks: Sequence[str]
    networks: Sequence[str]
    methods: Sequence[str]
    reference: str
    confidence: float = 0.95

    def __post_init__(self) -> None:
        if self.reference not in self.methods:
            raise DejaVuError(
                f"reference: {self.reference!r} is none of the methods ({', '.join(self.methods)})"
            )

    @property
    def treated(self) -> list[str]:
        """Methods other than the reference."""
        return [method for method in self.methods if method != self.reference]


@dataclass(frozen=True)
class Pairs:
    """Values of one metric for the reference and for a method, seed by seed."""

    seeds: list[int]
    reference: list[float]
    treated: list[float]

    def difference(self, confidence: float) -> PairedDifference:
        """Return the paired difference; all NaN where a value is undefined (NaN)."""
        if not np.isfinite([*self.reference, *self.treated]).all():
            return PairedDifference(math.nan, math.nan, math.nan, len(self.seeds))
        return paired_difference(self.reference, self.treated, confidence)


def main_table(runs: Runs, design: Design) -> pd.DataFrame:
    """Tabulate the primary and the boundary metric of every task x network x method.

    Args:
        runs: the scored runs.
        design: the comparison and its order.

    Returns:
        Rows with the columns ``TABLE_COLUMNS``. ``std`` is the sample standard deviation over
        seeds, NaN for one seed. ``delta`` is the mean of (method - reference) paired by seed, in
        the metric's unit, negative where the method is lower; NaN for the reference.

    Raises:
        DejaVuError: runs are missing, cannot be paired by seed, or lie outside the design.
    """
    return _tabulate(runs, design, lambda p: [p.spec(p.primary), p.spec(p.boundary)])


def all_metrics_table(runs: Runs, design: Design) -> pd.DataFrame:
    """Tabulate every metric as `main_table` does; metrics outside `main_table` are exploratory."""
    return _tabulate(runs, design, lambda p: p.metrics)


def paired_values(runs: Runs, design: Design) -> dict[tuple[str, str, str, str], Pairs]:
    """Pair each method with the reference, keyed by (task, network, method, metric).

    Raises:
        DejaVuError: runs are missing, cannot be paired by seed, or lie outside the design.
    """
    _refuse_outside_runs(runs, design)
    values: dict[tuple[str, str, str, str], dict[int, float]] = {}
    frame = runs.frame[["task", "network", "method", "metric", "seed", "value"]]
    for *cell, seed, value in frame.itertuples(index=False, name=None):
        task, network, method, metric = cell
        values.setdefault((task, network, method, metric), {})[seed] = value

    pairs = {}
    for task, network, method in _cells(design):
        for spec in _protocol(runs, task).metrics:
            reference = values.get((task, network, design.reference, spec.name), {})
            treated = values.get((task, network, method, spec.name), {})
            seeds = _common_seeds(reference, treated, f"{task}/{network}", method, design.reference)
            pairs[task, network, method, spec.name] = Pairs(
                seeds, [reference[s] for s in seeds], [treated[s] for s in seeds]
            )
    return pairs


def summarise(table: pd.DataFrame) -> dict[str, Any]:
    """Nest a table's means as task -> network -> method -> metric -> mean.

    Undefined means are left out: JSON has no NaN.
    """
    tree: dict[str, Any] = {}
    columns = ["task", "network", "method", "metric", "mean"]
    for task, network, method, metric, mean in table[columns].itertuples(index=False, name=None):
        if math.isfinite(mean):
            methods = tree.setdefault(task, {}).setdefault(network, {})
            methods.setdefault(method, {})[metric] = mean
    return tree


def records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Return a frame's rows as plain mappings by column."""
    return [{str(key): value for key, value in row.items()} for row in frame.to_dict("records")]


def _tabulate(
    runs: Runs, design: Design, choose: Callable[[TaskProtocol], Sequence[Spec]]
) -> pd.DataFrame:
    pairs = paired_values(runs, design)
    rows = [
        _row(task, network, method, spec, pairs[task, network, method, spec.name], design)
        for task, network, method in _cells(design)
        for spec in choose(runs.protocols[task])
    ]
    return pd.DataFrame(rows, columns=TABLE_COLUMNS)


def _row(
    task: str, network: str, method: str, spec: Spec, pairs: Pairs, design: Design
) -> dict[str, Any]:
    values = np.array(pairs.treated)
    row = {
        "task": task,
        "network": network,
        "method": method,
        "metric": spec.name,
        "unit": spec.unit,
        "higher_is_better": spec.higher_is_better,
        "mean": float(values.mean()),
        "std": float(values.std(ddof=1)) if len(values) > 1 else math.nan,
        "n": len(values),
    }
    if method != design.reference:
        difference = pairs.difference(design.confidence)
        row |= {
            "delta": difference.mean,
            "delta_low": difference.low,
            "delta_high": difference.high,
        }
    return row


def _cells(design: Design) -> Iterator[tuple[str, str, str]]:
    for task in design.tasks:
        for network in design.networks:
            for method in design.methods:
                yield task, network, method


def _protocol(runs: Runs, task: str) -> TaskProtocol:
    if task not in runs.protocols:
        raise DejaVuError(f"no run of task {task!r} was given; evaluate it first")
    return runs.protocols[task]


def _refuse_outside_runs(runs: Runs, design: Design) -> None:
    """Refuse runs outside the design, which the table would drop in silence."""
    for column, known in (
        ("task", design.tasks),
        ("network", design.networks),
        ("method", design.methods),
    ):
        outside = sorted(set(runs.frame[column]) - set(known))
        if outside:
            raise DejaVuError(
                f"runs of {column} {', '.join(outside)} were given, but the study has only "
                f"{', '.join(known)}; leave their files out"
            )


def _common_seeds(
    reference: Mapping[int, float],
    treated: Mapping[int, float],
    where: str,
    method: str,
    reference_method: str,
) -> list[int]:
    if not reference and not treated:
        raise DejaVuError(f"no run of {where} with {method} was given; evaluate it first")
    for name, missing in (
        (method, set(reference) - set(treated)),
        (reference_method, set(treated) - set(reference)),
    ):
        if missing:
            seeds = ", ".join(map(str, sorted(missing)))
            raise DejaVuError(
                f"{where}: {name} has no run of seed {seeds}, so {method} cannot be paired with "
                f"{reference_method}; evaluate the missing runs or leave the seed out of both"
            )
    return sorted(reference)
