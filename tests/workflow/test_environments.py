"""The conda environments and the package ask for what requirements.txt pins."""

import ast
import sys
import tomllib
from importlib.metadata import packages_distributions
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version
from rattler import MatchSpec, PackageRecord
from rattler.package import BuildString

ROOT = Path(__file__).parents[2]
CONDA_NAMES = {"matplotlib-base": "matplotlib", "pytorch": "torch"}


@pytest.fixture(scope="module")
def locked() -> dict[str, str]:
    """Version by package of requirements.txt."""
    lines = (ROOT / "requirements.txt").read_text().splitlines()
    pins = (line.split("==") for line in lines if "==" in line)
    return {canonicalize_name(name): version for name, version in pins}


def entries(name: str) -> list[str]:
    """The match specs of a conda environment."""
    tree = yaml.safe_load((ROOT / f"workflow/envs/{name}.yaml").read_text())
    assert tree["channels"] == ["conda-forge", "nodefaults"]
    found: list[str] = tree["dependencies"]
    return found


def conda_packages(name: str) -> dict[str, MatchSpec]:
    """Match spec by package, under the package's name in requirements.txt."""
    specs = [MatchSpec(entry) for entry in entries(name)]
    names = [spec.name.normalized for spec in specs]
    return {CONDA_NAMES.get(n, n): spec for n, spec in zip(names, specs, strict=True)}


def record(name: str, version: str, build: str) -> PackageRecord:
    return PackageRecord(name, version, BuildString(build), 0, "linux-64")


def project() -> dict[str, Any]:
    found: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return found


def asked_for(*extras: str) -> set[str]:
    """Packages of the project's core and extras."""
    wishes = project()["dependencies"] + [
        wish for extra in extras for wish in project()["optional-dependencies"][extra]
    ]
    return {canonicalize_name(Requirement(wish).name) for wish in wishes}


def imported() -> set[str]:
    """Packages that an import statement of the library names, at the top or in a function."""
    names: set[str] = set()
    for path in (ROOT / "dejavu").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                names.update(alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                names.add(node.module)
    modules = {name.partition(".")[0] for name in names} - sys.stdlib_module_names - {"dejavu"}
    packages = packages_distributions()
    return {canonicalize_name(packages[module][0]) for module in modules}


@pytest.mark.parametrize("name", ["cpu", "cuda"])
def test_conda_environments_pin_the_same(name: str, locked: dict[str, str]) -> None:
    specs = conda_packages(name)
    assert len(specs) == len(entries(name))
    assert specs.pop("python").matches(record("python", "3.11.9", "h0_cpython"))
    for package, spec in specs.items():
        build = f"{name}_py311_0"
        conda_name = spec.name.normalized
        assert spec.matches(record(conda_name, locked[package], build)), package
        assert not spec.matches(record(conda_name, f"{locked[package]}1", build)), package
        assert not spec.matches(record(conda_name, "0.0.1", build)), package


def test_the_environments_differ_in_the_build_of_pytorch_alone(locked: dict[str, str]) -> None:
    (pair,) = [p for p in zip(entries("cpu"), entries("cuda"), strict=True) if p[0] != p[1]]
    builds = ["cpu_generic_py311_h0_0", "cuda126_generic_py311_h0_200"]
    found = [record("pytorch", locked["torch"], build) for build in builds]
    cpu, cuda = ([MatchSpec(entry).matches(build) for build in found] for entry in pair)
    assert (cpu, cuda) == ([True, False], [False, True])


@pytest.mark.parametrize("name", ["cpu", "cuda"])
def test_conda_environments_hold_what_the_rules_import(name: str) -> None:
    """What runs the workflow is not in them; what only an extra needs may be missing."""
    optional = asked_for(*project()["optional-dependencies"].keys() - {"study"})
    needed = asked_for("study") - {"snakemake", "dvc"}
    assert len(needed) > 10
    assert imported() <= needed | optional, "pyproject.toml lacks what the library imports"
    assert (needed | imported()) - (optional - needed) <= set(conda_packages(name))


def test_pins_meet_what_the_package_asks_for(locked: dict[str, str]) -> None:
    extras = chain.from_iterable(project()["optional-dependencies"].values())
    for wish in map(Requirement, chain(project()["dependencies"], extras)):
        assert wish.specifier.contains(Version(locked[canonicalize_name(wish.name)])), wish
