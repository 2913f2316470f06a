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
        committed_scores,
        committed_text,
        compare_scores,
        describe_comparison,
        parse_scores,
        read_scores,
    )

    layout = read_layout(params)
    if committed_text(params) != params.read_text(encoding="utf-8"):
        typer.echo(f"{params}: no commit of this tree has this file as it is: nothing to compare")
        return
    found = read_scores(layout.scores)
    if found == committed_text(layout.scores):
        typer.echo(f"{layout.scores}: the same bytes as the committed file")
        return
    spread = committed_text(layout.spread)
    if spread is None:
        raise DejaVuError(
            f"{layout.scores}: differs from the committed file. Whether only the processor differs "
            f"cannot be said: no spread was measured for this study ({layout.spread})"
        )
    compared = compare_scores(
        parse_scores(found, layout.scores),
        committed_scores(layout.scores),
        parse_scores(spread, layout.spread),
    )
    for line in describe_comparison(compared):
        typer.echo(line)
    recorded = " dvc.lock" if params == DEFAULT else ""
    typer.echo(f"restore the committed files: git restore {layout.results}{recorded}")
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
    from dejavu.reporting.reproduction import committed_scores, measure_spread

    layout = read_layout(params)
    files = [*map(layout.metrics, layout.runs())]
    frames = [collect_runs([folder / file for file in files]).frame for folder in reruns]
    write_csv(measure_spread(committed_scores(layout.scores), frames), layout.spread)
    typer.echo(f"wrote {layout.spread}")
