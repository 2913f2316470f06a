"""Provenance: records of jobs, and ``why RESULT``, the tree of a result's origin."""

import os
import sys
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dejavu.runtime.strict_json import to_json

if TYPE_CHECKING:
    from rich.tree import Tree

    from dejavu.study.layout import Layout
    from dejavu.study.record import Execution, Record, Recording
    from dejavu.study.run import Run
    from dejavu.study.trace import Cell, Source

_SHOWN = 12
"""Printed characters of a checksum."""
_UNLIMITED = 100_000
"""Line width outside a terminal."""


def recorded(
    verb: str, layout: "Layout", of: "Run | str | None" = None
) -> AbstractContextManager["Recording"]:
    """Record the job of a verb, on the study or on one run, task or split, while it runs.

    Raises:
        DataError: the job reads a text pair that was trained with other params or code. Only its
            record can tell: the pair's file holds no hash.
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
        typer.Option(help="The study's params; by default params/STUDY.yaml.", metavar="FILE"),
    ] = None,
    task: Annotated[str | None, typer.Option(help="Only this task's cells of a table.")] = None,
    network: Annotated[str | None, typer.Option(help="Only this network's cells.")] = None,
    method: Annotated[str | None, typer.Option(help="Only this method's cells.")] = None,
    metric: Annotated[str | None, typer.Option(help="Only this metric's cells.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")] = False,
) -> None:
    """Trace a result to its values, runs, checkpoints and data; list all disagreements."""
    from rich.console import Console

    from dejavu.config import load_params
    from dejavu.study.layout import Layout
    from dejavu.study.trace import explain, study_of

    path = Path(os.path.relpath(result))
    layout = Layout(load_params(params or Path("params", f"{study_of(path)}.yaml")))
    chosen = {"task": task, "network": network, "method": method, "metric": metric}
    found = explain(layout, path, {column: value for column, value in chosen.items() if value})
    if as_json:
        typer.echo(found.model_dump_json(indent=1))
        return
    # Long lines are wrapped in a terminal, but not in a file.
    width = None if sys.stdout.isatty() else _UNLIMITED
    console = Console(highlight=False, markup=False, width=width)
    console.print(_tree(found.result, found.cells))
    for line in found.disagreements:
        console.print(f"disagreement: {line}")
    if not found.disagreements:
        console.print("no disagreements")


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
    """Add a source and, the first time, its own sources."""
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
    fix = ""
    if source.state == "missing":
        fix = ": dvc pull, or git checkout" if source.record else " and not recorded"
    return f"{source.path}{sha256}, {source.state}{fix}"


def _describe(branch: "Tree", source: "Source", shown: set[str]) -> None:
    """Add how a result was made, once per record."""
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
    if "study" in record.params:  # the whole study: too long to print
        return lines
    return lines + [f"{name}: {to_json(value)}" for name, value in record.params.items()]


def _made_on(made: "Execution", shown: set[str]) -> list[str]:
    dirty = ", with uncommitted changes" if made.code.dirty else ""
    together = f", {made.processes} processes" if made.processes > 1 else ""
    hardware = made.hardware
    machine = [hardware.processor, f"{hardware.cores} cores", *hardware.gpus, hardware.system]
    versions = ", ".join(f"{name} {version}" for name, version in made.versions.items())
    where = f"on {', '.join(machine)}, with {versions}"
    lines = [
        f"commit {made.code.commit}{dirty}",
        f"started {made.started:%Y-%m-%d %H:%M:%S} UTC, took {made.seconds:.1f} s{together}",
        "on the machine and with the versions above" if where in shown else where,
    ]
    shown.add(where)
    return lines
