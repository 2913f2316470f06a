"""The jobs of a study: what each verb makes, of what, and where that is recorded.

They are those of the workflow's rules. Nothing here imports torch.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dejavu.config import needs_text_pair
from dejavu.runtime.errors import DejaVuError
from dejavu.study.exhibits import FIGURES, TABLES, measured
from dejavu.study.layout import Layout
from dejavu.study.phases import (
    cost_hash,
    data_hash,
    evaluation_hash,
    gap_hash,
    probes_hash,
    report_hash,
    text_pair_hash,
)
from dejavu.study.run import Run


@dataclass(frozen=True)
class Job:
    """One call of a verb.

    Attributes:
        study: name of the study.
        verb: of ``python -m dejavu``; ``data`` for what prepares the data.
        record: file of its record.
        params: the fields that decide what it makes.
        hashes: hashes of those fields and of the code that reads them, by name.
        inputs: files that it reads; of prepared data the manifest, which holds the checksums.
        outputs: files that it writes.
    """

    study: str
    verb: str
    record: Path
    params: dict[str, Any]
    hashes: dict[str, str]
    inputs: tuple[Path, ...]
    outputs: tuple[Path, ...]


def prepare_data(layout: Layout) -> Job:
    """Rendering the rooms, or checking data that is read in place."""
    p = layout.params
    fields = {"data": p.data.identity(), "tasks": p.tasks}
    outputs = [*layout.splits, layout.manifest]
    return _job(layout, "data", None, fields, {"data": data_hash(p)}, [], outputs)


def cache_data(layout: Layout, split: str) -> Job:
    """Decoding a split of data that is read in place."""
    fields, hashes = {"data": layout.params.data.identity()}, {"data": data_hash(layout.params)}
    inputs = [layout.split(split), layout.manifest]
    return _job(layout, "cache", split, fields, hashes, inputs, [layout.cache(split)])


def train_text_pair(layout: Layout) -> Job:
    """Training the image-text pair that stands in for CLIP."""
    p = layout.params
    fields = {"data": p.data.identity(), "text_pair": p.text_pair.model_dump(mode="json")}
    hashes, outputs = {"text_pair": text_pair_hash(p)}, [layout.text_pair, layout.text_pair_metrics]
    return _job(layout, "text_pair", None, fields, hashes, [layout.manifest], outputs)


def train(layout: Layout, run: Run) -> Job:
    """Training a run."""
    pair = [layout.text_pair] if needs_text_pair(layout.params.methods[run.method]) else []
    inputs, outputs = [layout.manifest, *pair], [layout.checkpoint(run), layout.log(run)]
    return _job(layout, "train", run, run.identity(), {"run": run.hash}, inputs, outputs)


def evaluate(layout: Layout, run: Run) -> Job:
    """Scoring a run."""
    fields = {"evaluation": layout.params.evaluation.model_dump(mode="json")}
    hashes = {"run": run.hash, "evaluation": evaluation_hash(layout.params, run.task)}
    inputs = [layout.checkpoint(run), layout.manifest]
    return _job(layout, "evaluate", run, fields, hashes, inputs, [layout.metrics(run)])


def measure_gap(layout: Layout, task: str) -> Job:
    """Measuring a task's oracle gaps."""
    hashes, output = {"gap": gap_hash(layout.params, task)}, layout.gap(task)
    return _job(layout, "gap", task, _study(layout), hashes, [layout.manifest], [output])


def measure_probes(layout: Layout, task: str) -> Job:
    """Probing a task's methods."""
    hashes, output = {"probes": probes_hash(layout.params, task)}, layout.probes(task)
    inputs = [*map(layout.checkpoint, layout.probed(task)), layout.manifest]
    return _job(layout, "probes", task, _study(layout), hashes, inputs, [output])


def measure_cost(layout: Layout, task: str) -> Job:
    """Measuring what a task's methods cost."""
    hashes, output = {"cost": cost_hash(layout.params, task)}, layout.cost(task)
    pair = [layout.text_pair] if layout.params.uses_text_pair else []
    inputs = [*pair, layout.manifest]
    return _job(layout, "cost", task, _study(layout), hashes, inputs, [output])


def write_tables(layout: Layout) -> Job:
    """Writing the tables."""
    metrics, folder = layout.results / "metrics", layout.tables
    files = [path for table in TABLES for path in table.files(layout)]
    summaries = [metrics / name for name in ("runs.csv", "curves.csv", "summary.json")]
    outputs = [*files, folder / "findings.md", *summaries]
    return _reporting(layout, "tables", measured(layout), outputs)


def draw_figures(layout: Layout) -> Job:
    """Drawing the figures."""
    needed = [path for figure in FIGURES for path in figure.needs(layout)]
    inputs = [*dict.fromkeys([*measured(layout), *needed])]
    return _reporting(layout, "figures", inputs, _figures(layout))


def write_report(layout: Layout) -> Job:
    """Writing the report."""
    inputs = [*measured(layout), *_figures(layout)]
    return _reporting(layout, "report", inputs, [layout.report])


JOBS: dict[str, Callable[..., Job]] = {
    "data": prepare_data,
    "cache": cache_data,
    "text_pair": train_text_pair,
    "train": train,
    "evaluate": evaluate,
    "gap": measure_gap,
    "probes": measure_probes,
    "cost": measure_cost,
    "tables": write_tables,
    "figures": draw_figures,
    "report": write_report,
}
"""What describes a verb's job, of the study and of the run, task or split that it is about."""


def job_of(layout: Layout, path: Path) -> Job:
    """Find the job that makes a file.

    Args:
        layout: the study.
        path: relative to the repository, as the layout names it.

    Raises:
        ParamsError: the file is of a run that the study does not have.
        DejaVuError: no job of the study makes it.
    """
    job = _find(layout, path)
    if job is None or path not in job.outputs:
        raise DejaVuError(
            f"{path}: no result of study {layout.params.study}; results are its prepared data, "
            f"checkpoints, metrics, tables, figures and report.html in {layout.results}"
        )
    return job


def _find(layout: Layout, path: Path) -> Job | None:
    """Return the job that makes such files as ``path`` is, by its folder."""
    match path.parts[2:]:
        case ("cache", split) if path.parts[0] == "data":
            return cache_data(layout, Path(split).stem)
        case (_,) if path.parts[0] == "data":
            return prepare_data(layout)
        case ("checkpoints" | "metrics", "text_pair.safetensors" | "text_pair.json"):
            return train_text_pair(layout)
        case ("checkpoints", task, network, method, file):
            return train(layout, _run(layout, task, network, method, file))
        case ("metrics", "runs", task, network, method, file):
            return evaluate(layout, _run(layout, task, network, method, file))
        case ("metrics", "gap" | "probes" | "cost" as verb, file) if _is_task(layout, file):
            return JOBS[verb](layout, Path(file).stem)
        case ("metrics" | "tables", _):
            return write_tables(layout)
        case ("figures", _):
            return draw_figures(layout)
        case ("report.html",):
            return write_report(layout)
    return None


def _run(layout: Layout, task: str, network: str, method: str, file: str) -> Run:
    seed = Path(file).stem.removeprefix("seed")
    if not seed.isdecimal():
        raise DejaVuError(f"{file}: a run's files are named seedK, such as seed0.json")
    return Run(layout.params, task, network, method, int(seed))


def _is_task(layout: Layout, file: str) -> bool:
    return Path(file).stem in layout.params.tasks


def _study(layout: Layout) -> dict[str, Any]:
    return layout.params.model_dump(mode="json")


def _figures(layout: Layout) -> list[Path]:
    return [path for figure in FIGURES for path in figure.files(layout)]


def _reporting(layout: Layout, verb: str, inputs: list[Path], outputs: list[Path]) -> Job:
    hashes = {"report": report_hash(layout.params)}
    return _job(layout, verb, None, _study(layout), hashes, inputs, outputs)


def _job(
    layout: Layout,
    verb: str,
    of: Run | str | None,
    params: dict[str, Any],
    hashes: dict[str, str],
    inputs: list[Path],
    outputs: list[Path],
) -> Job:
    record, study = layout.record(verb, of), layout.params.study
    return Job(study, verb, record, params, hashes, tuple(inputs), tuple(outputs))
