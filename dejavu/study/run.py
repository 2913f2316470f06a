"""What makes two results the same: hashes of the fields and the code that change them, only those.

Labels (the names of the study, of a network's or a method's entry), the number of resume states
and everything about tables are no part of a run. Code counts by its syntax tree without
docstrings, so that a comment retrains nothing.
"""

import ast
import hashlib
import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from dejavu.config import Params, TrainParams, gammas, needs_text_pair
from dejavu.runtime.errors import ParamsError

_PACKAGE = Path(__file__).parents[1]
# Their effect on a run is the resolved fields, which the hash holds already, or a message; or they
# say where the same bytes come from, how they are written, or how processes start.
_WITHOUT_EFFECT = {
    *("config", "runtime.errors", "runtime.files", "runtime.launch", "runtime.progress"),
    *("study.run", "data.cache", "datasets.fetching.download", "datasets.reading.roots"),
}


@dataclass(frozen=True)
class Run:
    """One training run of a study: a cell of tasks x networks x methods x seeds."""

    params: Params
    task: str
    network: str
    method: str
    seed: int

    def __post_init__(self) -> None:
        for field, value in (
            ("tasks", self.task),
            ("networks", self.network),
            ("methods", self.method),
            ("seeds", self.seed),
        ):
            known = getattr(self.params, field)
            if value not in known:
                listed = ", ".join(map(str, known))
                raise ParamsError(f"{field}: the study has no {value!r}; it has: {listed}")

    @property
    def weights(self) -> dict[str, float]:
        """Weight of each loss of this run, by its name, beside the task loss's 1."""
        found = gammas(self.params.methods[self.method])
        return {key.split(".")[-1]: dict(gamma)[self.task] for key, gamma in found}  # type: ignore[index]

    @property
    def train(self) -> TrainParams:
        """How this run is trained: its method may have more or fewer steps than the others."""
        train = self.params.train
        factor = self.params.methods[self.method].steps_factor
        return train.model_copy(update={"steps": max(1, round(train.steps * factor))})

    def identity(self) -> dict[str, Any]:
        """Return every field that changes the run's result."""
        return {
            "data": self.params.data.identity(),
            "train": _training(self.train),
            "task": self.task,
            "settings": getattr(self.params, self.task).model_dump(mode="json"),
            "network": self.params.networks[self.network].model_dump(mode="json"),
            "method": self._method(),
            "seed": self.seed,
        }

    def _method(self) -> dict[str, Any]:
        """Return the method's fields, with each weight by task reduced to this task's."""
        method = self.params.methods[self.method]
        fields = method.model_dump(mode="json", exclude={"steps_factor"})
        if not method.boundary_weight:
            del fields["boundary_width"]
        dejavu = fields["dejavu"]
        if dejavu is None:
            return fields
        for name, weight in self.weights.items():
            section = dejavu if name == "dejavu" else dejavu[name]
            section["gamma"] = weight
        if needs_text_pair(method):
            dejavu["text"]["pair"] = self.params.text_pair.model_dump()
        elif dejavu["text"]:
            # The file's name and size, not where one machine keeps it.
            weights = Path(dejavu["text"]["clip_weights"])
            size = weights.stat().st_size if weights.is_file() else None
            dejavu["text"]["clip_weights"] = [weights.name, size]
        return fields

    @property
    def hash(self) -> str:
        """Hash of `identity` and of the code that training runs (it calls no metric)."""
        return digest(
            self.identity(), "training.loop", *data_modules(self.params), without="metrics"
        )


def data_modules(params: Params) -> list[str]:
    """Name the modules, below the package, that make the study's data, or read it in place."""
    return [f"datasets.{params.data.name}"]


def data_hash(params: Params) -> str:
    """Hash of what makes the study's prepared data, or checks what is read in place."""
    # Of data that is read in place, the tasks say what is read at all.
    fields = [params.data.identity(), None if params.data.is_rooms else params.tasks]
    check = [] if params.data.is_rooms else ["data.check"]
    return digest(fields, *data_modules(params), *check)


def text_pair_hash(params: Params) -> str:
    """Hash of what trains the image-text pair that stands in for CLIP."""
    return digest([data_hash(params), params.text_pair.model_dump()], "training.text_pair")


def evaluation_hash(params: Params) -> str:
    """Hash of what turns a checkpoint into a metrics file."""
    return digest(params.evaluation.model_dump(), "evaluation.score")


def gap_hash(params: Params, task: str) -> str:
    """Hash of what measures a task's oracle gaps."""
    methods = [m.dejavu.model_dump(exclude={"gamma"}) for m in params.methods.values() if m.dejavu]
    fields = [task, params.gap.model_dump(), _training(params.train), params.seeds[0], methods]
    return digest([data_hash(params), *fields, *_read(params)], "evaluation.gap", without="metrics")


def probes_hash(params: Params, task: str) -> str:
    """Hash of what measures a task's probes."""
    return digest(
        [_first_runs(params, task), *_read(params)], "evaluation.probes", without="metrics"
    )


def cost_hash(params: Params, task: str) -> str:
    """Hash of what measures a task's costs."""
    fields = [_first_runs(params, task), params.cost.rounds, params.report.reference]
    return digest([*fields, *_read(params)], "evaluation.cost", without="metrics")


def _training(train: TrainParams) -> dict[str, Any]:
    """The fields of the training that change its result."""
    without = {"checkpoint_every", "workers", "processes", "jobs_per_device"}
    return train.model_dump(mode="json", exclude=without)


def _first_runs(params: Params, task: str) -> list[str]:
    """Hash the runs of a task at the first seed, which are measured."""
    seed = params.seeds[0]
    return [Run(params, task, n, m, seed).hash for n in params.networks for m in params.methods]


def _read(params: Params) -> list[Any]:
    """What a measurement's rows are read with (draws are by batch) and called."""
    return [params.evaluation.batch_size, [*params.networks], [*params.methods]]


def report_hash(params: Params) -> str:
    """Hash of what turns metrics files into tables, figures and the report."""
    labels = [params.study, params.tasks, [*params.networks], [*params.methods], params.seeds]
    template = (_PACKAGE / "reporting" / "report.html.j2").read_text(encoding="utf-8")
    return digest([labels, params.report.model_dump(), template], "reporting.study")


def digest(fields: Any, *modules: str, without: str = "") -> str:
    """Hash JSON-like ``fields`` and the code of ``modules`` with everything that they import.

    The package ``without``, if any, is taken to have no effect.
    """
    text = json.dumps([fields, [code_hash(m, without) for m in modules]], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


@cache
def code_hash(module: str, without: str = "") -> str:
    """Hash a module of the package (such as ``datasets.rooms``) and all it imports from it.

    Example:
        >>> code_hash("method.redaction") == code_hash("method.loss")
        False
    """
    trees = {name: _tree(name) for name in sorted(_closure(module, without))}
    return hashlib.sha256(json.dumps(trees).encode()).hexdigest()[:16]


def _closure(module: str, without: str) -> set[str]:
    found: set[str] = set()
    waiting = [module]
    while waiting:
        name = waiting.pop()
        if name not in found and not _is_below(name, {*_WITHOUT_EFFECT, without}):
            found.add(name)
            waiting += _imports(name)
    return found


def _is_below(module: str, packages: set[str]) -> bool:
    parts = module.split(".")
    return any(".".join(parts[: end + 1]) in packages for end in range(len(parts)))


def _source(module: str) -> Path | None:
    path = _PACKAGE.joinpath(*module.split("."))
    candidates = (path.with_suffix(".py"), path / "__init__.py")
    return next((c for c in candidates if c.is_file()), None)


# Most modules are in the closures of several: each is read once (planning and every job hash them).
@cache
def _tree(module: str) -> Any:
    return _canonical(_parse(module))


@cache
def _parse(module: str) -> ast.Module:
    source = _source(module)
    if source is None:
        raise ModuleNotFoundError(f"dejavu.{module}")
    return ast.parse(source.read_bytes())


@cache
def _imports(module: str) -> list[str]:
    """Names of the package's modules that a module imports, at its top or inside a function."""
    names: list[str] = []
    for node in ast.walk(_parse(module)):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            parent = _parent(module, node.level) if node.level else ""
            origin = ".".join(filter(None, [parent, node.module]))
            names += [origin, *(f"{origin}.{alias.name}" for alias in node.names)]
    inside = [name.removeprefix("dejavu.") for name in names if name.startswith("dejavu.")]
    return [name for name in inside if _source(name)]


def _parent(module: str, level: int) -> str:
    """Return what the dots of a relative import stand for, as an absolute name."""
    source = _source(module)
    parts = ["dejavu", *module.split(".")]
    if source is not None and source.name != "__init__.py":
        parts.pop()
    return ".".join(parts[: len(parts) - level + 1])


def _canonical(node: Any) -> Any:
    """Turn a syntax tree into lists that are the same for every Python version.

    Docstrings, positions and empty fields (which versions add) are left out.
    """
    if isinstance(node, list):
        return [_canonical(item) for item in node]
    if not isinstance(node, ast.AST):
        return repr(node)
    fields = dict(ast.iter_fields(node))
    if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node):
        fields["body"] = node.body[1:]
    kept = {k: _canonical(v) for k, v in fields.items() if v not in (None, [])}
    return [type(node).__name__, kept]
