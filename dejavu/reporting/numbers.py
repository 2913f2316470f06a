"""The numbers of a study, read on first use, and the tables made from them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pandas as pd

from dejavu.config import Params
from dejavu.reporting.collect import (
    Measured,
    Runs,
    collect_costs,
    collect_curves,
    collect_gaps,
    collect_probes,
    collect_runs,
)
from dejavu.reporting.formats import Table
from dejavu.reporting.tables import Design, all_metrics_table, main_table
from dejavu.reporting.text_tables import (
    lay_out_all_metrics,
    lay_out_cost,
    lay_out_gap,
    lay_out_main,
    lay_out_probes,
)
from dejavu.study.exhibits import TABLES
from dejavu.study.layout import Layout


@dataclass(frozen=True)
class Numbers:
    """The numbers of a study, read on first use.

    Files that cannot be read or compared raise DejaVuError then.

    Attributes:
        design: the comparison.
        metrics_files: one per run; files of any kind may be in any order.
        logs: training logs, one per run.
        gap_files: one per task.
        probe_files: one per task.
        cost_files: one per task.
    """

    design: Design
    metrics_files: Sequence[Path]
    logs: Sequence[Path]
    gap_files: Sequence[Path]
    probe_files: Sequence[Path]
    cost_files: Sequence[Path]

    @cached_property
    def runs(self) -> Runs:
        """The scored runs."""
        return collect_runs(self.metrics_files)

    @cached_property
    def curves(self) -> pd.DataFrame:
        """The losses of every run by training step."""
        return collect_curves(self.logs)

    @cached_property
    def gaps(self) -> Measured:
        """The oracle gaps."""
        return collect_gaps(self.gap_files)

    @cached_property
    def probes(self) -> Measured:
        """The probes."""
        return collect_probes(self.probe_files)

    @cached_property
    def costs(self) -> Measured:
        """The costs."""
        return collect_costs(self.cost_files)

    @cached_property
    def main(self) -> pd.DataFrame:
        """The primary and the boundary metrics with their differences."""
        return main_table(self.runs, self.design)

    @cached_property
    def all_metrics(self) -> pd.DataFrame:
        """Every metric with its differences."""
        return all_metrics_table(self.runs, self.design)


def design(params: Params) -> Design:
    """Return the comparison that a study makes, in the order of its params."""
    return Design(
        tasks=params.tasks,
        networks=[*params.networks],
        methods=[*params.methods],
        reference=params.report.reference,
        confidence=params.report.confidence,
    )


def numbers_of(layout: Layout) -> Numbers:
    """Return the numbers of a study, from the files that its params imply."""
    runs, tasks = [*layout.runs()], layout.params.tasks
    return Numbers(
        design(layout.params),
        metrics_files=[*map(layout.metrics, runs)],
        logs=[*map(layout.log, runs)],
        gap_files=[layout.measurement("gap", task) for task in tasks],
        probe_files=[layout.measurement("probes", task) for task in tasks],
        cost_files=[layout.measurement("cost", task) for task in tasks],
    )


def tables_of(numbers: Numbers) -> dict[str, tuple[pd.DataFrame, Table]]:
    """Make every table of ``TABLES`` by name: its data frame and its text table."""
    return {table.name: _MAKE[table.name](numbers) for table in TABLES}


_MAKE: Mapping[str, Callable[[Numbers], tuple[pd.DataFrame, Table]]] = {
    "main": lambda n: (n.main, lay_out_main(n.main, n.runs, n.design)),
    "all_metrics": lambda n: (
        n.all_metrics,
        lay_out_all_metrics(n.all_metrics, n.runs, n.design),
    ),
    "gap": lambda n: (n.gaps.frame, lay_out_gap(n.gaps, n.design)),
    "probes": lambda n: (n.probes.frame, lay_out_probes(n.probes, n.design)),
    "cost": lambda n: (n.costs.frame, lay_out_cost(n.costs, n.design)),
}
