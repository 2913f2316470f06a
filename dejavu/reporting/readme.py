"""The answer of a study for README.md: one sentence and one small table."""

from typing import Any

import pandas as pd

from dejavu.reporting.findings import outcome_of
from dejavu.reporting.formats import Section, Table, to_markdown
from dejavu.reporting.labels import difference_text, metric_header
from dejavu.reporting.numbers import design
from dejavu.reporting.tables import Design, records
from dejavu.runtime.errors import DejaVuError
from dejavu.study.layout import Layout

README_BEGIN, README_END = "<!-- answer: written by `make readme` -->\n", "<!-- end -->\n"


def render_readme(readme: str, layout: Layout) -> str:
    """Put the study's headline and its paired differences between the README's two markers.

    Both come from the study's tables: ``findings.md`` and ``main.csv``.

    Args:
        readme: text of README.md.
        layout: paths of the study.

    Returns:
        The text with a new part between the markers.

    Raises:
        DejaVuError: the README lacks the markers.
    """
    before, begin, rest = readme.partition(README_BEGIN)
    _, end, after = rest.partition(README_END)
    if not (begin and end):
        raise DejaVuError(f"README.md: must contain the lines {README_BEGIN!r} and {README_END!r}")
    headline = (layout.tables / "findings.md").read_text(encoding="utf-8").partition("\n")[0]
    table = answer_table(pd.read_csv(layout.tables / "main.csv"), design(layout.params))
    return f"{before}{begin}\n{headline}\n\n{to_markdown(table)}\n{end}{after}"


def answer_table(main: pd.DataFrame, compared: Design) -> Table:
    """Lay out the paired differences: a row per task, network and method.

    Args:
        main: the main table, with a task's primary metric before its boundary metric.
        compared: the study's design.
    """
    treated = main[main["method"] != compared.reference]
    rows = []
    for cell, group in treated.groupby(["task", "network", "method"], sort=False):
        task, network, method = map(str, cell)
        primary, boundary = records(group)
        label = method if len(compared.networks) == 1 else f"{method} on {network}"
        rows.append([task, label, _cell(primary), _cell(boundary), str(primary["n"])])
    return Table(
        name="answer",
        caption=f"Mean difference to {compared.reference}, paired by seed, with its "
        f"{100 * compared.confidence:g} % Student-t interval:",
        sections=[Section(["task", "method", "primary metric", "boundary metric", "n"], rows)],
        text_columns=4,
        notes=["↑ higher is better, ↓ lower is better; differences of percentages are in points."],
    )


def _cell(row: dict[str, Any]) -> str:
    unit, higher = row["unit"], row["higher_is_better"]
    difference = row["delta"], row["delta_low"], row["delta_high"]
    outcome = outcome_of(*difference, higher)
    mark = f" {outcome}" if outcome in ("better", "worse") else ""
    header = metric_header(row["metric"], unit, higher)
    return f"{header}: {difference_text(*difference, unit)}{mark}"
