"""A study's metrics files and logs in; its tables, figures and report out."""

import json
from pathlib import Path

from pandas import DataFrame

from dejavu.config import Params
from dejavu.config.generated import DEFAULT_STUDY, render_params
from dejavu.reporting.figures import (
    draw_gap,
    draw_paired_differences,
    draw_qualitative,
    draw_training_curves,
    save,
)
from dejavu.reporting.formats import write_csv, write_table
from dejavu.reporting.readable import (
    readable_all_metrics,
    readable_cost,
    readable_gap,
    readable_main,
    readable_probes,
)
from dejavu.reporting.report import FIGURES, Content, write_report
from dejavu.reporting.sources import (
    Measured,
    Runs,
    collect_costs,
    collect_curves,
    collect_gaps,
    collect_probes,
    collect_runs,
)
from dejavu.reporting.tables import Design, all_metrics_table, main_table, summarise
from dejavu.reporting.wording import headline, verdicts
from dejavu.runtime.files import write_text
from dejavu.study.layout import Layout


def design(params: Params) -> Design:
    """What the study compares, in the order of its params."""
    return Design(
        tasks=params.tasks,
        networks=[*params.networks],
        methods=[*params.methods],
        reference=params.report.reference,
        confidence=params.report.confidence,
    )


def write_tables(layout: Layout) -> Path:
    """Write every table of the study as CSV, Markdown and LaTeX; return their folder.

    Raises:
        DejaVuError: a metrics file is missing or damaged, or two may not stand in one table.
    """
    compared, metrics, folder = design(layout.params), layout.results / "metrics", layout.tables
    runs, gaps, probes, costs = _runs(layout), _gaps(layout), _probes(layout), _costs(layout)
    main, every = main_table(runs, compared), all_metrics_table(runs, compared)
    write_csv(runs.frame, metrics / "runs.csv")
    write_csv(collect_curves(map(layout.log, layout.runs())), metrics / "curves.csv")
    write_text(metrics / "summary.json", json.dumps(summarise(every), indent=1) + "\n")
    write_text(folder / "findings.md", _findings(main, compared))
    write_table(main, readable_main(main, runs, compared), folder)
    write_table(every, readable_all_metrics(every, runs, compared), folder)
    write_table(gaps.frame, readable_gap(gaps, compared), folder)
    write_table(probes.frame, readable_probes(probes, compared), folder)
    write_table(costs.frame, readable_cost(costs, compared), folder)
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
    from dejavu.reporting.qualitative import qualitative_rows  # needs torch, which tables do not

    compared = design(layout.params)
    curves = collect_curves(map(layout.log, layout.runs()))
    save(draw_paired_differences(_runs(layout), compared), layout.figure("paired_differences"))
    save(draw_training_curves(curves, compared), layout.figure("training_curves"))
    save(draw_gap(_gaps(layout), compared), layout.figure("gap"))
    for task in compared.tasks:
        save(draw_qualitative(qualitative_rows(layout, task)), _sheet(layout, task))
    return layout.figure("gap").parent


def write_study_report(layout: Layout) -> Path:
    """Write the study's report, one self-contained page; return its path.

    Raises:
        DejaVuError: a metrics file or a figure is missing or damaged.
    """
    compared, path = design(layout.params), layout.results / "report.html"
    content = Content(
        design=compared,
        runs=_runs(layout),
        gap=_gaps(layout),
        probes=_probes(layout),
        cost=_costs(layout),
        figures={name: layout.figure(name) for name in FIGURES},
        sheets={task: _sheet(layout, task) for task in compared.tasks},
        params=render_params(layout.params),
        commands=[_command(layout.params)],
    )
    write_report(content, path)
    return path


def _command(params: Params) -> str:
    """What to type to make a study again."""
    if params.study == DEFAULT_STUDY["study"]:
        return "make reproduce"
    root = "" if params.data.is_rooms else " --config root=DIR"
    return f"snakemake --cores all --configfile params/{params.study}.yaml{root}"


def _runs(layout: Layout) -> Runs:
    return collect_runs(map(layout.metrics, layout.runs()))


def _gaps(layout: Layout) -> Measured:
    return collect_gaps(map(layout.gap, layout.params.tasks))


def _probes(layout: Layout) -> Measured:
    return collect_probes(map(layout.probes, layout.params.tasks))


def _costs(layout: Layout) -> Measured:
    return collect_costs(map(layout.cost, layout.params.tasks))


def _sheet(layout: Layout, task: str) -> Path:
    return layout.figure(f"qualitative_{task}")
