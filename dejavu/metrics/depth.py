"""Metrics of metric depth."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from dejavu.edges import check_width, depth_edges, distance_to
from dejavu.metrics.base import Metric, MetricSpec, check_maps


@dataclass(frozen=True)
class DepthProtocol:
    """Which depths are scored.

    Attributes:
        min_depth: metres, above 0; truths at or below it are not scored, predictions are raised
            to it.
        max_depth: metres; truths at or above it are not scored, predictions are lowered to it.
        crop: rows and columns scored, (top, bottom, left, right), the ends excluded; None for
            all. The Eigen crop of NYUv2's 480 x 640 is (45, 471, 41, 601).

    Raises:
        ValueError: a limit or the crop is impossible.

    Example:
        >>> DepthProtocol(max_depth=2.0).valid(torch.tensor([[[[0.0, 1.0, 2.0]]]])).tolist()
        [[[[False, True, False]]]]
    """

    min_depth: float = 1e-3
    max_depth: float = 10.0
    crop: tuple[int, int, int, int] | None = None

    def __post_init__(self) -> None:
        if not (0 < self.min_depth < self.max_depth < math.inf):
            raise ValueError(
                f"min_depth={self.min_depth} and max_depth={self.max_depth}: "
                "must be finite, 0 < min_depth < max_depth"
            )
        if self.crop is not None:
            top, bottom, left, right = self.crop
            if not (0 <= top < bottom and 0 <= left < right):
                raise ValueError(
                    f"crop={self.crop}: must be (top, bottom, left, right) with "
                    "0 <= top < bottom and 0 <= left < right"
                )

    def valid(self, target: Tensor) -> Tensor:
        """Mark the pixels that are scored.

        Args:
            target: B x 1 x H x W, metres.

        Returns:
            B x 1 x H x W bool.

        Raises:
            ValueError: the crop reaches beyond the target.
        """
        within = (target > self.min_depth) & (target < self.max_depth)
        if self.crop is None:
            return within
        top, bottom, left, right = self.crop
        height, width = target.shape[-2:]
        if bottom > height or right > width:
            raise ValueError(
                f"target is {height} x {width}; it must hold the protocol's crop={self.crop}"
            )
        inside = torch.zeros_like(within)
        inside[..., top:bottom, left:right] = True
        return within & inside


class _ImageMeans(Metric):
    """Numbers of single images, averaged over the images that have a valid pixel."""

    def __init__(self, protocol: DepthProtocol) -> None:
        self.protocol = protocol
        self.sums = torch.zeros(len(self.specs) + 1, dtype=torch.float64)

    def _errors(self, prediction: Tensor, target: Tensor, valid: Tensor) -> dict[str, Tensor]:
        """Average the usual errors over each image's valid pixels, B each; 0 without any."""
        count = valid.flatten(1).sum(1).clamp(min=1)
        d = prediction.double().clamp(self.protocol.min_depth, self.protocol.max_depth)
        g = target.double().where(valid, 1.0)
        e = d.log() - g.log()
        ratio = torch.maximum(d / g, g / d)

        def mean(error: Tensor) -> Tensor:
            return (error * valid).flatten(1).sum(1) / count

        # Rounding can leave the variance of a constant error below 0.
        variance = (mean(e.square()) - mean(e).square()).clamp(min=0)
        return {
            "abs_rel": mean((d - g).abs() / g),
            "sq_rel": mean((d - g).square() / g),
            "rmse": mean((d - g).square()).sqrt(),
            "rmse_log": mean(e.square()).sqrt(),
            "log10": mean((d.log10() - g.log10()).abs()),
            "silog": 100 * variance.sqrt(),
            **{f"delta_{k}": 100 * mean((ratio < 1.25**k).double()) for k in (1, 2, 3)},
        }

    def _columns(self, values: list[Tensor], valid: Tensor) -> Tensor:
        """Put each image's numbers beside whether it has a valid pixel, B x (specs + 1)."""
        return torch.stack([*values, valid.flatten(1).any(1).double()], dim=1)

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

    def image_sums(self, prediction: Tensor, target: Tensor) -> Tensor:  # noqa: D102
        check_maps(prediction, target, channels=1)
        valid = self.protocol.valid(target)
        errors = self._errors(prediction, target, valid)
        return self._columns([errors[spec.name] for spec in self.specs], valid)


class DepthEdgeMetric(_ImageMeans):
    """RMSE and AbsRel near depth discontinuities of the ground truth, as the mean over images.

    A discontinuity is a jump between valid 4-neighbours by more than 10 % of the nearer; its band
    holds the valid pixels whose centre is less than ``width`` from that of a pixel at a jump.
    Images without such pixels are left out.

    Args:
        protocol: which depths are scored.
        width: pixels on each side of a discontinuity, at least 1.

    Shape:
        - prediction, target: B x 1 x H x W, metres.

    Raises:
        ValueError: width is below 1.

    Example:
        >>> metric = DepthEdgeMetric(DepthProtocol(), width=1)
        >>> truth = torch.tensor([[[[1.0, 1.0, 2.0, 2.0]]]])
        >>> metric.update(torch.tensor([[[[9.0, 1.5, 2.0, 9.0]]]]), truth)
        >>> metric.compute()["edge_abs_rel"]
        0.25
    """

    specs = (MetricSpec("edge_rmse", "m", False), MetricSpec("edge_abs_rel", "1", False))

    def __init__(self, protocol: DepthProtocol, width: int = 2) -> None:
        super().__init__(protocol)
        self.width = check_width(width)

    def image_sums(self, prediction: Tensor, target: Tensor) -> Tensor:  # noqa: D102
        check_maps(prediction, target, channels=1)
        valid = self.protocol.valid(target)
        # A jump to an unknown depth, whatever number stands for it, is no discontinuity.
        edges = depth_edges(target.where(valid, 0))
        valid &= (distance_to(edges) < self.width).unsqueeze(1)
        errors = self._errors(prediction, target, valid)
        return self._columns([errors["rmse"], errors["abs_rel"]], valid)
