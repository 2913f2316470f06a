"""Import paths of version 0.1 that keep working: ``dejavu.text`` is ``dejavu.method.text``."""

import importlib
import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

ALIASES = {
    "dejavu.attention": "dejavu.method.attention",
    "dejavu.checkpoint": "dejavu.training.checkpoint",
    "dejavu.cyclic": "dejavu.method.cyclic",
    "dejavu.data.conventions": "dejavu.datasets.reading.conventions",
    "dejavu.data.decoding": "dejavu.datasets.reading.decoding",
    "dejavu.data.raw": "dejavu.datasets.reading.raw",
    "dejavu.distances": "dejavu.method.distances",
    "dejavu.export": "dejavu.evaluation.export",
    "dejavu.features": "dejavu.method.features",
    "dejavu.losses": "dejavu.method.loss",
    "dejavu.redaction": "dejavu.method.redaction",
    "dejavu.regeneration": "dejavu.method.crm",
    "dejavu.text": "dejavu.method.text",
}


class _AliasFinder(MetaPathFinder, Loader):
    """Imports a module of `ALIASES`, or a submodule of one, from its present path."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        return ModuleSpec(fullname, self) if _target(fullname) else None

    def exec_module(self, module: ModuleType) -> None:
        # The import system hands on what it finds here afterwards: the module itself, no copy.
        sys.modules[module.__name__] = importlib.import_module(str(_target(module.__name__)))


def install() -> None:
    """Add the aliases to the import system, once."""
    if not any(isinstance(finder, _AliasFinder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _AliasFinder())


def _target(name: str) -> str | None:
    for alias, target in ALIASES.items():
        if name == alias or name.startswith(f"{alias}."):
            return target + name.removeprefix(alias)
    return None
