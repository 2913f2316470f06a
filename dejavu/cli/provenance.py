"""Records around the verbs' work, and ``why RESULT``: where a number came from, as a tree."""

import json
import os
import sys
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.tree import Tree

    from dejavu.study.layout import Layout
    from dejavu.study.record import Execution, Record, Recording
    from dejavu.study.run import Run
    from dejavu.study.trace import Cell, Source

_SHOWN = 12
"""Characters of a checksum that a person reads."""
_UNLIMITED = 100_000
"""Characters of a line."""


def recorded(
    verb: str, layout: "Layout", of: "Run | str | None" = None
) -> AbstractContextManager["Recording"]:
    """Record how a verb's results are made, while they are: of a run, a task or a split, or all.

    Raises:
        DataError: it reads an image-text pair that is not that of the params and the code of now.
            Nothing else would notice: the pair's own file does not say what trained it.
    """
    from dejavu.study import record as provenance
    from dejavu.study.jobs import JOBS

    job = JOBS[verb].job(layout, of)
    if layout.text_pair in job.inputs:
        provenance.require_current(
            JOBS["text_pair"].job(layout, None),
            "python -m dejavu text-pair, with the same --params",
        )
    return provenance.recorded(job)


def why(
    result: Annotated[Path, typer.Argument(help="A table, metrics file, checkpoint, figure, ...")],
    params: Annotated[
        Path | None,
        typer.Option(help="The study's params; params/STUDY.yaml if left out.", metavar="FILE"),
    ] = None,
    task: Annotated[str | None, typer.Option(help="Only this task's cells of a table.")] = None,
    network: Annotated[str | None, typer.Option(help="Only this network's cells.")] = None,
    method: Annotated[str | None, typer.Option(help="Only this method's cells.")] = None,
    metric: Annotated[str | None, typer.Option(help="Only this metric's cells.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")] = False,
) -> None:
    """Say where a result came from: values, runs, checkpoints, data; and what does not agree."""
    from rich.console import Console

    from dejavu.config import load_params
    from dejavu.study.layout import Layout
    from dejavu.study.trace import explain, study_of

    path = Path(os.path.relpath(result))
    layout = Layout(load_params(params or Path("params", f"{study_of(path)}.yaml")))
    asked = {"task": task, "network": network, "method": method, "metric": metric}
    found = explain(layout, path, {column: value for column, value in asked.items() if value})
    if as_json:
        typer.echo(found.model_dump_json(indent=1))
        return
    # A terminal wraps what is too long for it; a file has it whole.
    width = None if sys.stdout.isatty() else _UNLIMITED
    console = Console(highlight=False, markup=False, width=width)
    console.print(_tree(found.result, found.cells))
    for line in found.disagreements:
        console.print(f"does not agree: {line}")
    if not found.disagreements:
        console.print("all that is here agrees")


def _tree(result: "Source", cells: "list[Cell]") -> "Tree":
    from rich.tree import Tree

    tree = Tree(_title(result))
    shown: set[str] = set()
    _describe(tree, result, shown)
    for cell in cells:
        values = ", ".join(f"{value:.6g}" for value in cell.values.values())
        tree.add(
            f"{cell.task} {cell.network} {cell.method} {cell.metric}: {cell.mean:.6g} {cell.unit}, "
            f"the mean of {cell.n}: {values}"
        )
    for value in result.values:
        tree.add(f"{value.metric}: {value.value:.6g} {value.unit}")
    wanted = {cell.metric for cell in cells}
    for source in result.sources:
        _add(tree, source, shown, wanted)
    return tree


def _add(tree: "Tree", source: "Source", shown: set[str], metrics: set[str]) -> None:
    """Add a source and, the first time, what is below it."""
    if source.path in shown:
        tree.add(f"{_title(source)} (above)")
        return
    shown.add(source.path)
    values = [f"{v.metric} {v.value:.6g} {v.unit}" for v in source.values if v.metric in metrics]
    branch = tree.add(": ".join([_title(source), *filter(None, [", ".join(values)])]))
    _describe(branch, source, shown)
    for one in source.sources:
        _add(branch, one, shown, metrics)


def _title(source: "Source") -> str:
    sha256 = f", sha256 {source.sha256[:_SHOWN]}" if source.sha256 else ""
    mend = ""
    if source.state == "not here":
        mend = ": dvc pull, or git checkout" if source.record else ", nor recorded"
    return f"{source.path}{sha256}, {source.state}{mend}"


def _describe(branch: "Tree", source: "Source", shown: set[str]) -> None:
    """Say how a result was made, once for all results of one record."""
    if source.record and source.recorded_in not in shown:
        shown.add(source.recorded_in)
        for line in _made_by(source.record):
            branch.add(line)
        for line in _made_on(source.record.execution, shown) if source.record.execution else ():
            branch.add(line)
    for split, by_task in source.fingerprints.items():
        listed = ", ".join(f"{task} {sha256[:_SHOWN]}" for task, sha256 in by_task.items())
        branch.add(f"fingerprints of {split}: {listed}")


def _made_by(record: "Record") -> list[str]:
    hashes = ", ".join(f"{name} {value}" for name, value in record.hashes.items())
    lines = [f"made by {record.verb}: {hashes}"]
    if "study" in record.params:  # a whole study is better read in its file
        return lines
    return lines + [f"{name}: {json.dumps(value)}" for name, value in record.params.items()]


def _made_on(made: "Execution", shown: set[str]) -> list[str]:
    dirty = ", with changes that are in no commit" if made.code.dirty else ""
    together = f", {made.processes} processes together" if made.processes > 1 else ""
    hardware = made.hardware
    machine = [hardware.processor, f"{hardware.cores} cores", *hardware.gpus, hardware.system]
    versions = ", ".join(f"{name} {version}" for name, version in made.versions.items())
    where = f"on {', '.join(machine)}, with {versions}"
    lines = [
        f"commit {made.code.commit}{dirty}",
        f"started {made.started:%Y-%m-%d %H:%M:%S} UTC, took {made.seconds:.1f} s{together}",
        "on a machine and with versions that are told above" if where in shown else where,
    ]
    shown.add(where)
    return lines
