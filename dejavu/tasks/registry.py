"""Tasks by name: each is a module of this folder, imported when it is asked for."""

import importlib
import pkgutil
from collections.abc import Sequence

import dejavu.tasks
from dejavu.config.base import Section
from dejavu.tasks.base import Settings, Task

_OTHERS = {"base", "losses", "registry"}
"""What stands beside the tasks: what they share."""


def task_names() -> list[str]:
    """Name every task that has a module here, in alphabetical order.

    Example:
        >>> {"depth", "normals", "segmentation"} <= set(task_names())
        True
    """
    modules = pkgutil.iter_modules(dejavu.tasks.__path__)
    return sorted(module.name for module in modules if module.name not in _OTHERS)


def create_task(
    name: str, palette: Sequence[Sequence[int]], settings: Section | Settings | None = None
) -> Task:
    """Make a task from its name, the classes of its data and its settings.

    Only the module of the task is imported.

    Args:
        name: the name of its module, one of `task_names`.
        palette: one RGB colour (0 to 255) per class of the data; read by segmentation alone.
        settings: the task's own section of the params, or its values, which may be fewer; the
            defaults if None.

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
