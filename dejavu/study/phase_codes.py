"""The code hashes of a study's phases, in a file on which DVC's stages depend."""

from pathlib import Path

from dejavu.config import Params
from dejavu.runtime.code_hash import digest
from dejavu.runtime.strict_json import to_json
from dejavu.study.adoption.adopted import read_adopted
from dejavu.study.code import (
    data_modules,
    evaluation_modules,
    phase_code,
    report_modules,
    text_pair_modules,
    training_modules,
)
from dejavu.study.measurements import MEASUREMENTS
from dejavu.study.phases import page_fields

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
    train = {" ".join(cell): phase_code(training_modules(params, *cell)) for cell in cells}
    if params.uses_text_pair:
        train["text_pair"] = phase_code(text_pair_modules(params))
    report = {"report": phase_code(report_modules(params))}
    for task in params.tasks:
        report[f"evaluate {task}"] = phase_code(evaluation_modules(params, task))
        report |= {f"{one.verb} {task}": one.code(params, task) for one in MEASUREMENTS}
    report["page"] = digest(page_fields())
    codes = {
        "data": {"data": phase_code(data_modules(params))},
        "train": train,
        "report": report,
    }
    known = read_adopted(params.study).code if adopted else {}
    return {
        stage: {name: known.get(code, code) for name, code in phases.items()}
        for stage, phases in codes.items()
    }


def render_codes(params: Params) -> str:
    """Write the code hashes of a study's phases as the file that DVC's stages depend on."""
    return to_json(phase_codes(params), indent=1) + "\n"
