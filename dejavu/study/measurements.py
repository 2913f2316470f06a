"""The measurements of a study: verbs that measure one task at a time, into a file of its own.

The table of jobs, the hashes of phases, adoption and the workflow read `MEASUREMENTS`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dejavu.config import Params
from dejavu.study.code import cost_modules, gap_modules, phase_code, probes_modules
from dejavu.study.hashing import phase_hash
from dejavu.study.layout import Layout
from dejavu.study.phases import data_hash
from dejavu.study.run import Run, training_fields


@dataclass(frozen=True)
class Measurement:
    """A measurement: its verb, its inputs, and the fields and code that decide its numbers.

    Attributes:
        verb: verb of ``python -m dejavu``; it names the file (`Layout.measurement`).
        fields: fields of the params that decide a task's numbers; runs are given by their hash.
        modules: modules that measure a task, including those imported inside functions.
        inputs: files that it reads beside the data.
        splits: splits of the data that it reads.
    """

    verb: str
    fields: Callable[[Params, str], list[Any]]
    modules: Callable[[Params, str], list[str]]
    inputs: Callable[[Layout, str], list[Path]]
    splits: tuple[str, ...]

    def code(self, params: Params, task: str) -> str:
        """Hash the code that measures a task."""
        return phase_code(self.modules(params, task))

    def hash(self, params: Params, task: str) -> str:
        """Hash the fields and code that measure a task."""
        return phase_hash(params.study, self.fields(params, task), self.code(params, task))


def first_runs(params: Params, task: str) -> list[Any]:
    """Return the fields of a measurement with a row per run of a task at the first seed.

    They are the runs' hashes, the labels of the rows, and the batch size, on which draws depend.
    """
    seed = params.seeds[0]
    runs = [Run(params, task, n, m, seed).hash for n in params.networks for m in params.methods]
    return [*runs, *_read_with(params)]


def _read_with(params: Params) -> list[Any]:
    return [params.evaluation.batch_size, [*params.networks], [*params.methods]]


def _gap_fields(params: Params, task: str) -> list[Any]:
    methods = [m.dejavu.model_dump(exclude={"gamma"}) for m in params.methods.values() if m.dejavu]
    train = training_fields(params.train)
    settings = getattr(params, task).model_dump(mode="json")  # they decide the condition
    fields = [task, settings, params.gap.model_dump(), train, params.seeds[0], methods]
    return [*fields, data_hash(params), *_read_with(params)]


def _cost_fields(params: Params, task: str) -> list[Any]:
    *runs, batch_size, networks, methods = first_runs(params, task)
    return [*runs, params.cost.rounds, params.report.reference, batch_size, networks, methods]


MEASUREMENTS = (
    # Oracle gaps of the redactions.
    Measurement(
        "gap",
        fields=_gap_fields,
        modules=gap_modules,
        inputs=lambda *_: [],
        splits=("train", "val"),
    ),
    # Probes: how much the regenerations need the prediction.
    Measurement(
        "probes",
        fields=first_runs,
        modules=lambda params, _: probes_modules(params),
        inputs=lambda layout, task: [*map(layout.checkpoint, layout.probed(task))],
        splits=("train", "val"),
    ),
    # Costs of the methods in training.
    Measurement(
        "cost",
        fields=_cost_fields,
        modules=lambda params, _: cost_modules(params),
        inputs=lambda layout, _: [layout.text_pair] if layout.params.uses_text_pair else [],
        splits=("train",),
    ),
)
"""In the order in which they are made."""
