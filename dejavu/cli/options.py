"""What the verbs of the command line share: their options, and a line of progress."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from dejavu.runtime.progress import Progress

ParamsOption = Annotated[
    Path, typer.Option("--params", help="The study: a complete params file.", metavar="FILE")
]
TaskOption = Annotated[str, typer.Option(help="A task of the study.")]
NetworkOption = Annotated[str, typer.Option(help="A network of the study, by its label.")]
MethodOption = Annotated[str, typer.Option(help="A method of the study, by its label.")]
SeedOption = Annotated[int, typer.Option(help="A seed of the study.")]
ExpectOption = Annotated[
    str | None,
    typer.Option(help="Stop unless the run has this hash: the rules pass what they planned."),
]
RootOption = Annotated[
    Path | None,
    typer.Option(
        help="Folder of the data set; else DEJAVU_ROOT names it, or it is data/raw/NAME.",
        metavar="DIR",
    ),
]
DEFAULT = Path("params/default.yaml")


@contextmanager
def progress_bar(title: str) -> Iterator["Progress"]:
    """A live line for a person at a terminal; nothing in a log file, nor from another process."""
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
