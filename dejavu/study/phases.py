"""The hashes of a study's phases, of fields and code that change their results, only those."""

from typing import Any

from dejavu.config import Params
from dejavu.runtime.code_hash import PACKAGE
from dejavu.study.code import (
    data_modules,
    evaluation_modules,
    gap_modules,
    phase_code,
    reading_modules,
    report_modules,
)
from dejavu.study.hashing import phase_hash
from dejavu.study.run import Run, training_fields


def data_hash(params: Params) -> str:
    """Hash of what makes the study's prepared data, or checks what is read in place."""
    # Of data that is read in place, the tasks say what is read at all.
    fields = [params.data.identity(), None if params.data.is_rooms else params.tasks]
    return phase_hash(params.study, fields, phase_code(data_modules(params)))


def text_pair_hash(params: Params) -> str:
    """Hash of what trains the image-text pair that stands in for CLIP."""
    fields = [data_hash(params), params.text_pair.model_dump()]
    code = phase_code(["training.text_pair", *reading_modules(params)])
    return phase_hash(params.study, fields, code)


def evaluation_hash(params: Params, task: str) -> str:
    """Hash of what turns a task's checkpoints into metrics files."""
    fields = params.evaluation.model_dump()
    return phase_hash(params.study, fields, phase_code(evaluation_modules(params, task)))


def gap_hash(params: Params, task: str) -> str:
    """Hash of what measures a task's oracle gaps."""
    methods = [m.dejavu.model_dump(exclude={"gamma"}) for m in params.methods.values() if m.dejavu]
    train = training_fields(params.train)
    fields = [task, params.gap.model_dump(), train, params.seeds[0], methods]
    fields += [data_hash(params), *_read_with(params)]
    return phase_hash(params.study, fields, phase_code(gap_modules(params, task)))


def probes_hash(params: Params, task: str) -> str:
    """Hash of what measures a task's probes."""
    fields = [*_first_runs(params, task), *_read_with(params)]
    return phase_hash(params.study, fields, phase_code(["evaluation.probes"]))


def cost_hash(params: Params, task: str) -> str:
    """Hash of what measures a task's costs."""
    fields = [*_first_runs(params, task), params.cost.rounds, params.report.reference]
    fields += _read_with(params)
    return phase_hash(params.study, fields, phase_code(["evaluation.cost"]))


def report_hash(params: Params) -> str:
    """Hash of what turns metrics files into tables, figures and the report."""
    labels = [params.study, params.tasks, [*params.networks], [*params.methods], params.seeds]
    template = (PACKAGE / "reporting" / "report.html.j2").read_text(encoding="utf-8")
    fields = [labels, params.report.model_dump(), template]
    return phase_hash(params.study, fields, phase_code(report_modules(params)))


def _first_runs(params: Params, task: str) -> list[str]:
    """Hash the runs of a task at the first seed, which are measured."""
    seed = params.seeds[0]
    return [Run(params, task, n, m, seed).hash for n in params.networks for m in params.methods]


def _read_with(params: Params) -> list[Any]:
    """Return what a measurement's rows are read with (draws are by batch) and called."""
    return [params.evaluation.batch_size, [*params.networks], [*params.methods]]
