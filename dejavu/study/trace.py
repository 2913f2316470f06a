"""The origin of a number: its result, the sources and records behind it, and disagreements."""

import csv
import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel

from dejavu.datasets.reading.manifest import MANIFEST, file_sha256, read_manifest
from dejavu.runtime.errors import DejaVuError
from dejavu.runtime.strict_json import number_or_nan, read_json
from dejavu.study.exhibits import TABLES, Table, exhibit_of
from dejavu.study.jobs import Job, job_of
from dejavu.study.layout import Layout
from dejavu.study.record import Execution, Record, read_record
from dejavu.study.run import Run

State = Literal["as recorded", "changed since it was recorded", "not recorded", "missing"]
_TOLERANCE = 1e-9
"""Relative; tables are written with ten significant digits."""


class Value(BaseModel, frozen=True):
    """The value of one metric in a metrics file."""

    metric: str
    unit: str
    value: float


class Cell(BaseModel, frozen=True):
    """A table's cell: the mean over the runs of a task, network and method.

    Attributes:
        mean: mean in the table; NaN if undefined.
        n: number of averaged values, according to the table.
        values: values in the available metrics files, by path.
    """

    task: str
    network: str
    method: str
    metric: str
    unit: str
    mean: float
    n: int
    values: dict[str, float]


class Source(BaseModel, frozen=True):
    """A result with its sources.

    Attributes:
        path: the file, relative to the repository.
        sha256: its current checksum; None if it is missing.
        state: state of the file compared with its record.
        recorded_in: path of its record.
        record: its record; None if there is none.
        hashes: the hashes that current params and code give.
        run: hash of the run named in a metrics file; None for other files.
        values: values in a metrics file.
        fingerprints: for the data's manifest, SHA-256 of the images with the ground truth of a
            task, by split and task.
        sources: the results that it was made from.
    """

    path: str
    sha256: str | None
    state: State
    recorded_in: str
    record: Record | None
    hashes: dict[str, str]
    run: str | None = None
    values: list[Value] = []
    fingerprints: dict[str, dict[str, str]] = {}
    sources: list["Source"] = []


class Explanation(BaseModel, frozen=True):
    """The origin of a result.

    Attributes:
        result: the file, with its sources.
        cells: for a table of runs, the selected cells.
        disagreements: one sentence each.
    """

    result: Source
    cells: list[Cell]
    disagreements: list[str]


def study_of(path: Path) -> str:
    """Return the study that a file belongs to, from its path.

    Raises:
        DejaVuError: results are not in such a folder.

    Example:
        >>> study_of(Path("results/default/tables/main.csv"))
        'default'
    """
    if len(path.parts) < 3 or path.parts[0] not in ("results", "data"):
        raise DejaVuError(
            f"{path}: not a result; results are in results/STUDY/ and data/STUDY/ of the "
            "repository; call this from its top folder"
        )
    return path.parts[1]


def explain(layout: Layout, path: Path, only: dict[str, str] | None = None) -> Explanation:
    """Trace a result to its sources.

    Args:
        layout: its study.
        path: the file, relative to the repository.
        only: selects cells of a table of runs by values of its columns task, network, method and
            metric.

    Raises:
        ParamsError: the file belongs to a run that the study lacks.
        DejaVuError: the file is not a result, is missing without a record, or is a table without
            such columns or cells.
    """
    only, tracer = only or {}, _Tracer(layout)
    table = exhibit_of(layout, path)
    if isinstance(table, Table) and table.of_runs:
        runs = _chosen(layout, only)
        result = tracer.source(path, [layout.metrics(run) for run in runs])
        cells = _cells(layout, path.with_suffix(".csv"), runs, only, tracer.known)
    elif only:
        of_runs = " and ".join(table.name for table in TABLES if table.of_runs)
        raise DejaVuError(f"{path}: only the tables {of_runs} have cells to select")
    else:
        result, cells = tracer.source(path), []
    if result.sha256 is None and result.record is None:
        raise DejaVuError(f"{path}: missing and not recorded; make it first (`snakemake`)")
    known = tracer.known
    return Explanation(
        result=result,
        cells=cells,
        disagreements=[*_disagreements(known), *_wrong_means(cells), *_mixed(known)],
    )


class _Tracer:
    """Reads every result once, however many others were made from it."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self.known: dict[Path, Source] = {}

    def source(self, path: Path, inputs: Sequence[Path] | None = None) -> Source:
        """Describe a file, made from ``inputs``, or by default from everything that it needs."""
        if path not in self.known:
            job, exhibit = job_of(self._layout, path), exhibit_of(self._layout, path)
            needed = exhibit.needs(self._layout) if exhibit else job.inputs
            of = needed if inputs is None else inputs
            self.known[path] = _describe(path, job, [self.source(one) for one in of])
        return self.known[path]


def _describe(path: Path, job: Job, sources: list[Source]) -> Source:
    record = read_record(job.record)
    sha256 = file_sha256(path) if path.is_file() else None
    recorded = record.outputs.get(path.as_posix()) if record else None
    state: State = "as recorded" if sha256 == recorded else "changed since it was recorded"
    if sha256 is None or recorded is None:
        state = "missing" if sha256 is None else "not recorded"
    source = Source(
        path=path.as_posix(),
        sha256=sha256,
        state=state,
        recorded_in=job.record.as_posix(),
        record=record,
        hashes=job.hashes,
        sources=sources,
    )
    if job.verb == "evaluate" and sha256:
        return source.model_copy(update=_metrics(path))
    if path.name == MANIFEST and state == "as recorded":
        splits = read_manifest(path.parent).splits
        fingerprints = {name: split.fingerprints for name, split in splits.items()}
        return source.model_copy(update={"fingerprints": fingerprints})
    return source


def _metrics(path: Path) -> dict[str, Any]:
    """Read the run and the values of a metrics file."""
    try:
        tree = read_json(path)
        rows = [(row["name"], row["unit"], row["value"]) for row in tree["metrics"]]
        values = [Value(metric=m, unit=unit, value=number_or_nan(v)) for m, unit, v in rows]
        return {"run": tree["run"], "values": values}
    except (ValueError, KeyError, TypeError) as error:
        raise DejaVuError(f"{path}: not a metrics file ({error!r}); make it again") from None


def _chosen(layout: Layout, only: dict[str, str]) -> list[Run]:
    """List the runs that the selected cells average."""
    wanted = {column: value for column, value in only.items() if column != "metric"}
    runs = [r for r in layout.runs() if all(getattr(r, k) == v for k, v in wanted.items())]
    if not runs:
        p = layout.params
        raise DejaVuError(
            f"no run is of {', '.join(f'{k} {v}' for k, v in wanted.items())}; the study has tasks "
            f"{', '.join(p.tasks)}, networks {', '.join(p.networks)}, methods "
            f"{', '.join(p.methods)}"
        )
    return runs


def _cells(
    layout: Layout, table: Path, runs: list[Run], only: dict[str, str], known: dict[Path, Source]
) -> list[Cell]:
    """Read the chosen cells of a table, each with the values of its runs' metrics files."""
    if not table.is_file():
        if "metric" in only:
            raise DejaVuError(f"{table}: missing, so no metric of it can be selected")
        return []
    try:
        with table.open(encoding="utf-8", newline="") as file:
            rows = [*csv.DictReader(file)]
        chosen = [row for row in rows if all(row[k] == value for k, value in only.items())]
        cells = [_cell(layout, row, runs, known) for row in chosen]
        metrics = dict.fromkeys(row["metric"] for row in rows if _is_of(row, runs))
    except (KeyError, TypeError, ValueError, csv.Error) as error:
        raise DejaVuError(
            f"{table}: not a table of this version ({error!r}); make it again"
        ) from None
    if not cells:
        selected = ", ".join(f"{column} {value}" for column, value in only.items())
        selected = selected or "any run of the study"
        raise DejaVuError(f"{table}: has no cell of {selected}; its metrics: {', '.join(metrics)}")
    return cells


def _cell(layout: Layout, row: dict[str, str], runs: list[Run], known: dict[Path, Source]) -> Cell:
    sources = [known[layout.metrics(run)] for run in runs if _is_of(row, [run])]
    values = {
        source.path: value.value
        for source in sources
        for value in source.values
        if value.metric == row["metric"]
    }
    return Cell(
        task=row["task"],
        network=row["network"],
        method=row["method"],
        metric=row["metric"],
        unit=row["unit"],
        mean=float(row["mean"] or math.nan),
        n=int(row["n"]),
        values=values,
    )


def _is_of(row: dict[str, str], runs: list[Run]) -> bool:
    """Whether a table's row belongs to one of the runs."""
    labels = row["task"], row["network"], row["method"]
    return any((run.task, run.network, run.method) == labels for run in runs)


def _disagreements(known: dict[Path, Source]) -> Iterator[str]:
    """Report files that differ from their records, or from current params, code or inputs."""
    for source in known.values():
        record, path = source.record, source.path
        if source.state in ("not recorded", "changed since it was recorded"):
            yield f"{path}: {source.state} ({source.recorded_in})"
        current = source.hashes
        found = record.hashes if record else current | ({"run": source.run} if source.run else {})
        for name in (name for name in current if found.get(name) != current[name]):
            yield (
                f"{path}: stale: {name} {found.get(name)}, but current params and code give "
                f"{current[name]}"
            )
        for name, sha256 in record.inputs.items() if record else ():
            now = known.get(Path(name))
            if now and sha256 != (_recorded(now) or now.sha256 or sha256):
                yield f"{path}: built from an older version of {name}"
        if record and record.execution is None:
            yield f"{path}: found in the store, without a record of its training"


def _recorded(source: Source) -> str | None:
    return source.record.outputs.get(source.path) if source.record else None


def _wrong_means(cells: list[Cell]) -> Iterator[str]:
    for cell in cells:
        where = f"{cell.task} {cell.network} {cell.method} {cell.metric}"
        values = [*cell.values.values()]
        if len(values) != cell.n:
            yield f"{where}: the table averages {cell.n} values, but {len(values)} are available"
            continue
        mean = math.fsum(values) / len(values)
        both_undefined = math.isnan(mean) and math.isnan(cell.mean)
        if not (both_undefined or math.isclose(mean, cell.mean, rel_tol=_TOLERANCE)):
            yield f"{where}: the table has {cell.mean}, but the mean of its values is {mean}"


_ASPECTS: dict[str, Callable[[Execution], str]] = {
    "commit": lambda e: e.code.commit,
    "number of processes": lambda e: str(e.processes),
    "machine": lambda e: ", ".join([e.hardware.processor, *e.hardware.gpus]),
    "set of package versions": lambda e: ", ".join(f"{k} {v}" for k, v in e.versions.items()),
}


def _mixed(known: dict[Path, Source]) -> Iterator[str]:
    """Report results of one kind made by different code or on different machines."""
    records = {s.recorded_in: s.record for s in known.values() if s.record}
    executions: dict[str, list[Execution]] = {}
    for record in records.values():
        if record.execution:
            executions.setdefault(record.verb, []).append(record.execution)
    for verb, made in executions.items():
        for aspect, read in _ASPECTS.items():
            counts = Counter(map(read, made))
            if len(counts) > 1:
                listed = "; ".join(f"{count} with {value}" for value, count in counts.most_common())
                yield f"{verb}: made with more than one {aspect}: {listed}"
        if dirty := sum(bool(one.code.dirty) for one in made):
            yield f"{verb}: {dirty} of {len(made)} made with uncommitted code or params"
