"""The table of jobs: the inputs, outputs, params and code of each verb.

The workflow's rules, the records and `dejavu.study.trace` read it. Nothing here imports torch.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from dejavu.config import Params, needs_text_pair
from dejavu.runtime.errors import DejaVuError, ParamsError
from dejavu.study.exhibits import FIGURES, TABLES, measured
from dejavu.study.layout import SPLITS, AnyRun, Layout
from dejavu.study.measurements import MEASUREMENTS, Measurement
from dejavu.study.phases import data_hash, evaluation_hash, report_hash, text_pair_hash
from dejavu.study.run import Run

Of = TypeVar("Of", bound=Run | str | None)
Files = dict[str, list[Path]]


@dataclass(frozen=True)
class Job:
    """One call of a verb.

    Attributes:
        study: name of the study.
        verb: verb of ``python -m dejavu``; ``data`` for the preparation of data.
        record: file of its record.
        params: the fields that decide its result.
        hashes: hashes of those fields and of the code that reads them, by name.
        inputs: files that it reads; for prepared data the manifest, which holds the checksums.
        outputs: files that it writes.
    """

    study: str
    verb: str
    record: Path
    params: dict[str, Any]
    hashes: dict[str, str]
    inputs: tuple[Path, ...]
    outputs: tuple[Path, ...]


@dataclass(frozen=True)
class Subject(Generic[Of]):
    """The subject of a verb's jobs: each run, task or split of a study, or the whole study.

    Attributes:
        wildcard: placeholder for a subject in patterns of paths.
        every: lists the subjects of a study.
        named: finds the subject for wildcards' values; raises ParamsError if the study lacks it.
    """

    wildcard: Any
    every: Callable[[Layout], Iterable[Of]]
    named: Callable[[Layout, Mapping[str, str]], Of]


@dataclass(frozen=True)
class Kind(Generic[Of]):
    """A row of the table: the jobs of one verb.

    Attributes:
        verb: verb of ``python -m dejavu``; ``data`` for the preparation of data.
        of: the subject of its jobs.
        params: the fields that decide a job's result.
        hashes: hashes of those fields and of the code that reads them, by name.
        inputs: files that a job reads; for prepared data the manifest, which holds the checksums.
        outputs: files that a job writes, by name.
        splits: splits of the data that a job reads in addition to the manifest.
        wanted: whether a study has such jobs.
    """

    verb: str
    of: Subject[Of]
    params: Callable[[Params, Of], dict[str, Any]]
    hashes: Mapping[str, Callable[[Params, Of], str]]
    inputs: Callable[[Layout, Of], list[Path]]
    outputs: Callable[[Layout, Of], Files]
    splits: Callable[[Params], Sequence[str]] = lambda _: ()
    wanted: Callable[[Params], bool] = lambda _: True

    def every(self, layout: Layout) -> Iterable[Of]:
        """List the subjects of the study's jobs of this verb."""
        return self.of.every(layout) if self.wanted(layout.params) else ()

    def job(self, layout: Layout, of: Of) -> Job:
        """Describe the job of a run, a task or a split, or of the study (None)."""
        params = layout.params
        return Job(
            params.study,
            self.verb,
            layout.record(self.verb, of),
            self.params(params, of),
            {name: made(params, of) for name, made in self.hashes.items()},
            tuple(self.inputs(layout, of)),
            tuple(_flat(self.outputs(layout, of))),
        )

    def reads(self, layout: Layout, of: Of) -> list[Path]:
        """List all files that a job reads, including data."""
        data = [path for name in self.splits(layout.params) for path in layout.split_files(name)]
        return [*self.inputs(layout, of), *data]

    def writes(self, layout: Layout, of: Of) -> Files:
        """List all files that a job writes, by name: its outputs and its record."""
        return self.outputs(layout, of) | {"record": [layout.record(self.verb, of)]}

    def patterns(self, layout: Layout) -> Files:
        """List all files that its jobs write, with wildcards such as ``{study}`` and ``{task}``."""
        return self.writes(layout.pattern, self.of.wildcard)


def _run(layout: Layout, found: Mapping[str, str]) -> Run:
    task, network, method = found["task"], found["network"], found["method"]
    return Run(layout.params, task, network, method, int(found["seed"]))


def _known(field: str, name: str, known: Sequence[str]) -> str:
    if name not in known:
        raise ParamsError(f"{field}: the study has no {name!r}; it has: {', '.join(known)}")
    return name


STUDY: Subject[None] = Subject(None, lambda _: [None], lambda *_: None)
SPLIT: Subject[str] = Subject(
    "{split}",
    lambda layout: layout.cached,
    lambda _, found: _known("splits", found["split"], SPLITS),
)
TASK: Subject[str] = Subject(
    "{task}",
    lambda layout: layout.params.tasks,
    lambda layout, found: _known("tasks", found["task"], layout.params.tasks),
)
RUN: Subject[Run] = Subject(AnyRun(), Layout.runs, _run)


def _identity(params: Params) -> dict[str, Any]:
    return {"data": params.data.identity()}


def _whole(params: Params, _: str | None) -> dict[str, Any]:
    return params.model_dump(mode="json")


def _measurement(one: Measurement) -> Kind[str]:
    return Kind[str](
        one.verb,
        TASK,
        params=_whole,
        hashes={one.verb: one.hash},
        inputs=lambda layout, task: [*one.inputs(layout, task), layout.manifest],
        outputs=lambda layout, task: {one.verb: [layout.measurement(one.verb, task)]},
        splits=lambda _: one.splits,
    )


_REPORT: dict[str, Callable[[Params, None], str]] = {"report": lambda p, _: report_hash(p)}

_KINDS: tuple[Kind[Any], ...] = (
    # Renders the rooms, or checks data that is read in place.
    Kind[None](
        "data",
        STUDY,
        params=lambda p, _: _identity(p) | {"tasks": p.tasks},
        hashes={"data": lambda p, _: data_hash(p)},
        inputs=lambda *_: [],
        outputs=lambda layout, _: {"splits": layout.splits, "manifest": [layout.manifest]},
    ),
    # Decodes a split of data that is read in place.
    Kind[str](
        "cache",
        SPLIT,
        params=lambda p, _: _identity(p),
        hashes={"data": lambda p, _: data_hash(p)},
        inputs=lambda layout, split: [layout.split(split), layout.manifest],
        outputs=lambda layout, split: {"cache": [layout.cache(split)]},
    ),
    # Trains the image-text pair that stands in for CLIP.
    Kind[None](
        "text_pair",
        STUDY,
        params=lambda p, _: _identity(p) | {"text_pair": p.text_pair.model_dump(mode="json")},
        hashes={"text_pair": lambda p, _: text_pair_hash(p)},
        inputs=lambda layout, _: [layout.manifest],
        outputs=lambda layout, _: {
            "checkpoint": [layout.text_pair],
            "metrics": [layout.text_pair_metrics],
        },
        splits=lambda _: ("train", "val"),
        wanted=lambda p: p.uses_text_pair,
    ),
    Kind[Run](
        "train",
        RUN,
        params=lambda _, run: run.identity(),
        hashes={"run": lambda _, run: run.hash},
        inputs=lambda layout, run: [
            layout.manifest,
            *([layout.text_pair] if needs_text_pair(layout.params.methods[run.method]) else []),
        ],
        outputs=lambda layout, run: {
            "checkpoint": [layout.checkpoint(run)],
            "log": [layout.log(run)],
        },
        splits=lambda _: ("train",),
    ),
    # Scores a run.
    Kind[Run](
        "evaluate",
        RUN,
        params=lambda p, _: {"evaluation": p.evaluation.model_dump(mode="json")},
        hashes={
            "run": lambda _, run: run.hash,
            "evaluation": lambda p, run: evaluation_hash(p, run.task),
        },
        inputs=lambda layout, run: [layout.checkpoint(run), layout.manifest],
        outputs=lambda layout, run: {"metrics": [layout.metrics(run)]},
        splits=lambda p: (p.evaluation.split,),
    ),
    *map(_measurement, MEASUREMENTS),
    Kind[None](
        "tables",
        STUDY,
        params=_whole,
        hashes=_REPORT,
        inputs=lambda layout, _: measured(layout),
        outputs=lambda layout, _: _tables(layout),
    ),
    Kind[None](
        "figures",
        STUDY,
        params=_whole,
        hashes=_REPORT,
        inputs=lambda layout, _: _drawn_from(layout),
        outputs=lambda layout, _: _figures(layout),
        splits=lambda p: (p.evaluation.split,),
    ),
    Kind[None](
        "report",
        STUDY,
        params=_whole,
        hashes=_REPORT,
        inputs=lambda layout, _: [*measured(layout), *_flat(_figures(layout))],
        outputs=lambda layout, _: {"report": [layout.report]},
    ),
)
JOBS = {kind.verb: kind for kind in _KINDS}
"""The table: the kind of job of each verb, in the order in which they run."""


def every_job(layout: Layout) -> Iterator[Job]:
    """Yield the jobs of a study, in the order in which they run."""
    for kind in JOBS.values():
        for of in kind.every(layout):
            yield kind.job(layout, of)


def job_of(layout: Layout, path: Path) -> Job:
    """Find the job that makes a file.

    Args:
        layout: the study.
        path: relative to the repository, as the layout names it.

    Raises:
        ParamsError: the file belongs to a run, task or split that the study lacks.
        DejaVuError: no job of the study makes it.
    """
    for kind in JOBS.values():
        for pattern in _flat(kind.outputs(layout, kind.of.wildcard)):
            if found := re.fullmatch(_expression(pattern), path.as_posix()):
                return kind.job(layout, kind.of.named(layout, found.groupdict()))
    raise DejaVuError(
        f"{path}: no result of study {layout.params.study}; results are its prepared data, "
        f"checkpoints, metrics, tables, figures and report.html in {layout.results}, in "
        "TASK/NETWORK/METHOD/seedK for a run"
    )


def _expression(pattern: Path) -> str:
    """Turn a path with wildcards into a regular expression with a named group for each."""
    text = re.escape(pattern.as_posix()).replace(r"\{seed\}", r"(?P<seed>[0-9]+)")
    return re.sub(r"\\\{(\w+)\\\}", r"(?P<\1>[^/]+)", text)


def _tables(layout: Layout) -> Files:
    """List the outputs of the tables' job: the tables, and their numbers for programs."""
    csv, *others = [path for table in TABLES for path in table.files(layout)]
    metrics = layout.results / "metrics"
    return {
        "main": [csv],
        "others": [*others, layout.tables / "findings.md"],
        "numbers": [layout.scores, metrics / "curves.csv", metrics / "summary.json"],
    }


def _figures(layout: Layout) -> Files:
    """List the figures: charts, and the sheets of single scenes, one per task."""
    charts = [path for figure in FIGURES if not figure.per_task for path in figure.files(layout)]
    sheets = [path for figure in FIGURES if figure.per_task for path in figure.files(layout)]
    return {"charts": charts, "sheets": sheets}


def _drawn_from(layout: Layout) -> list[Path]:
    needed = [path for figure in FIGURES for path in figure.needs(layout)]
    return [*dict.fromkeys([*measured(layout), *needed])]


def _flat(files: Files) -> list[Path]:
    return [path for listed in files.values() for path in listed]
