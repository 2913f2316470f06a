"""The tables and figures of a study: one list of each, for the jobs, the rules and the report."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from dejavu.study.layout import Layout

Needs = Callable[[Layout], list[Path]]


@dataclass(frozen=True)
class Table:
    """A table, written as CSV, Markdown and LaTeX.

    Attributes:
        name: file name without suffix.
        section: HTML id of the report's section that shows it.
        needs: lists its input files.
        of_runs: whether its rows are means over runs.
    """

    name: str
    section: str
    needs: Needs
    of_runs: bool = False

    def files(self, layout: Layout) -> list[Path]:
        """List its files, the CSV first."""
        return [layout.tables / f"{self.name}.{suffix}" for suffix in ("csv", "md", "tex")]


@dataclass(frozen=True)
class Figure:
    """A figure, either of the whole study or one per task.

    Attributes:
        name: file name without suffix; a task's figure appends the task.
        section: HTML id of the report's section that shows it.
        needs: lists its input files.
        caption: caption in the report, with ``{reference}`` and ``{task}``.
        per_task: whether each task has its own figure.
    """

    name: str
    section: str
    needs: Needs
    caption: str
    per_task: bool = False

    def by_task(self, layout: Layout) -> dict[str, Path]:
        """Map each task to its figure's file; a figure of the whole study has the task ``""``."""
        if not self.per_task:
            return {"": layout.figures / f"{self.name}.png"}
        return {task: layout.figures / f"{self.name}_{task}.png" for task in layout.params.tasks}

    def files(self, layout: Layout) -> list[Path]:
        """List its files."""
        return [*self.by_task(layout).values()]


def _metrics(layout: Layout) -> list[Path]:
    return [*map(layout.metrics, layout.runs())]


def _logs(layout: Layout) -> list[Path]:
    return [*map(layout.log, layout.runs())]


def _measured(verb: str) -> Needs:
    return lambda layout: [layout.measurement(verb, task) for task in layout.params.tasks]


def _shown(layout: Layout) -> list[Path]:
    """List the checkpoints of the first seed, and the manifest of the scenes to show."""
    runs = [run for run in layout.runs() if run.seed == layout.params.seeds[0]]
    return [*map(layout.checkpoint, runs), layout.manifest]


TABLES = (
    Table("main", "table", _metrics, of_runs=True),
    Table("all_metrics", "all", _metrics, of_runs=True),
    Table("gap", "gap", _measured("gap")),
    Table("probes", "probes", _measured("probes")),
    Table("cost", "cost", _measured("cost")),
)
"""Made in `dejavu.reporting.numbers`, by name."""

FIGURES = (
    Figure(
        "paired_differences",
        "table",
        _metrics,
        "Differences to {reference}, paired by seed: one dot per seed, the mean, and its interval. "
        "The shaded side is the better one.",
    ),
    Figure(
        "training_curves",
        "training",
        _logs,
        "Task loss and regeneration loss by training step: seeds thin, their mean thick.",
    ),
    Figure(
        "gap",
        "gap",
        _measured("gap"),
        "Oracle gap of each redaction; those that a method uses have the method's colour.",
    ),
    Figure(
        "qualitative",
        "scenes",
        _shown,
        "Scenes with their predictions and errors, {task}.",
        per_task=True,
    ),
)
"""Drawn in `dejavu.reporting.figures`, by name."""


def exhibit_of(layout: Layout, path: Path) -> Table | Figure | None:
    """Find the table or figure that a file belongs to.

    Args:
        layout: the study.
        path: relative to the repository, as the layout names it.
    """
    exhibits: tuple[Table | Figure, ...] = (*TABLES, *FIGURES)
    return next((one for one in exhibits if path in one.files(layout)), None)


def measured(layout: Layout) -> list[Path]:
    """List every metrics file and log that tables, figures and the report are made from."""
    needed = [path for table in TABLES for path in table.needs(layout)]
    return [*dict.fromkeys([*needed, *_logs(layout)])]
