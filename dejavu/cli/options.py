"""Shared by the verbs: options, the study and run that they name, progress bar, metrics."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dejavu.runtime.errors import ParamsError

if TYPE_CHECKING:
    from dejavu.config import Params
    from dejavu.runtime.progress import Progress
    from dejavu.study.layout import Layout
    from dejavu.study.run import Run

ParamsOption = Annotated[
    Path, typer.Option("--params", help="The study: a complete params file.", metavar="FILE")
]
TaskOption = Annotated[str, typer.Option(help="A task of the study.")]
NetworkOption = Annotated[
    str | None, typer.Option(help="Label of a network; required if the study has several.")
]
MethodOption = Annotated[str, typer.Option(help="Label of a method of the study.")]
SeedOption = Annotated[int, typer.Option(help="A seed of the study.")]
ExpectOption = Annotated[
    str | None,
    typer.Option(help="Stop unless the run has this hash; set by the workflow."),
]
RootOption = Annotated[
    str | None,
    typer.Option(
        help="Folder of the data set; by default DEJAVU_ROOT, or data/raw/NAME.",
        metavar="DIR",
    ),
]
DEFAULT = Path("params/default.yaml")


def read_layout(path: Path) -> "Layout":
    """Read a params file; return the layout of its study's files."""
    from dejavu.config import load_params
    from dejavu.study.layout import Layout

    return Layout(load_params(path))


def read_run(
    path: Path,
    task: str,
    network: str | None,
    method: str,
    seed: int,
    expected_hash: str | None = None,
) -> tuple["Layout", "Run"]:
    """Read a params file and find one of its runs, as `find_run` does.

    Raises:
        ParamsError: the params are invalid, or have no such run, or its hash is not the expected
            one.
    """
    layout = read_layout(path)
    run = find_run(layout.params, task, network, method, seed)
    if expected_hash not in (None, run.hash):
        raise ParamsError(
            f"{path}: the run was planned with hash {expected_hash} but now has {run.hash}: params "
            "or code changed while the workflow ran; start it again"
        )
    return layout, run


def find_run(params: "Params", task: str, network: str | None, method: str, seed: int) -> "Run":
    """Find a run by its labels; ``network`` may be None if the study has only one.

    Raises:
        ParamsError: the study has no such run, or several networks and none is named.
    """
    from dejavu.study.run import Run

    if network is None:
        network, *others = params.networks
        if others:
            listed = ", ".join(params.networks)
            raise ParamsError(f"--network: is required, since the study has several: {listed}")
    return Run(params, task, network, method, seed)


def check_task(layout: "Layout", task: str) -> None:
    """Raise a ParamsError if the study does not have the task."""
    if task not in layout.params.tasks:
        raise ParamsError(f"tasks: the study has no {task!r}; it has: {layout.params.tasks}")


def print_metrics(result: dict[str, Any]) -> None:
    """Print the metrics of an evaluation, one a line."""
    for metric in result["metrics"]:
        typer.echo(f"{metric['name']:>18} {metric['value']:10.4f} {metric['unit']}")


@contextmanager
def progress_bar(title: str) -> Iterator["Progress"]:
    """Progress bar in a terminal; nothing in a log file, or from a process other than the first."""
    from rich.console import Console
    from rich.progress import Progress as Bar

    from dejavu.runtime.launch import is_first

    console = Console(stderr=True)
    shown = console.is_terminal and is_first()
    with Bar(console=console, disable=not shown, transient=True) as bar:
        line = bar.add_task(title, total=None)

        def step(done: int, total: int, note: str = "") -> None:
            bar.update(line, completed=done, total=total, description=f"{title} {note}")

        yield step
