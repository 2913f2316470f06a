"""The metrics of each task, and the protocol settings that their numbers depend on."""

import importlib
import inspect
from typing import Any

from dejavu.config import EvaluationParams
from dejavu.config.evaluation import metric_modules
from dejavu.metrics.base import Metric
from dejavu.tasks.base import Task


def create_metrics(task: Task, protocol: EvaluationParams) -> list[Metric]:
    """Create the metrics of a task: all that the modules of ``dejavu/metrics`` define for it.

    Only these modules are imported.

    Returns:
        The metric with the task's primary number, the metric with its boundary number, then the
        others by module, in order of definition.

    Example:
        >>> from dejavu.tasks.registry import create_task
        >>> metrics = create_metrics(create_task("normals", []), EvaluationParams())
        >>> [type(metric).__name__ for metric in metrics]
        ['NormalsMetric', 'NormalsEdgeMetric']
    """
    metrics = [
        kind.create(task.channels, {key: getattr(protocol, key) for key in kind.protocol_keys})
        for kind in _kinds(task.name)
    ]

    def rank(metric: Metric) -> tuple[bool, bool]:
        names = {spec.name for spec in metric.specs}
        return task.primary not in names, task.boundary not in names

    return sorted(metrics, key=rank)


def protocol_of(task: str, protocol: EvaluationParams) -> dict[str, Any]:
    """Return the protocol settings that a task's numbers depend on: views and metric settings.

    Example:
        >>> protocol_of("normals", EvaluationParams())
        {'flip': False, 'scales': [1.0], 'window': None, 'edge_width': 2}
    """
    views = ["flip", "scales", "window", *(["overlap"] if protocol.window else [])]
    read = [key for kind in _kinds(task) for key in kind.protocol_keys]
    return protocol.model_dump(mode="json", include={*views, *read})


def _kinds(task: str) -> list[type[Metric]]:
    """The metric classes of a task, by module."""
    modules = [importlib.import_module(f"dejavu.{name}") for name in metric_modules(task)]
    return [
        kind
        for module in modules
        for kind in vars(module).values()
        if inspect.isclass(kind)
        and issubclass(kind, Metric)
        and kind.__module__ == module.__name__
        and not inspect.isabstract(kind)
    ]
