"""``adopt``: keep results whose code has changed, where the change computes the same."""

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
    """Keep a study's results after a change of code that computes the same.

    The recorded commit's code and the present code both train the first and the last steps of
    every run, evaluate, and measure gap, probes and cost, on this machine. All that they compute
    must be equal, byte for byte, times apart. Then results/STUDY/adopted.json maps the present
    hashes to the recorded ones; checkpoints keep their bytes and tables their numbers.

    It cannot see what these steps do not reach: a branch that is taken only in the middle of a
    run, on other data, on a GPU, or with several processes. The last steps start from the state
    after the first ones. Commit the code first; the recorded commits and package versions are
    needed.
    """
    from dejavu.study.adoption.adopt import adopt as adopt_results

    counts = adopt_results(Path(params), steps)
    if not counts:
        typer.echo(
            "nothing to adopt: every recorded result has the hash of present params and code"
        )
    for verb, count in counts.items():
        typer.echo(f"adopted {count} x {verb}")
