"""Tasks by name: each is a module of this folder, imported on demand."""

import importlib
import pkgutil
from collections.abc import Sequence

import dejavu.tasks
from dejavu.config.base import Section
from dejavu.tasks.base import Settings, Task

_OTHERS = {"base", "losses", "registry"}
"""Modules of this folder that are not tasks."""


def task_names() -> list[str]:
    """List the names of all tasks, in alphabetical order.

    Example:
        >>> {"depth", "normals", "segmentation"} <= set(task_names())
        True
    """
    modules = pkgutil.iter_modules(dejavu.tasks.__path__)
    return sorted(module.name for module in modules if module.name not in _OTHERS)


def create_task(
    name: str, palette: Sequence[Sequence[int]], settings: Section | Settings | None = None
) -> Task:
    """Create a task from its name, the classes of its data and its settings.

    Only the module of the task is imported.

    Args:
        name: the name of its module, one of `task_names`.
        palette: one RGB colour (0 to 255) per class of the data; read by segmentation alone.
        settings: the task's section of the params, or some of its values; the defaults for all
            others, or if None.

    Raises:
        ValueError: the name is unknown, or a setting is unknown or impossible.

    Example:
        >>> create_task("depth", [], {"head": "bins", "bins": 32}).channels
        32
    """
    if name not in task_names():
        raise ValueError(f"name={name!r}: no such task; known: {', '.join(task_names())}")
    task: Task = importlib.import_module(f"dejavu.tasks.{name}").create(palette, settings)
    return task
