"""The conda environments and the package ask for what requirements.txt pins."""

import re
import tomllib
from itertools import chain
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parents[2]
CONDA_NAMES = {"matplotlib-base": "matplotlib", "pytorch": "torch"}


@pytest.fixture(scope="module")
def locked() -> dict[str, str]:
    """Version by package of requirements.txt."""
    lines = (ROOT / "requirements.txt").read_text().splitlines()
    pins = (line.split("==") for line in lines if "==" in line)
    return {canonicalize_name(name): version for name, version in pins}


@pytest.mark.parametrize("name", ["cpu", "cuda"])
def test_conda_environments_pin_the_same(name: str, locked: dict[str, str]) -> None:
    tree = yaml.safe_load((ROOT / f"workflow/envs/{name}.yaml").read_text())
    pins = [re.split("=+", entry)[:2] for entry in tree["dependencies"]]
    packages = {CONDA_NAMES.get(package, package): version for package, version in pins}
    assert packages.pop("python") == "3.11"
    assert packages == {package: locked[package] for package in packages}
    assert {"torch", "numpy", "pydantic", "safetensors"} <= set(packages)


def test_pins_meet_what_the_package_asks_for(locked: dict[str, str]) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = chain.from_iterable(project["optional-dependencies"].values())
    for wish in map(Requirement, chain(project["dependencies"], extras)):
        assert wish.specifier.contains(Version(locked[canonicalize_name(wish.name)])), wish
