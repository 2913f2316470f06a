"""Verbs that hold a study's scores against the committed ones."""

from pathlib import Path
from typing import Annotated

import typer

from dejavu.cli.options import DEFAULT, ParamsOption, read_layout
from dejavu.runtime.errors import DejaVuError


def compare(params: ParamsOption = DEFAULT) -> None:
    """Compare the study's scores with the committed ones: are they within the spread?

    Every mean over seeds must lie within the measured spread between processors (results/STUDY/
    spread.csv).
    """
    from dejavu.reporting.reproduction import (
        committed_text,
        compare_scores,
        describe_comparison,
        has_commit,
        parse_scores,
        read_scores,
    )

    layout = read_layout(params)
    if not has_commit():
        typer.echo("no commit of this tree can be read: nothing to compare")
        return
    if committed_text(params) != params.read_text(encoding="utf-8"):
        typer.echo(
            f"{params}: differs from the committed file, so the committed results are another "
            "study's: nothing to compare"
        )
        return
    found = read_scores(layout.scores)
    committed = committed_text(layout.scores)
    if found == committed:
        typer.echo(f"{layout.scores}: the same bytes as the committed file")
        return
    spread = parse_scores(committed_text(layout.spread), layout.spread)
    compared = compare_scores(
        parse_scores(found, layout.scores), parse_scores(committed, layout.scores), spread
    )
    for line in describe_comparison(compared):
        typer.echo(line)
    typer.echo(f"restore the committed files: git restore {layout.results}")
    if not compared["within"].all():
        raise DejaVuError(
            f"{layout.scores}: farther from the committed scores than another processor explains: "
            "code, params, data or packages differ"
        )


def spread(
    reruns: Annotated[
        list[Path],
        typer.Argument(help="Copies of the tree, with the scores of a rerun.", metavar="FOLDER..."),
    ],
    params: ParamsOption = DEFAULT,
) -> None:
    """Measure the spread between processors from reruns of the study (see `make spread`)."""
    from dejavu.reporting.collect import collect_runs
    from dejavu.reporting.formats import write_csv
    from dejavu.reporting.reproduction import committed_text, measure_spread, parse_scores

    layout = read_layout(params)
    files = [*map(layout.metrics, layout.runs())]
    frames = [collect_runs([folder / file for file in files]).frame for folder in reruns]
    committed = parse_scores(committed_text(layout.scores), layout.scores)
    write_csv(measure_spread(committed, frames), layout.spread)
    typer.echo(f"wrote {layout.spread}")
