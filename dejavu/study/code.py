"""The modules that each phase of a study runs, by name: what its hash covers, and nothing else.

A name stands for a module and all that it imports when it is imported. What a module imports
inside a function is named here, by those who use it.
"""

from typing import Any

from dejavu.config import MethodParams, Params, needs_text_pair
from dejavu.config.evaluation import metric_modules
from dejavu.runtime.code_hash import code_hash

WITHOUT_EFFECT = (
    # Fields are resolved in what is hashed beside the code; names, places and records are labels.
    *("config", "study"),
    # Messages, files written whole, processes and how far work is.
    *("runtime.errors", "runtime.files", "runtime.launch", "runtime.progress"),
    *("runtime.code_hash", "runtime.environment", "runtime.devices"),
    # Several processes compute what one does; where the bytes of an image come from.
    *("training.parallel", "training.shared_modules", "data.cache"),
    *("datasets.fetching", "datasets.reading.roots", "datasets.reading.registry"),
)
"""Modules and packages whose code changes no result."""


def phase_code(modules: list[str]) -> str:
    """Hash the code of a phase's modules."""
    return code_hash(modules, WITHOUT_EFFECT)


def data_modules(params: Params) -> list[str]:
    """Name what makes a study's prepared data, or checks what is read in place."""
    data = params.data
    return [f"datasets.{data.name}", *([] if data.is_rooms else ["data.check"])]


def reading_modules(params: Params) -> list[str]:
    """Name what reads the images of a study, and varies them in training."""
    data, augmentation = params.data, params.train.augmentation
    varied = not augmentation.changes_nothing
    reads = ["data.store"] if data.is_rooms else ["data.indexed", f"datasets.{data.name}"]
    return ["data.opening", *reads, *(["data.augmentation"] if varied else [])]


def training_modules(params: Params, task: str, network: str, method: str) -> list[str]:
    """Name what a training run computes with: its network, task and losses, and the loop."""
    used = params.methods[method]
    modules = ["training.loop", *data_modules(params), *reading_modules(params)]
    modules += network_modules(params, network) + task_modules(params, task)
    if used.boundary_weight or used.erasing:
        modules.append("training.controls")
    if used.attention:
        modules += ["training.criterion", "method.attention"]
        modules += redaction_modules(used.attention.redaction.model_dump())
    return modules + regeneration_modules(used)


def network_modules(params: Params, network: str) -> list[str]:
    """Name what builds a network of the study."""
    return ["networks.registry", params.networks[network].facts.module]


def task_modules(params: Params, task: str) -> list[str]:
    """Name what a task of the study computes with."""
    return ["tasks.registry", f"tasks.{task}"]


def regeneration_modules(method: MethodParams) -> list[str]:
    """Name what a method's losses by regeneration compute with; nothing for a method without."""
    dejavu = method.dejavu
    if dejavu is None:
        return []
    modules = ["training.regeneration", *redaction_modules(dejavu.redaction.model_dump())]
    modules += ["method.features"] if dejavu.condition == "features" else []
    modules += ["method.cyclic"] if dejavu.cyclic else []
    modules += ["method.text"] if dejavu.text else []
    return modules + (["training.text_pair"] if needs_text_pair(method) else [])


def redaction_modules(redaction: dict[str, Any]) -> list[str]:
    """Name the modules of a redaction and of its parts."""
    parts = [redaction_modules(part) for part in redaction.get("redactions", ())]
    return [f"method.redaction.{redaction['name']}", *(name for part in parts for name in part)]


def evaluation_modules(params: Params, task: str) -> list[str]:
    """Name what turns a task's checkpoints into metrics files."""
    modules = ["evaluation.score", *metric_modules(task), *task_modules(params, task)]
    return modules + reading_modules(params)


def gap_modules(params: Params, task: str) -> list[str]:
    """Name what measures a task's oracle gaps."""
    modules = ["evaluation.gap", *task_modules(params, task), *reading_modules(params)]
    modules += network_modules(params, next(iter(params.networks)))
    for method in params.methods.values():
        modules += redaction_modules(method.dejavu.redaction.model_dump()) if method.dejavu else []
    for candidate in params.gap.candidates:
        modules += redaction_modules(candidate.model_dump())
    return [*modules, "training.regeneration"]


def text_pair_modules(params: Params) -> list[str]:
    """Name what trains the image-text pair that stands in for CLIP."""
    return ["training.text_pair"]


def probes_modules(params: Params) -> list[str]:
    """Name what measures the probes, beside what trains the probed runs (hashed with them)."""
    return ["evaluation.probes", *reading_modules(params)]


def cost_modules(params: Params) -> list[str]:
    """Name what measures costs, beside what trains the runs (hashed with them)."""
    return ["evaluation.cost"]


def report_modules(params: Params) -> list[str]:
    """Name what turns metrics files into tables, figures and the report."""
    return ["reporting.write", "reporting.qualitative"]
