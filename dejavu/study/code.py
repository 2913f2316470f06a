"""The modules that each phase of a study runs: exactly the code that its hash covers.

A name covers a module and, recursively, its imports at module level. Modules that are imported
inside functions are listed here, for the phases that use them.
"""

from typing import Any

from dejavu.config import MethodParams, Params, needs_text_pair
from dejavu.config.evaluation import metric_modules
from dejavu.runtime.code_hash import code_hash

WITHOUT_EFFECT = (
    # Params are hashed by their values; names, paths and records are labels.
    *("config", "study"),
    # Messages, atomic writes, launching of processes and progress.
    *("runtime.errors", "runtime.files", "runtime.launch", "runtime.progress"),
    *("runtime.code_hash", "runtime.environment", "runtime.devices"),
    # Several processes compute the same as one; caches and folders hold the same images.
    *("training.parallel", "training.shared_modules", "data.cache"),
    *("datasets.fetching", "datasets.reading.roots", "datasets.reading.registry"),
    # What refuses a study before any work, and files that would be written over.
    *("training.preflight", "runtime.outputs", "runtime.locks", "runtime.loading"),
)
"""Modules and packages whose code changes no result."""


def phase_code(modules: list[str]) -> str:
    """Hash the code of a phase's modules."""
    return code_hash(modules, WITHOUT_EFFECT)


def data_modules(params: Params) -> list[str]:
    """List the modules that render a study's prepared data, or check data read in place."""
    data = params.data
    return [f"datasets.{data.name}", *([] if data.is_rooms else ["data.check"])]


def reading_modules(params: Params) -> list[str]:
    """List the modules that read a study's images and augment them in training."""
    data, augmentation = params.data, params.train.augmentation
    varied = not augmentation.changes_nothing
    reads = ["data.store"] if data.is_rooms else ["data.indexed", f"datasets.{data.name}"]
    return ["data.opening", *reads, *(["data.augmentation"] if varied else [])]


def training_modules(params: Params, task: str, network: str, method: str) -> list[str]:
    """List the modules of a training run: its network, task, losses, and the loop."""
    used = params.methods[method]
    modules = ["training.loop", *data_modules(params), *reading_modules(params)]
    modules += network_modules(params, network) + task_modules(params, task)
    if used.has_controls:
        modules.append("training.controls")
    if used.attention:
        modules += ["training.criterion", "method.attention"]
        modules += redaction_modules(used.attention.redaction.model_dump())
    return modules + regeneration_modules(used)


def network_modules(params: Params, network: str) -> list[str]:
    """List the modules that build a network of the study."""
    return ["networks.registry", params.networks[network].facts.module]


def task_modules(params: Params, task: str) -> list[str]:
    """List the modules of a task."""
    return ["tasks.registry", f"tasks.{task}"]


def regeneration_modules(method: MethodParams) -> list[str]:
    """List the modules of a method's regeneration losses; none for a method without them."""
    dejavu = method.dejavu
    if dejavu is None:
        return []
    modules = ["training.regeneration", *redaction_modules(dejavu.redaction.model_dump())]
    modules += ["method.features"] if dejavu.condition == "features" else []
    modules += ["method.cyclic"] if dejavu.cyclic else []
    modules += ["method.text"] if dejavu.text else []
    return modules + (["training.text_pair"] if needs_text_pair(method) else [])


def redaction_modules(redaction: dict[str, Any]) -> list[str]:
    """List the modules of a redaction and of its parts."""
    parts = [redaction_modules(part) for part in redaction.get("redactions", ())]
    return [f"method.redaction.{redaction['name']}", *(name for part in parts for name in part)]


def evaluation_modules(params: Params, task: str) -> list[str]:
    """List the modules that turn a task's checkpoints into metrics files."""
    modules = ["evaluation.score", *metric_modules(task), *task_modules(params, task)]
    return modules + reading_modules(params)


def gap_modules(params: Params, task: str) -> list[str]:
    """List the modules that measure a task's oracle gaps."""
    modules = ["evaluation.gap", *task_modules(params, task), *reading_modules(params)]
    modules += network_modules(params, next(iter(params.networks)))
    for method in params.methods.values():
        modules += redaction_modules(method.dejavu.redaction.model_dump()) if method.dejavu else []
    for candidate in params.gap.candidates:
        modules += redaction_modules(candidate.model_dump())
    return [*modules, "training.regeneration"]


def text_pair_modules(params: Params) -> list[str]:
    """List the modules that train the image-text pair that stands in for CLIP."""
    return ["training.text_pair"]


def probes_modules(params: Params) -> list[str]:
    """List the modules that measure probes; the probed runs' own hashes cover their training."""
    return ["evaluation.probes", *reading_modules(params)]


def cost_modules(params: Params) -> list[str]:
    """List the modules that measure costs; the runs' own hashes cover their training."""
    return ["evaluation.cost"]


def report_modules(params: Params) -> list[str]:
    """List the modules that turn metrics files into tables, figures and the report."""
    return ["reporting.write", "reporting.qualitative"]
