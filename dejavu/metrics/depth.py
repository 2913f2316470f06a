"""Metrics of metric depth."""

from dataclasses import dataclass

import torch
from torch import Tensor

from dejavu.metrics.base import Metric, MetricSpec, check_maps
from dejavu.metrics.edges import depth_edges, distance_to


@dataclass(frozen=True)
class DepthProtocol:
    """Which depths are scored.

    Attributes:
        min_depth: metres; truths at or below it are not scored, predictions are raised to it.
        max_depth: metres; truths at or above it are not scored, predictions are lowered to it.
    """

    min_depth: float = 1e-3
    max_depth: float = 10.0


class _ImageMeans(Metric):
    """Numbers of single images, averaged over the images that have a valid pixel."""

    protocol: DepthProtocol

    def _start(self) -> None:
        self.sums = torch.zeros(len(self.specs) + 1, dtype=torch.float64)

    def _valid(self, target: Tensor) -> Tensor:
        return (target > self.protocol.min_depth) & (target < self.protocol.max_depth)

    def _average(
        self, prediction: Tensor, target: Tensor, valid: Tensor
    ) -> tuple[dict[str, Tensor], Tensor]:
        """Average the usual errors over each image's valid pixels, B each; count the pixels."""
        count = valid.flatten(1).sum(1)
        limits = (self.protocol.min_depth, self.protocol.max_depth)
        d = prediction.double().clamp(*limits)
        g = target.double().where(valid, 1.0)
        log, ratio = (d / g).log(), torch.maximum(d / g, g / d)

        def mean(error: Tensor) -> Tensor:
            return (error * valid).flatten(1).sum(1) / count

        silog = mean(log.square()) - mean(log).square()
        values = {
            "abs_rel": mean((d - g).abs() / g),
            "sq_rel": mean((d - g).square() / g),
            "rmse": mean((d - g).square()).sqrt(),
            "rmse_log": mean(log.square()).sqrt(),
            "log10": mean((d.log10() - g.log10()).abs()),
            "silog": 100 * silog.clamp(min=0).sqrt(),
            **{f"delta_{k}": 100 * mean((ratio < 1.25**k).double()) for k in (1, 2, 3)},
        }
        return values, count

    def _sums(self, values: dict[str, Tensor], count: Tensor, prefix: str = "") -> Tensor:
        columns = [values[spec.name.removeprefix(prefix)].nan_to_num(0) for spec in self.specs]
        return torch.stack([*columns, (count > 0).double()], dim=1)

    def compute(self) -> dict[str, float]:
        """Return the plain mean over images of each number."""
        *totals, images = self.sums
        pairs = zip(self.specs, totals, strict=True)
        return {spec.name: (total / images).item() for spec, total in pairs}


class DepthMetric(_ImageMeans):
    """The usual errors of metric depth (after Eigen et al., 2014), as the MEAN OVER IMAGES.

    With prediction d (clamped to the protocol's limits) and truth g over an image's valid pixels,
    e = ln d - ln g: AbsRel = mean |d - g| / g, SqRel = mean (d - g)^2 / g, RMSE = sqrt mean
    (d - g)^2, RMSElog = sqrt mean e^2, log10 = mean |log10 d - log10 g|, SILog = 100 sqrt(mean
    e^2 - (mean e)^2), delta_k = share of pixels with max(d/g, g/d) < 1.25^k, strictly. Images
    without a valid pixel are left out.

    Shape:
        - prediction, target: B x 1 x H x W, metres; a target outside the limits is not scored.

    Example:
        >>> metric = DepthMetric(DepthProtocol())
        >>> metric.update(torch.full((1, 1, 1, 2), 3.0), torch.tensor([[[[2.0, 0.0]]]]))
        >>> metric.compute()["abs_rel"], metric.compute()["rmse"]
        (0.5, 1.0)
    """

    specs = (
        MetricSpec("abs_rel", "1", False),
        MetricSpec("sq_rel", "m", False),
        MetricSpec("rmse", "m", False),
        MetricSpec("rmse_log", "1", False),
        MetricSpec("log10", "1", False),
        MetricSpec("silog", "1", False),
        MetricSpec("delta_1", "%", True),
        MetricSpec("delta_2", "%", True),
        MetricSpec("delta_3", "%", True),
    )

    def __init__(self, protocol: DepthProtocol) -> None:
        self.protocol = protocol
        self._start()

    def image_sums(self, prediction: Tensor, target: Tensor) -> Tensor:  # noqa: D102
        check_maps(prediction, target, channels=1)
        return self._sums(*self._average(prediction, target, self._valid(target)))


class DepthEdgeMetric(_ImageMeans):
    """RMSE and AbsRel near depth discontinuities of the ground truth, as the mean over images.

    A discontinuity is a jump between 4-neighbours by more than 10 % of the nearer depth; its band
    holds the pixels whose centre is less than ``width`` from that of a pixel at a jump. Images
    without one are left out.

    Shape:
        - prediction, target: B x 1 x H x W, metres.
    """

    specs = (MetricSpec("edge_rmse", "m", False), MetricSpec("edge_abs_rel", "1", False))

    def __init__(self, protocol: DepthProtocol, width: int = 2) -> None:
        self.protocol = protocol
        self.width = width
        self._start()

    def image_sums(self, prediction: Tensor, target: Tensor) -> Tensor:  # noqa: D102
        check_maps(prediction, target, channels=1)
        band = (distance_to(depth_edges(target)) < self.width).unsqueeze(1)
        values, count = self._average(prediction, target, self._valid(target) & band)
        return self._sums(values, count, prefix="edge_")
