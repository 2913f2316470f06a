"""Hashes of a study's phases, over the fields and code that change their results.

`dejavu.study.measurements` has those of its measurements.
"""

from typing import Any

from dejavu.config import Params
from dejavu.runtime.code_hash import PACKAGE
from dejavu.study.code import (
    data_modules,
    evaluation_modules,
    phase_code,
    report_modules,
    text_pair_modules,
)
from dejavu.study.exhibits import FIGURES, TABLES
from dejavu.study.hashing import phase_hash


def data_hash(params: Params) -> str:
    """Hash the fields and code that render the prepared data, or check data read in place."""
    # For data read in place, the tasks decide which files are read.
    fields = [params.data.identity(), None if params.data.is_rooms else params.tasks]
    return phase_hash(params.study, fields, phase_code(data_modules(params)))


def text_pair_hash(params: Params) -> str:
    """Hash the fields and code that train the image-text pair that stands in for CLIP."""
    fields = [data_hash(params), params.text_pair.model_dump()]
    code = phase_code(text_pair_modules(params))
    return phase_hash(params.study, fields, code)


def evaluation_hash(params: Params, task: str) -> str:
    """Hash the fields and code that turn a task's checkpoints into metrics files."""
    fields = params.evaluation.model_dump()
    return phase_hash(params.study, fields, phase_code(evaluation_modules(params, task)))


def report_hash(params: Params) -> str:
    """Hash the fields and code that turn metrics files into tables, figures and the report."""
    labels = [params.study, params.tasks, [*params.networks], [*params.methods], params.seeds]
    fields = [labels, params.report.model_dump(), *page_fields()]
    return phase_hash(params.study, fields, phase_code(report_modules(params)))


def page_fields() -> list[Any]:
    """Return the report's template and exhibits, which count beside code and numbers."""
    template = (PACKAGE / "reporting" / "report.html.j2").read_text(encoding="utf-8")
    tables = [[table.name, table.section] for table in TABLES]
    return [template, tables, [[f.name, f.section, f.caption] for f in FIGURES]]
