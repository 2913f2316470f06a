"""The report: one self-contained HTML file."""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from dejavu.reporting.findings import (
    Verdict,
    cost_sentences,
    gap_sentences,
    headline,
    probe_sentences,
    verdicts,
)
from dejavu.reporting.formats import Table
from dejavu.reporting.numbers import Numbers, tables_of
from dejavu.reporting.text_tables import protocol_lines
from dejavu.runtime.errors import DejaVuError
from dejavu.runtime.files import write_text
from dejavu.study.exhibits import FIGURES, TABLES

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
    """The content of a report.

    Attributes:
        numbers: the study's numbers.
        figures: PNG files by the figure's name in ``FIGURES``, then by task, in order; the task
            is empty for a figure of the whole study.
        params: the study's params file as text.
        commands: commands that reproduce the study, one per line.
    """

    numbers: Numbers
    figures: Mapping[str, Mapping[str, Path]]
    params: str
    commands: Sequence[str]


@dataclass(frozen=True)
class Picture:
    """A figure in the page: its task, or an empty text, its caption, and its PNG as a data URL."""

    task: str
    caption: str
    source: str


def write_report(content: Content, path: Path) -> None:
    """Write the report: the same content gives the same bytes.

    Args:
        content: content of the report.
        path: HTML file to write; it embeds pictures and style, and has no scripts.

    Raises:
        DejaVuError: runs cannot be compared (see `main_table`), or a figure is missing.
    """
    numbers = content.numbers
    design, runs, main = numbers.design, numbers.runs, numbers.main
    found = verdicts(main, design)
    text = _ENVIRONMENT.get_template("report.html.j2").render(
        study=runs.study,
        dataset=str(runs.frame["dataset"].iloc[0]),
        design=design,
        headline=headline(found, design, int(main["n"].min())),
        accuracy=_of(found, {t: p.primary for t, p in runs.protocols.items()}),
        boundary=_of(found, {t: p.boundary for t, p in runs.protocols.items()}),
        gap_sentences=gap_sentences(numbers.gaps, design),
        probe_sentences=probe_sentences(numbers.probes, design),
        cost_sentences=cost_sentences(numbers.costs, design),
        tables=_tables(numbers),
        pictures=_pictures(content),
        protocol=protocol_lines(runs, design),
        params=content.params,
        commands=content.commands,
    )
    write_text(path, text)


def _tables(numbers: Numbers) -> dict[str, list[Table]]:
    """List the tables of each section."""
    made, by_section = tables_of(numbers), dict[str, list[Table]]()
    for table in TABLES:
        by_section.setdefault(table.section, []).append(made[table.name][1])
    return by_section


def _pictures(content: Content) -> dict[str, list[Picture]]:
    """List the pictures of each section."""
    by_section = dict[str, list[Picture]]()
    for figure in FIGURES:
        for task, path in content.figures[figure.name].items():
            caption = figure.caption.format(reference=content.numbers.design.reference, task=task)
            picture = Picture(task, caption, _data_url(path))
            by_section.setdefault(figure.section, []).append(picture)
    return by_section


def _of(found: Sequence[Verdict], metrics: Mapping[str, str]) -> list[Verdict]:
    """Pick the verdicts about one metric per task."""
    return [verdict for verdict in found if metrics[verdict.task] == verdict.metric]


def _data_url(path: Path) -> str:
    try:
        encoded = base64.b64encode(path.read_bytes()).decode("ascii")
    except OSError as error:
        raise DejaVuError(f"{path}: cannot be read ({error}); draw the figures first") from None
    return f"data:image/png;base64,{encoded}"
