"""What a hash covers: the code that a phase runs, all of it, and nothing else."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import dejavu
from dejavu.config import Params
from dejavu.config.generated import render_params
from dejavu.runtime import code_hash as hashing
from dejavu.runtime.code_hash import closure
from dejavu.study import code as named
from dejavu.study.layout import Layout
from dejavu.study.measurements import MEASUREMENTS
from dejavu.study.phases import data_hash, evaluation_hash, report_hash, text_pair_hash
from dejavu.study.run import Run
from tests.support.studies import TINY, tiny_params

BLOCKS = {"name": "random_blocks", "block": 8, "keep": 0.3}
LOW_PASS = {"name": "low_pass", "cutoff": 0.2}
LOSS = {"redaction": BLOCKS, "gamma": 0.3}
BOTH = {"name": "compose", "redactions": [LOW_PASS, BLOCKS]}
METHODS: dict[str, Any] = {
    "baseline": {},
    "controls": {"erasing": 0.5, "boundary_weight": 2.0, "boundary_width": 2},
    "blocks": {"dejavu": LOSS},
    "low-pass": {"dejavu": LOSS | {"redaction": LOW_PASS}},
    "both": {"dejavu": LOSS | {"redaction": BOTH}},
    "cyclic": {"dejavu": LOSS | {"cyclic": {"gamma": 0.1}}},
    "text": {"dejavu": LOSS | {"text": {"gamma": 0.1}}},
    "features": {"dejavu": LOSS | {"condition": "features"}},
    "attention": {"attention": {"redaction": BLOCKS}},
    "attention-dejavu": {"attention": {"redaction": BLOCKS}, "dejavu": LOSS},
}
WITH_BLOCKS = {*METHODS} - {"baseline", "controls", "low-pass"}
WITH_LOSS = {*METHODS} - {"baseline", "controls", "attention"}
TASKS = ("segmentation", "depth", "normals")


def study(**changes: Any) -> Params:
    return tiny_params(**{"methods": METHODS, "seeds": [0], "gap": {"steps": 2}} | changes)


Hashes = dict[str, str]


def hashes(params: Params) -> Hashes:
    """Every hash of a study, by what it is of."""
    runs = {f"{r.task} {r.method}": r.hash for r in Layout(params).runs()}
    gap = next(one for one in MEASUREMENTS if one.verb == "gap")
    by_task = {"evaluate": evaluation_hash, "gap": gap.hash}
    measured = {
        f"{name} {task}": hashed(params, task) for name, hashed in by_task.items() for task in TASKS
    }
    study = {"data": data_hash(params), "text pair": text_pair_hash(params)}
    return runs | measured | study | {"report": report_hash(params)}


def of_runs(methods: set[str], tasks: tuple[str, ...] = TASKS) -> set[str]:
    return {f"{task} {method}" for task in tasks for method in methods}


def every(name: str) -> set[str]:
    return {f"{name} {task}" for task in TASKS}


ALL_RUNS = of_runs({*METHODS})
GAPS, SCORES = every("gap"), every("evaluate")


class Copy:
    """A copy of the package that hashes are taken of, and in which changes are planted."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def write(self, file: str, text: str) -> None:
        path = self.folder / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        forget()

    def replace(self, file: str, old: str, new: str) -> None:
        text = (self.folder / file).read_text()
        assert old in text, f"{file} has no {old!r}"
        self.write(file, text.replace(old, new, 1))


def forget() -> None:
    """Read the modules again; what was computed of a text stays known."""
    for cached in (hashing._hash_of, hashing._read, hashing._imports):
        cached.cache_clear()


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Copy]:
    folder = tmp_path / "dejavu"
    shutil.copytree(dejavu.__path__[0], folder, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(hashing, "PACKAGE", folder)
    forget()
    yield Copy(folder)
    forget()


@dataclass(frozen=True)
class Plant:
    """A change of one file: text in place of other text, or at the end, or all of it."""

    file: str
    new: str = "\n\nPLANTED = 1\n"
    old: str | None = None

    def __str__(self) -> str:
        return self.file if self.old is None else f"{self.file}: {self.new.strip()}"

    def __call__(self, package: Copy) -> None:
        path = package.folder / self.file
        if self.old is not None:
            package.replace(self.file, self.old, self.new)
        else:
            package.write(self.file, (path.read_text() if path.exists() else "") + self.new)


def changed(package: Copy, plant: Plant) -> set[str]:
    """What a planted change makes stale."""
    params = study()
    before = hashes(params)
    plant(package)
    after = hashes(params)
    return {name for name in before if before[name] != after[name]}


@pytest.mark.parametrize(
    ("plant", "stale"),
    [
        (Plant("method/redaction/planted.py"), set()),
        (Plant("networks/planted.py"), set()),
        (Plant("tasks/planted.py"), set()),
        (Plant("datasets/planted.py"), set()),
        (Plant("training/loop.py", old='"""', new='"""In other words: '), set()),
        (Plant("training/loop.py", old="the loss is ", new="this loss is "), set()),
        (Plant("training/step.py", old="import torch\n", new="import torch  # a comment\n"), set()),
        (Plant("runtime/errors.py"), set()),
        (Plant("cli/options.py"), set()),
        (Plant("config/base.py"), set()),
        (Plant("study/layout.py"), set()),
        (Plant("reporting/style.py"), {"report"}),
        (Plant("networks/mask2former.py"), set()),
        (Plant("networks/torchvision.py"), set()),
        (Plant("method/redaction/checkerboard.py"), set()),
        (Plant("data/indexed.py"), set()),
        (Plant("datasets/coco.py"), set()),
        (Plant("evaluation/cost.py"), set()),
        (Plant("metrics/boundary.py"), {"evaluate segmentation"}),
    ],
    ids=lambda value: str(value) if isinstance(value, Plant) else "",
)
def test_what_a_run_does_not_use_leaves_it_current(
    package: Copy, plant: Plant, stale: set[str]
) -> None:
    assert changed(package, plant) == stale


@pytest.mark.parametrize(
    ("plant", "stale"),
    [
        (Plant("training/loop.py"), ALL_RUNS | GAPS),
        (Plant("training/optimisation.py"), ALL_RUNS | GAPS),
        (Plant("training/step.py"), ALL_RUNS | GAPS),
        (Plant("networks/pyramid.py"), ALL_RUNS | GAPS),
        (Plant("datasets/rooms/shading.py"), {"data"} | ALL_RUNS),
        (Plant("training/controls.py"), of_runs({"controls"})),
        (Plant("method/redaction/random_blocks.py"), of_runs(WITH_BLOCKS) | GAPS),
        (Plant("method/redaction/low_pass.py"), of_runs({"low-pass", "both"}) | GAPS),
        (Plant("method/loss.py"), of_runs(WITH_LOSS) | GAPS),
        (Plant("method/cyclic.py"), of_runs({"cyclic"})),
        (Plant("training/text_pair.py"), {"text pair"} | of_runs({"text"})),
        (Plant("tasks/depth.py"), of_runs({*METHODS}, ("depth",))),
        (Plant("metrics/edges.py"), of_runs({"controls"}) | SCORES),
        (Plant("evaluation/inference.py"), SCORES),
    ],
    ids=lambda value: str(value) if isinstance(value, Plant) else "",
)
def test_what_a_run_uses_makes_it_stale(package: Copy, plant: Plant, stale: set[str]) -> None:
    assert stale <= changed(package, plant)


def test_of_runs_only_those_that_use_it_become_stale(package: Copy) -> None:
    plant = Plant("method/redaction/low_pass.py")
    assert changed(package, plant) & ALL_RUNS == of_runs({"low-pass", "both"})


def test_augmentation_counts_where_images_are_varied(package: Copy) -> None:
    varied = study(train=TINY["train"] | {"augmentation": {"rotate": 5.0}})
    runs = [Run(params, "depth", "fpn", "baseline", 0) for params in (study(), varied)]
    before = [run.hash for run in runs]
    Plant("data/augmentation.py")(package)
    assert [run.hash == old for run, old in zip(runs, before, strict=True)] == [True, False]


# What phases load, against what is named

DRIVER = """
import json, os, runpy, sys
import numpy, pydantic, rich.progress, safetensors.torch, torch, typer, yaml  # before the fork
import dejavu.config
torch.use_deterministic_algorithms(False)  # imports torch's compiler: once, not in every child

def modules():
    return [m.removeprefix("dejavu.") for m in sys.modules if m.startswith("dejavu.")]

def loaded(arguments):
    read, write = os.pipe()
    if os.fork():
        os.close(write)
        said = os.fdopen(read).read()
        os.wait()
        return json.loads(said)
    sys.argv = ["dejavu", *arguments]
    sys.stdout = open(os.devnull, "w")
    try:
        runpy.run_module("dejavu", run_name="__main__")
    except SystemExit as ended:
        assert not ended.code, arguments
    os.write(write, json.dumps(modules()).encode())
    os._exit(0)

found = {"config": modules()}
for name, call in json.loads(sys.argv[1]).items():
    found[name] = loaded(call)
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> dict[str, set[str]]:
    """The modules of the package that each verb loads, by the verb and what it is of."""
    folder = tmp_path_factory.mktemp("study")
    params = study(cost={"rounds": 1}, train=TINY["train"] | {"steps": 2})
    (folder / "tiny.yaml").write_text(render_params(params))
    # Before it renders, the verb tries out what libraries must judge, which no result shows.
    asks_none = study(methods={"baseline": {}})
    (folder / "asks-none.yaml").write_text(render_params(asks_none))
    calls: dict[str, list[str]] = {"data": ["rooms"], "text pair": ["text-pair"]}
    for method in METHODS:
        calls[f"train {method}"] = ["train", "--task", "depth", "--method", method]
    calls["evaluate"] = ["evaluate", "--task", "depth", "--method", "blocks"]
    calls |= {verb: [verb, "--task", "depth"] for verb in ("gap", "probes", "cost")}
    given = {name: [*call, "--params", "tiny.yaml"] for name, call in calls.items()}
    given["data"][-1] = "asks-none.yaml"
    done = subprocess.run(
        [sys.executable, "-c", DRIVER, json.dumps(given)],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(Path(dejavu.__path__[0]).parent)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return {name: set(modules) for name, modules in json.loads(done.stdout).items()}


def named_for(name: str) -> set[str]:
    """The modules that the hash of a verb's result names itself."""
    params = study()
    modules = {
        "data": named.data_modules(params),
        "text pair": named.text_pair_modules(params),
        "evaluate": named.evaluation_modules(params, "depth"),
        "gap": named.gap_modules(params, "depth"),
        "probes": named.probes_modules(params),
        "cost": named.cost_modules(params),
    }
    trained = {f"train {method}": trained_by(params, method) for method in METHODS}
    return closure((modules | trained)[name], named.WITHOUT_EFFECT)


def trained_by(params: Params, method: str) -> list[str]:
    return named.training_modules(params, "depth", "fpn", method)


def named_with_runs(name: str) -> set[str]:
    """Those, and what the hashes of the runs name that are part of the result's hash."""
    params = study()
    measured = {"evaluate": ["blocks"], "probes": [*METHODS], "cost": [*METHODS]}
    runs = [module for m in measured.get(name, ()) for module in trained_by(params, m)]
    return named_for(name) | closure(runs, named.WITHOUT_EFFECT)


def test_verbs_load_what_is_named_and_nothing_else(loaded: dict[str, set[str]]) -> None:
    """One test of all verbs: what they load is found out once."""
    params = study()
    made = closure(named.data_modules(params), named.WITHOUT_EFFECT)
    # Params are resolved in the hash: what they are derived from has no effect by itself.
    without = {*named.WITHOUT_EFFECT, *loaded.pop("config"), "cli", "_aliases", "__main__"}
    assert {"data", "text pair", "evaluate", "gap", "probes", "cost"} < loaded.keys()
    for name, modules in loaded.items():
        computes = {
            module
            for module in modules
            if without.isdisjoint(hashing._with_packages(module)) and not is_package(module)
        }
        assert computes - named_with_runs(name) == set(), f"{name} loads what is not named"
        # But for what made the data of a run.
        unused = named_for(name) - modules - (set() if name == "data" else made)
        assert unused == set(), f"{name} does not load what is named"
        if name.startswith("train"):
            assert not [m for m in modules if m.startswith("metrics.") and m != "metrics.edges"]


def is_package(module: str) -> bool:
    """A package on the way to a module: of its code alone what is imported counts."""
    return Path(dejavu.__path__[0], *module.split(".")).is_dir()
