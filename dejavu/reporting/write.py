"""Write a study's tables, figures and report from its metrics files and logs."""

from pathlib import Path

from pandas import DataFrame

from dejavu.config import Params
from dejavu.config.generated import DEFAULT_STUDY, render_params
from dejavu.reporting.figures import DRAW, save
from dejavu.reporting.findings import headline, verdicts
from dejavu.reporting.formats import write_csv, write_table
from dejavu.reporting.numbers import numbers_of, tables_of
from dejavu.reporting.report import Content, write_report
from dejavu.reporting.tables import Design, summarise
from dejavu.runtime.files import write_text
from dejavu.runtime.strict_json import write_json
from dejavu.study.exhibits import FIGURES
from dejavu.study.layout import Layout


def write_tables(layout: Layout) -> Path:
    """Write every table of the study as CSV, Markdown and LaTeX; return their folder.

    Raises:
        DejaVuError: a metrics file is missing or damaged, or two cannot be compared.
    """
    numbers, metrics, folder = numbers_of(layout), layout.results / "metrics", layout.tables
    tables, summary = tables_of(numbers), summarise(numbers.all_metrics)
    write_csv(numbers.runs.frame, layout.scores)
    write_csv(numbers.curves, metrics / "curves.csv")
    write_json(metrics / "summary.json", summary)
    write_text(folder / "findings.md", _findings(numbers.main, numbers.design))
    for frame, table in tables.values():
        write_table(frame, table, folder)
    return folder


def _findings(main: DataFrame, compared: Design) -> str:
    found = verdicts(main, compared)
    lines = [headline(found, compared, int(main["n"].min())), ""]
    return "\n".join(lines + [f"- {verdict.text}" for verdict in found]) + "\n"


def draw_figures(layout: Layout) -> Path:
    """Draw every figure of the study; return their folder.

    Raises:
        DejaVuError: a metrics file, a checkpoint or the data is missing or damaged.
    """
    numbers = numbers_of(layout)
    for figure in FIGURES:
        for task, path in figure.by_task(layout).items():
            save(DRAW[figure.name](numbers, layout, task), path)
    return layout.figures


def write_study_report(layout: Layout) -> Path:
    """Write the study's report, one self-contained page; return its path.

    Raises:
        DejaVuError: a metrics file or a figure is missing or damaged.
    """
    content = Content(
        numbers=numbers_of(layout),
        figures={figure.name: figure.by_task(layout) for figure in FIGURES},
        params=render_params(layout.params),
        commands=[_command(layout.params)],
    )
    write_report(content, layout.report)
    return layout.report


def _command(params: Params) -> str:
    """Return the command that reproduces a study."""
    if params.study == DEFAULT_STUDY["study"]:
        return "make reproduce"
    root = "" if params.data.is_rooms else " --config root=DIR"
    return f"snakemake --cores all --configfile params/{params.study}.yaml{root}"
