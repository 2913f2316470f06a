"""Metrics of the published protocols, as additive sums."""

from dejavu.metrics.base import Metric, MetricSpec
from dejavu.metrics.boundary import BoundaryF, BoundaryIoU, TrimapIoU
from dejavu.metrics.components import ComponentError
from dejavu.metrics.depth import DepthEdgeMetric, DepthMetric, DepthProtocol
from dejavu.metrics.normals import NormalsEdgeMetric, NormalsMetric
from dejavu.metrics.segmentation import ConfusionMetric

__all__ = [
    "BoundaryF",
    "BoundaryIoU",
    "ComponentError",
    "ConfusionMetric",
    "DepthEdgeMetric",
    "DepthMetric",
    "DepthProtocol",
    "Metric",
    "MetricSpec",
    "NormalsEdgeMetric",
    "NormalsMetric",
    "TrimapIoU",
]
