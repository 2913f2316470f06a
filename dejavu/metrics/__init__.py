"""Metrics of the published protocols, as additive sums.

Names are imported on first use, so that scoring one task loads no metric of another.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dejavu.metrics.base import Metric as Metric
    from dejavu.metrics.base import MetricSpec as MetricSpec
    from dejavu.metrics.boundary import BoundaryF as BoundaryF
    from dejavu.metrics.boundary import BoundaryIoU as BoundaryIoU
    from dejavu.metrics.boundary import TrimapIoU as TrimapIoU
    from dejavu.metrics.components import ComponentError as ComponentError
    from dejavu.metrics.depth import DepthEdgeMetric as DepthEdgeMetric
    from dejavu.metrics.depth import DepthMetric as DepthMetric
    from dejavu.metrics.depth import DepthProtocol as DepthProtocol
    from dejavu.metrics.normals import NormalsEdgeMetric as NormalsEdgeMetric
    from dejavu.metrics.normals import NormalsMetric as NormalsMetric
    from dejavu.metrics.segmentation import ConfusionMetric as ConfusionMetric

_HOMES = {
    "BoundaryF": "boundary",
    "BoundaryIoU": "boundary",
    "ComponentError": "components",
    "ConfusionMetric": "segmentation",
    "DepthEdgeMetric": "depth",
    "DepthMetric": "depth",
    "DepthProtocol": "depth",
    "Metric": "base",
    "MetricSpec": "base",
    "NormalsEdgeMetric": "normals",
    "NormalsMetric": "normals",
    "TrimapIoU": "boundary",
}
__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
