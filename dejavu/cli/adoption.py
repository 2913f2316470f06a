"""``adopt``: keep results after a code change that does not change them."""

from pathlib import Path
from typing import Annotated

import typer

from dejavu.cli.options import DEFAULT, ParamsOption


def adopt(
    params: ParamsOption = DEFAULT,
    steps: Annotated[
        int, typer.Option(min=1, help="Training steps compared at each end of a run.")
    ] = 3,
) -> None:
    """Keep a study's results after a code change that does not change them.

    On this machine, the recorded commit's code and the current code each train the first and the
    last steps of every run, evaluate, and measure gap, probes and cost. All their results except
    times must be equal, byte for byte. Then results/STUDY/adopted.json maps the current hashes to
    the recorded ones; checkpoints keep their bytes and tables their numbers.

    The comparison misses code that these steps do not reach: a branch taken only in the middle of
    a run, on other data, on a GPU, or with several processes. The last steps start from the state
    after the first ones. Commit the code first; the recorded commits and package versions must be
    available.
    """
    from dejavu.study.adoption.adopt import adopt as adopt_results

    counts = adopt_results(Path(params), steps)
    if not counts:
        typer.echo("nothing to adopt: all recorded results match the current params and code")
    for verb, count in counts.items():
        typer.echo(f"adopted {count} x {verb}")
