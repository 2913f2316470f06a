"""Measure how planning, DVC and the index scale; write planning.md and planning.json."""

import argparse
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from itertools import groupby
from pathlib import Path

from safetensors.numpy import save

from benchmarks.processes import Growth, MeasurementError, measure
from benchmarks.report import describe_machine
from benchmarks.storage import index_rows, version_rows
from dejavu.config import Params, parse_params
from dejavu.config.generated import DEFAULT_STUDY, render_params
from dejavu.datasets.reading.manifest import file_sha256
from dejavu.runtime.strict_json import to_json, write_json
from dejavu.study.jobs import Job, every_job
from dejavu.study.layout import Layout
from dejavu.study.record import Record

ROOT = Path(__file__).parents[1]
SHAPES = {6: (1, 2, 1), 108: (2, 6, 3), 1008: (4, 12, 7), 10080: (8, 42, 10)}
"""Number of networks, methods and seeds, by number of runs (of three tasks)."""

_WORKFLOW = ("Snakefile", "workflow", "profiles", "dejavu")
# The executor of --touch sleeps a tenth of a second per job, which would only cost time.
_TOUCH = (
    "import sys; from snakemake.executors.touch import Executor; Executor.SLEEPING_TIME = 0;"
    " from snakemake.cli import main; sys.exit(main(sys.argv[1:]))"
)
_LARGEST_MADE = 1008
"""Runs of the largest study to mark as made: `--touch` takes half an hour for 10,080 runs."""
_PLAN = (sys.executable, "-m", "snakemake", "--cores", "2", "-n")


def study(runs: int, more_seeds: int = 0) -> Params:
    """Make a study with a given number of runs, all different.

    Args:
        runs: a key of ``SHAPES``.
        more_seeds: number of additional seeds.

    Example:
        >>> params = study(108)
        >>> len(params.tasks) * len(params.networks) * len(params.methods) * len(params.seeds)
        108
    """
    networks, methods, seeds = SHAPES[runs]
    spatial = DEFAULT_STUDY["methods"]["dejavu-spatial"]["dejavu"]
    varied = {
        f"keep{index}": {
            "dejavu": spatial | {"redaction": spatial["redaction"] | {"keep": index / methods}}
        }
        for index in range(1, methods)
    }
    changes = {
        "study": f"runs{runs}",
        "networks": {
            f"fpn{width}": {"architecture": "feature_pyramid", "width": width}
            for width in range(8, 8 + networks)
        },
        "methods": {"baseline": {}} | varied,
        "seeds": [*range(seeds + more_seeds)],
    }
    return parse_params(DEFAULT_STUDY | changes, f"study of {runs} runs")


def planning_rows(runs: int) -> Iterator[Growth]:
    """Measure planning with no output made and, unless the study is too large, with all made."""
    params = study(runs)
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder)
        for name in _WORKFLOW:
            copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
            copy(ROOT / name, tree / name)
        file = tree / "params" / f"{params.study}.yaml"
        file.parent.mkdir()
        file.write_text(render_params(params), encoding="utf-8")
        given = ("--configfile", str(file.relative_to(tree)))

        def row(subject: str, expected: str, *command: str) -> Growth:
            output, cost = measure(tree, *command)
            if not re.search(expected, output):
                raise MeasurementError(
                    f"{' '.join(command)}: no {expected!r} in its output:\n{output[-2000:]}"
                )
            return Growth("Planning", subject, runs, cost)

        hashes = (sys.executable, "-m", "dejavu", "params", "--params", given[1])
        yield row("params and run hashes alone", "seed 0", *hashes)
        yield row("`snakemake -n`, nothing made", rf"train +{runs}\n", *_PLAN, *given)
        if runs > _LARGEST_MADE:
            return
        made = _make(tree, Layout(params), given)
        yield row("`snakemake -n`, all made", "Nothing to be done", *_PLAN, *given)
        _give_new_times(made)
        yield row("`snakemake -n`, all times new", "Nothing to be done", *_PLAN, *given)
        longer = study(runs, more_seeds=1)
        file.write_text(render_params(longer), encoding="utf-8")
        added = sum(1 for _ in Layout(longer).runs()) - runs
        yield row("`snakemake -n`, a seed added", rf"train +{added}\n", *_PLAN, *given)
        records = [path for path in (tree / ".snakemake/metadata").rglob("*") if path.is_file()]
        size = sum(path.stat().st_size for path in records)
        yield Growth("Snakemake's records", "files", runs, amount=len(records))
        yield Growth("Snakemake's records", "bytes", runs, amount=size)


def _make(tree: Path, layout: Layout, given: tuple[str, str]) -> list[Path]:
    """Write a small file for every output, record the jobs, and tell Snakemake that it made all."""
    snakemake = (sys.executable, "-m", "snakemake", "--cores", "2")
    summary, _ = measure(tree, *snakemake, "--summary", *given)
    cells = [line.split("\t") for line in summary.splitlines()]
    made = [tree / row[0] for row in cells if len(row) > 1 and row[0] != "output_file"]
    for path in made:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(path.name, encoding="utf-8")
    for job in every_job(layout):
        _record(tree, job)
    touch = (sys.executable, "-c", _TOUCH, "--cores", "2")
    measure(tree, *touch, "--touch", "--forceall", *given)
    return made


def _record(tree: Path, job: Job) -> None:
    """Write the record of a job whose files lie in a tree; planning reads it."""
    if job.verb == "train":  # planning reads whose weights a checkpoint holds
        weights = tree / job.outputs[0]
        weights.write_bytes(save({}, {"dejavu": to_json({"run": job.hashes["run"]})}))
    digests = {path.as_posix(): file_sha256(tree / path) for path in (*job.inputs, *job.outputs)}
    record = Record(
        study=job.study,
        verb=job.verb,
        params=job.params,
        hashes=job.hashes,
        execution=None,
        inputs={path.as_posix(): digests[path.as_posix()] for path in job.inputs},
        outputs={path.as_posix(): digests[path.as_posix()] for path in job.outputs},
    )
    (tree / job.record).write_text(record.model_dump_json(), encoding="utf-8")


def _give_new_times(made: Sequence[Path]) -> None:
    """Set modification times in an order that contradicts the graph, as `dvc pull` may."""
    latest = max(path.stat().st_mtime for path in made)
    for index, path in enumerate(sorted(made, reverse=True)):
        os.utime(path, (latest + index, latest + index))


def write_planning(rows: Sequence[Growth], folder: Path) -> None:
    """Write ``planning.md`` and ``planning.json``."""
    machine = describe_machine() | {"cores": os.cpu_count()}
    result = {"machine": machine, "rows": [asdict(row) for row in rows]}
    write_json(folder / "planning.json", result)
    lines = [
        "# Growth",
        "",
        "Generated by `python -m benchmarks.planning`. Each command ran once, in its own process;",
        "about one second is start-up of Python and the tools. Compare CPU times if the machine is",
        "shared. For conclusions, see [Scaling](../docs/scaling.md).",
        "",
        f"Machine: {', '.join(f'{key} {value}' for key, value in machine.items())}.",
    ]
    for section, group in groupby(rows, lambda row: row.section):
        lines += ["", f"## {section}", "", "| | count | wall s | CPU s | peak MiB | amount |"]
        lines += ["| --- | ---: | ---: | ---: | ---: | ---: |", *(row.line() for row in group)]
    (folder / "planning.md").write_text("\n".join(lines) + "\n", encoding="utf-8")


def _count(text: str) -> int:
    if (count := int(text)) < 1:
        raise argparse.ArgumentTypeError(f"must be 1 or more, got {count}")
    return count


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the measurements from the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.planning", description=__doc__)
    parser.add_argument("--runs", type=int, nargs="*", choices=SHAPES, default=[108, 1008, 10080])
    parser.add_argument("--files", type=_count, nargs="*", default=[1000, 10_000])
    parser.add_argument("--images", type=_count, nargs="*", default=[100_000, 1_000_000])
    parser.add_argument("--output", type=Path, default=Path(__file__).parent, metavar="FOLDER")
    options = parser.parse_args(arguments)
    options.output.mkdir(parents=True, exist_ok=True)  # fail before measuring, not after
    rows: list[Growth] = []
    parts = (
        (planning_rows, options.runs),
        (version_rows, options.files),
        (index_rows, options.images),
    )
    for part, counts in parts:
        measured = [row for count in counts for row in part(count)]
        rows += sorted(measured, key=lambda row: row.section)  # sorted is stable
    write_planning(rows, options.output)
    print((options.output / "planning.md").read_text(encoding="utf-8"), end="")


if __name__ == "__main__":
    main()
