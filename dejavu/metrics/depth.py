"""Metrics of metric depth."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Self, get_args

import torch
from torch import Tensor

from dejavu.metrics.base import Metric, MetricSpec, check_maps
from dejavu.metrics.edges import check_width, depth_edges, distance_to

TASK = "depth"

Crop = Literal["none", "eigen", "garg"]
Alignment = Literal["none", "median"]
Reduction = Literal["images", "pixels"]

NYUV2_SIZE = (480, 640)
"""Height and width of NYUv2's images, for which Eigen's crop is defined."""

_MOMENTS = 9

_KEYS = ("min_depth", "max_depth", "depth_crop", "depth_alignment", "depth_reduction")


@dataclass(frozen=True)
class DepthProtocol:
    """Protocol of depth evaluation: limits, crop, alignment and reduction.

    Attributes:
        min_depth: metres, above 0; truths at or below it are not scored, predictions are raised
            to it.
        max_depth: metres; truths at or above it are not scored, predictions are lowered to it.
        crop: pixels scored. ``none``: all; ``eigen``: rows 45 to 470 and columns 41 to 600 of
            NYUv2's 480 x 640 (Eigen et al., 2014; their KITTI crop differs); ``garg``: rows
            from 40.810811 % to 99.189189 % and columns from 3.594771 % to 96.405229 %, of KITTI
            (Garg et al., 2016).
        alignment: ``median``: each predicted map is multiplied by median(truth) /
            median(prediction) over its image's scored pixels, and then clamped to the limits, as
            for depth that is learnt without a scale (Zhou et al., 2017); ``none``: it is only
            clamped.
        reduction: ``images``: the plain mean over images of each image's number; ``pixels``: each
            number once over the scored pixels of the whole set, so that an image with more of
            them weighs more, and roots are taken of pooled means.

    Raises:
        ValueError: a limit is out of range, or a name unknown.

    Example:
        >>> DepthProtocol(max_depth=2.0).valid(torch.tensor([[[[0.0, 1.0, 2.0]]]])).tolist()
        [[[[False, True, False]]]]
    """

    min_depth: float = 1e-3
    max_depth: float = 10.0
    crop: Crop = "none"
    alignment: Alignment = "none"
    reduction: Reduction = "images"

    def __post_init__(self) -> None:
        if not (0 < self.min_depth < self.max_depth < math.inf):
            raise ValueError(
                f"min_depth={self.min_depth} and max_depth={self.max_depth}: "
                "must be finite, 0 < min_depth < max_depth"
            )
        for field, names in (("crop", Crop), ("alignment", Alignment), ("reduction", Reduction)):
            value, known = getattr(self, field), get_args(names)
            if value not in known:
                raise ValueError(f"{field}={value!r}: must be one of {', '.join(known)}")

    def valid(self, target: Tensor) -> Tensor:
        """Mark the pixels that are scored.

        Args:
            target: B x 1 x H x W, metres.

        Returns:
            B x 1 x H x W bool.

        Raises:
            ValueError: the target does not have the size for which the crop is defined.
        """
        rows, columns = self._window(*target.shape[-2:])
        inside = torch.zeros_like(target, dtype=torch.bool)
        inside[..., rows, columns] = True
        return inside & (target > self.min_depth) & (target < self.max_depth)

    def _window(self, height: int, width: int) -> tuple[slice, slice]:
        """Rows and columns of the crop."""
        if self.crop == "none":
            return slice(None), slice(None)
        if self.crop == "garg":
            rows = slice(int(0.40810811 * height), int(0.99189189 * height))
            return rows, slice(int(0.03594771 * width), int(0.96405229 * width))
        if (height, width) != NYUV2_SIZE:
            raise ValueError(
                f"target is {height} x {width}; crop='eigen' is defined for NYUv2's 480 x 640: "
                "resize target and prediction to that size, or choose another crop"
            )
        return slice(45, 471), slice(41, 601)

    def adjust(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Align the prediction, then clamp it to the limits.

        Args:
            prediction: B x 1 x H x W, metres, or any unit if it is aligned.
            target: B x 1 x H x W, metres.

        Returns:
            B x 1 x H x W float64, metres.

        Raises:
            ValueError: alignment is by median, and a prediction's median is not above 0.

        Example:
            >>> prediction, target = torch.tensor([[[[[1.0, 3.0]]]], [[[[4.0, 8.0]]]]])
            >>> DepthProtocol(alignment="median").adjust(prediction, target).tolist()
            [[[[3.0, 9.0]]]]
        """
        d, g = prediction.double(), target.double()
        if self.alignment == "median":
            scales = map(_median_ratio, g, d, self.valid(target))
            d = d * torch.stack([*scales]).view(-1, 1, 1, 1)
        return d.clamp(self.min_depth, self.max_depth)


def _median_ratio(target: Tensor, prediction: Tensor, valid: Tensor) -> Tensor:
    """Ratio of median(truth) to median(prediction) over an image's valid pixels; 1 without any.

    The median of an even number of values is midway between the middle two, as in NumPy.
    """
    if not valid.any():
        return target.new_ones(())
    truth, found = (depth[valid].quantile(0.5) for depth in (target, prediction))
    if found <= 0:
        raise ValueError(
            f"prediction has the median {found.item():g} over an image's scored pixels; "
            "alignment='median' needs a median above 0"
        )
    return truth / found


def _protocol(settings: Mapping[str, Any]) -> DepthProtocol:
    """Create the protocol of depth from the settings of a study."""
    return DepthProtocol(
        min_depth=settings["min_depth"],
        max_depth=settings["max_depth"],
        crop=settings["depth_crop"],
        alignment=settings["depth_alignment"],
        reduction=settings["depth_reduction"],
    )


class _DepthErrors(Metric):
    """The usual depth errors over a subset of the valid pixels, reduced by the protocol.

    With reduction ``images``, each image's numbers are computed, and summed over images; with
    ``pixels``, sums over pixels are added up over the set, and the numbers computed at the end.
    """

    prefix = ""

    def __init__(self, protocol: DepthProtocol) -> None:
        self.protocol = protocol
        columns = _MOMENTS if protocol.reduction == "pixels" else len(self.specs)
        self.sums = torch.zeros(columns + 1, dtype=torch.float64)

    def image_sums(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Return each image's pixel sums and pixel count, or its numbers and an image count."""
        check_maps(prediction, target, channels=1)
        valid = self._scored(target, self.protocol.valid(target))
        d = self.protocol.adjust(prediction, target)
        sums = torch.stack(
            [(m * valid).flatten(1).sum(1) for m in _moments(d, target.double().where(valid, 1.0))],
            dim=1,
        )
        count = valid.flatten(1).sum(1, keepdim=True)
        if self.protocol.reduction == "pixels":
            return torch.cat([sums, count], dim=1)
        numbers = self._select(_numbers(sums / count.clamp(min=1)))
        return torch.stack([*numbers, (count[:, 0] > 0).double()], dim=1)

    def _scored(self, target: Tensor, valid: Tensor) -> Tensor:
        """Select the pixels of this metric from the protocol's."""
        return valid

    def _select(self, numbers: dict[str, Tensor]) -> list[Tensor]:
        return [numbers[spec.name.removeprefix(self.prefix)] for spec in self.specs]

    def compute(self) -> dict[str, float]:
        """Return each number by name; NaN where no pixel was scored."""
        means = self.sums[:-1] / self.sums[-1]
        values = self._select(_numbers(means)) if self.protocol.reduction == "pixels" else means
        return {spec.name: value.item() for spec, value in zip(self.specs, values, strict=True)}


def _moments(d: Tensor, g: Tensor) -> list[Tensor]:
    """Per-pixel terms to average, for predictions d and truths g: `_MOMENTS` maps like them."""
    e = d.log() - g.log()
    ratio = torch.maximum(d / g, g / d)
    return [
        (d - g).abs() / g,
        (d - g).square() / g,
        (d - g).square(),
        e,
        e.square(),
        (d.log10() - g.log10()).abs(),
        *((ratio < 1.25**k).double() for k in (1, 2, 3)),
    ]


def _numbers(means: Tensor) -> dict[str, Tensor]:
    """Compute the errors from the means of the moments, which are the last dimension."""
    abs_rel, sq_rel, square, e, e_square, log10, *deltas = means.unbind(-1)
    # Rounding can leave the variance of a constant error below 0.
    variance = (e_square - e.square()).clamp(min=0)
    return {
        "abs_rel": abs_rel,
        "sq_rel": sq_rel,
        "rmse": square.sqrt(),
        "rmse_log": e_square.sqrt(),
        "log10": log10,
        "silog": 100 * variance.sqrt(),
        **{f"delta_{k}": 100 * delta for k, delta in zip((1, 2, 3), deltas, strict=True)},
    }


class DepthMetric(_DepthErrors):
    """The usual errors of metric depth (after Eigen et al., 2014).

    With prediction d (aligned and clamped by the protocol) and truth g over the scored pixels,
    e = ln d - ln g: AbsRel = mean |d - g| / g, SqRel = mean (d - g)^2 / g, RMSE = sqrt mean
    (d - g)^2, RMSElog = sqrt mean e^2, log10 = mean |log10 d - log10 g|, SILog = 100 sqrt(mean
    e^2 - (mean e)^2), delta_k = share of pixels with max(d/g, g/d) < 1.25^k, strictly. By the
    protocol's ``reduction``, each number is the plain MEAN OVER IMAGES that have scored pixels
    (the default), or the means above are over the pixels of the whole set.

    Shape:
        - prediction, target: B x 1 x H x W, metres; a target outside the limits is not scored.

    Example:
        >>> metric = DepthMetric(DepthProtocol())
        >>> metric.update(torch.full((1, 1, 1, 2), 3.0), torch.tensor([[[[2.0, 0.0]]]]))
        >>> metric.compute()["abs_rel"], metric.compute()["rmse"]
        (0.5, 1.0)
    """

    protocol_keys = _KEYS
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

    @classmethod
    def create(cls, channels: int, settings: Mapping[str, Any]) -> Self:  # noqa: D102
        return cls(_protocol(settings))


class DepthEdgeMetric(_DepthErrors):
    """RMSE and AbsRel near depth discontinuities of the ground truth, reduced as all depth errors.

    A discontinuity is a jump between valid 4-neighbours by more than 10 % of the nearer; its band
    holds the valid pixels whose centre is less than ``width`` from the centre of a pixel at a jump.
    Images without such pixels are left out. Alignment uses all scored pixels, not only the band's.

    Args:
        protocol: limits, crop, alignment and reduction.
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

    protocol_keys = (*_KEYS, "edge_width")
    prefix = "edge_"
    specs = (MetricSpec("edge_rmse", "m", False), MetricSpec("edge_abs_rel", "1", False))

    @classmethod
    def create(cls, channels: int, settings: Mapping[str, Any]) -> Self:  # noqa: D102
        return cls(_protocol(settings), width=settings["edge_width"])

    def __init__(self, protocol: DepthProtocol, width: int = 2) -> None:
        super().__init__(protocol)
        self.width = check_width(width)

    def _scored(self, target: Tensor, valid: Tensor) -> Tensor:
        # A jump to an unknown depth, whatever number stands for it, is no discontinuity.
        edges = depth_edges(target.where(valid, 0))
        return valid & (distance_to(edges) < self.width).unsqueeze(1)
