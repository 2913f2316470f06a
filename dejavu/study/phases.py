"""Hashes of a study's phases, over the fields and code that change their results."""

import json
from pathlib import Path
from typing import Any

from dejavu.config import Params
from dejavu.runtime.code_hash import PACKAGE, digest
from dejavu.study.adoption.adopted import read_adopted
from dejavu.study.code import (
    cost_modules,
    data_modules,
    evaluation_modules,
    gap_modules,
    phase_code,
    probes_modules,
    report_modules,
    text_pair_modules,
    training_modules,
)
from dejavu.study.exhibits import FIGURES, TABLES
from dejavu.study.hashing import phase_hash
from dejavu.study.run import Run, training_fields

PHASES_FILE = Path("workflow/phases.json")
"""Code hashes of the embedded study's phases, in git: DVC's stages depend on this file."""

REPORTING = ("report", "page")
"""Phases that make tables, figures and the report of numbers, and no numbers."""

Codes = dict[str, dict[str, str]]
"""Hash of the code of each phase, by DVC's stage and the phase's name."""


def phase_codes(params: Params, adopted: bool = True) -> Codes:
    """Hash the code of every phase of a study, for DVC's stages to depend on.

    Args:
        params: the study.
        adopted: whether to replace an adopted code hash by the hash that made the results.
    """
    cells = dict.fromkeys(
        (t, n, m) for t in params.tasks for n in params.networks for m in params.methods
    )
    train = {" ".join(cell): training_modules(params, *cell) for cell in cells}
    if params.uses_text_pair:
        train["text_pair"] = text_pair_modules(params)
    report = {
        "report": report_modules(params),
        "probes": probes_modules(params),
        "cost": cost_modules(params),
    }
    for task in params.tasks:
        report[f"evaluate {task}"] = evaluation_modules(params, task)
        report[f"gap {task}"] = gap_modules(params, task)
    stages = {"data": {"data": data_modules(params)}, "train": train, "report": report}
    known = read_adopted(params.study).code if adopted else {}
    codes = {
        stage: {name: phase_code(modules) for name, modules in phases.items()}
        for stage, phases in stages.items()
    }
    codes["report"]["page"] = digest(_page())
    return {
        stage: {name: known.get(code, code) for name, code in phases.items()}
        for stage, phases in codes.items()
    }


def render_codes(params: Params) -> str:
    """Write the code hashes of a study's phases as the file that DVC's stages depend on."""
    return json.dumps(phase_codes(params), indent=1) + "\n"


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


def gap_hash(params: Params, task: str) -> str:
    """Hash the fields and code that measure a task's oracle gaps."""
    methods = [m.dejavu.model_dump(exclude={"gamma"}) for m in params.methods.values() if m.dejavu]
    train = training_fields(params.train)
    fields = [task, params.gap.model_dump(), train, params.seeds[0], methods]
    fields += [data_hash(params), *_read_with(params)]
    return phase_hash(params.study, fields, phase_code(gap_modules(params, task)))


def probes_hash(params: Params, task: str) -> str:
    """Hash the fields and code that measure a task's probes."""
    fields = [*_first_runs(params, task), *_read_with(params)]
    return phase_hash(params.study, fields, phase_code(probes_modules(params)))


def cost_hash(params: Params, task: str) -> str:
    """Hash the fields and code that measure a task's costs."""
    fields = [*_first_runs(params, task), params.cost.rounds, params.report.reference]
    fields += _read_with(params)
    return phase_hash(params.study, fields, phase_code(cost_modules(params)))


def report_hash(params: Params) -> str:
    """Hash the fields and code that turn metrics files into tables, figures and the report."""
    labels = [params.study, params.tasks, [*params.networks], [*params.methods], params.seeds]
    fields = [labels, params.report.model_dump(), *_page()]
    return phase_hash(params.study, fields, phase_code(report_modules(params)))


def _page() -> list[Any]:
    """Return the report's template and exhibits, which count beside code and numbers."""
    template = (PACKAGE / "reporting" / "report.html.j2").read_text(encoding="utf-8")
    tables = [[table.name, table.section] for table in TABLES]
    return [template, tables, [[f.name, f.section, f.caption] for f in FIGURES]]


def _first_runs(params: Params, task: str) -> list[str]:
    """Hash the measured runs of a task: those of the first seed."""
    seed = params.seeds[0]
    return [Run(params, task, n, m, seed).hash for n in params.networks for m in params.methods]


def _read_with(params: Params) -> list[Any]:
    """Return a measurement's batch size, on which draws depend, and the labels of its rows."""
    return [params.evaluation.batch_size, [*params.networks], [*params.methods]]
