"""Verbs on a whole study: params, code hashes, tables, figures and reports."""

from pathlib import Path
from typing import Annotated

import typer

from dejavu.cli.options import DEFAULT, ParamsOption, progress_bar, read_layout
from dejavu.cli.provenance import recorded
from dejavu.runtime.errors import DejaVuError


def show_params(
    params: ParamsOption = DEFAULT,
    write: Annotated[
        bool, typer.Option(help="Regenerate the default study, the schema and the reference.")
    ] = False,
) -> None:
    """Check a params file and print its runs with their hashes."""
    from dejavu.config.generated import generated_files
    from dejavu.runtime.files import write_text

    for path, text in generated_files().items() if write else ():
        write_text(path, text)
        typer.echo(f"wrote {path}")
    for run in () if write else read_layout(params).runs():
        typer.echo(f"{run.hash}  {run.task} {run.network} {run.method} seed {run.seed}")


def phases(
    write: Annotated[bool, typer.Option(help="Regenerate the file.")] = False,
) -> None:
    """Check that workflow/phases.json, on which DVC's stages depend, matches the code."""
    from dejavu.runtime.files import write_text
    from dejavu.study.phase_codes import PHASES_FILE, render_codes

    text = render_codes(read_layout(DEFAULT).params)
    if write:
        write_text(PHASES_FILE, text)
        typer.echo(f"wrote {PHASES_FILE}")
    elif not PHASES_FILE.is_file() or PHASES_FILE.read_text(encoding="utf-8") != text:
        raise DejaVuError(
            f"{PHASES_FILE}: does not match the code, so DVC would take stale results for current "
            "ones; regenerate it: python -m dejavu phases --write. If the code change does not "
            "change results, adopt them first: python -m dejavu adopt"
        )
    else:
        typer.echo(f"{PHASES_FILE}: matches the code")


def tables(params: ParamsOption = DEFAULT) -> None:
    """Write the study's tables; print the main one and the findings."""
    from dejavu.reporting.write import write_tables

    layout = read_layout(params)
    with recorded("tables", layout):
        folder = write_tables(layout)
    for name in ("main.md", "findings.md"):
        typer.echo((folder / name).read_text(encoding="utf-8"))


def figures(params: ParamsOption = DEFAULT) -> None:
    """Draw the study's figures."""
    from dejavu.reporting.write import draw_figures

    layout = read_layout(params)
    with recorded("figures", layout):
        folder = draw_figures(layout)
    typer.echo(f"drew {folder}")


def report(params: ParamsOption = DEFAULT) -> None:
    """Write the study's report: one self-contained page."""
    from dejavu.reporting.write import write_study_report

    layout = read_layout(params)
    with recorded("report", layout):
        path = write_study_report(layout)
    typer.echo(f"wrote {path}")


def readme(params: ParamsOption = DEFAULT) -> None:
    """Write the study's headline and paired differences into README.md."""
    from dejavu.reporting.readme import render_readme
    from dejavu.runtime.files import write_text

    path = Path("README.md")
    write_text(path, render_readme(path.read_text(encoding="utf-8"), read_layout(params)))
    typer.echo(f"wrote {path}")


def gallery(
    output: Annotated[Path, typer.Option(help="Folder to write to.")] = Path("docs"),
    steps: Annotated[
        int, typer.Option(min=1, help="Training steps of each regeneration module.")
    ] = 500,
) -> None:
    """Draw every redaction, its spectrum and its regeneration, on photographs and rooms."""
    from dejavu.reporting.gallery import draw_gallery

    with progress_bar("gallery") as step:
        drawn = draw_gallery(output, steps, step)
    for path in drawn:
        typer.echo(f"drew {path}")
