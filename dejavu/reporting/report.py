"""The report for people: one HTML file that needs nothing else."""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from dejavu.reporting.readable import (
    protocol_lines,
    readable_all_metrics,
    readable_cost,
    readable_gap,
    readable_main,
    readable_probes,
)
from dejavu.reporting.sources import Measured, Runs
from dejavu.reporting.tables import Design, all_metrics_table, main_table
from dejavu.reporting.wording import (
    Verdict,
    cost_sentences,
    gap_sentences,
    headline,
    probe_sentences,
    verdicts,
)
from dejavu.runtime.errors import DejaVuError
from dejavu.runtime.files import write_text

FIGURES = ("paired_differences", "training_curves", "gap")
"""Figures that every report shows, by the name of their file."""

_ENVIRONMENT = Environment(
    loader=FileSystemLoader(Path(__file__).parent),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,
)


@dataclass(frozen=True)
class Content:
    """Everything that a report shows.

    Attributes:
        design: what the study compares.
        runs: its scored runs.
        gap: its oracle gaps.
        probes: its probes.
        cost: its costs.
        figures: PNG file of each of ``FIGURES``.
        sheets: PNG file of the qualitative sheet of each task, in order.
        params: the study's params file as text.
        commands: what to type to make the study again, a line each.
    """

    design: Design
    runs: Runs
    gap: Measured
    probes: Measured
    cost: Measured
    figures: Mapping[str, Path]
    sheets: Mapping[str, Path]
    params: str
    commands: Sequence[str]


def write_report(content: Content, path: Path) -> None:
    """Write the report: the same content gives the same bytes.

    Args:
        content: what to show.
        path: HTML file to write. Pictures and style are inside; it loads nothing and runs nothing.

    Raises:
        DejaVuError: runs cannot be compared (see `main_table`), or a figure is missing.
    """
    design, runs = content.design, content.runs
    main = main_table(runs, design)
    found = verdicts(main, design)
    every = readable_all_metrics(all_metrics_table(runs, design), runs, design)
    text = _ENVIRONMENT.get_template("report.html.j2").render(
        study=runs.study,
        dataset=str(runs.frame["dataset"].iloc[0]),
        design=design,
        headline=headline(found, design, int(main["n"].min())),
        accuracy=_of(found, {t: p.primary for t, p in runs.protocols.items()}),
        boundary=_of(found, {t: p.boundary for t, p in runs.protocols.items()}),
        gap_sentences=gap_sentences(content.gap, design),
        probe_sentences=probe_sentences(content.probes, design),
        cost_sentences=cost_sentences(content.cost, design),
        main=readable_main(main, runs, design),
        gap=readable_gap(content.gap, design),
        probes=readable_probes(content.probes, design),
        cost=readable_cost(content.cost, design),
        all_metrics=every,
        protocol=protocol_lines(runs, design),
        figures={name: _data_url(content.figures[name]) for name in FIGURES},
        sheets={task: _data_url(file) for task, file in content.sheets.items()},
        params=content.params,
        commands=content.commands,
    )
    write_text(path, text)


def _of(found: Sequence[Verdict], metrics: Mapping[str, str]) -> list[Verdict]:
    """Pick the verdicts about one metric per task."""
    return [verdict for verdict in found if metrics[verdict.task] == verdict.metric]


def _data_url(path: Path) -> str:
    try:
        encoded = base64.b64encode(path.read_bytes()).decode("ascii")
    except OSError as error:
        raise DejaVuError(f"{path}: cannot be read ({error}); draw the figures first") from None
    return f"data:image/png;base64,{encoded}"
