"""Invariants of every metric."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from dejavu import metrics
from dejavu.data.sample import Batch
from dejavu.metrics import (
    BoundaryF,
    BoundaryIoU,
    ComponentError,
    ConfusionMetric,
    DepthEdgeMetric,
    DepthMetric,
    DepthProtocol,
    Metric,
    NormalsEdgeMetric,
    NormalsMetric,
    TrimapIoU,
)
from tests.support.planting import imported

CLASSES = 4
LABELS: list[Callable[[], Metric]] = [
    lambda: ConfusionMetric(CLASSES),
    lambda: BoundaryIoU(CLASSES),
    lambda: BoundaryF(CLASSES),
    lambda: TrimapIoU(CLASSES),
    lambda: ComponentError(CLASSES),
]
DEPTH: list[Callable[[], Metric]] = [
    lambda: DepthMetric(DepthProtocol()),
    lambda: DepthEdgeMetric(DepthProtocol()),
]
NORMALS: list[Callable[[], Metric]] = [NormalsMetric, NormalsEdgeMetric]
ALL = LABELS + DEPTH + NORMALS


def name_of(make: Callable[[], Metric]) -> str:
    return type(make()).__name__


# The last bit of an fp32 angle depends on its pixel's position in the batch.
ROUNDING = 1e-7

every = pytest.mark.parametrize("make", ALL, ids=name_of)


def scenes(seed: int, images: int = 6) -> Batch:
    """Blocks of random labels, depths and normals, with unknown pixels in each."""
    draws = torch.Generator().manual_seed(seed)

    def blocks(values: Tensor) -> Tensor:
        return values.repeat_interleave(3, -2).repeat_interleave(5, -1)

    known = torch.rand(images, 1, 12, 15, generator=draws) > 0.1
    label = blocks(torch.randint(CLASSES, (images, 4, 3), generator=draws))
    depth = blocks(0.5 + 8 * torch.rand(images, 1, 4, 3, generator=draws))
    normals = blocks(torch.randn(images, 3, 4, 3, generator=draws))
    return Batch(
        image=torch.zeros(images, 3, 12, 15),
        label=label.where(known[:, 0], 255),
        depth=depth * known,
        normals=torch.nn.functional.normalize(normals, dim=1) * known,
    )


def pair(metric: Metric, seed: int = 0) -> tuple[Tensor, Tensor]:
    """A prediction of the metric's kind that errs in places, and its target."""
    truth = scenes(seed)
    draws = torch.Generator().manual_seed(seed + 1)
    if name_of(lambda: metric).startswith("Depth"):
        noise = torch.randn(truth.depth.shape, generator=draws)
        return truth.depth + 0.3 * noise, truth.depth
    if name_of(lambda: metric).startswith("Normals"):
        noise = torch.randn(truth.normals.shape, generator=draws)
        return truth.normals + 0.3 * noise, truth.normals
    guess = torch.randint(CLASSES, truth.label.shape, generator=draws)
    kept = (torch.rand(truth.label.shape, generator=draws) < 0.9) & (truth.label < CLASSES)
    return truth.label.where(kept, guess), truth.label


def scored(metric: Metric, prediction: Tensor, target: Tensor) -> dict[str, float]:
    metric.update(prediction, target)
    return metric.compute()


@every
def test_computes_one_finite_number_per_spec(make: Callable[[], Metric]) -> None:
    metric = make()
    values = scored(metric, *pair(metric))
    assert list(values) == [spec.name for spec in metric.specs]
    assert all(0 < value < 1000 for value in values.values()), values
    bounded = [values[spec.name] for spec in metric.specs if spec.unit == "%"]
    assert all(value < 100 for value in bounded)


@every
def test_a_perfect_prediction_has_the_best_score(make: Callable[[], Metric]) -> None:
    metric = make()
    target = pair(metric)[1]
    values = scored(metric, target.where(target != 255, 0), target)
    for spec in metric.specs:
        best = 100.0 if spec.higher_is_better else 0.0
        slack = 0.006 if spec.name == "median_angle" else 1e-4  # half a histogram bin
        assert values[spec.name] == pytest.approx(best, abs=slack), spec.name


@every
def test_batches_of_a_set_score_as_the_whole(make: Callable[[], Metric]) -> None:
    whole, parts = make(), make()
    prediction, target = pair(whole)
    for part in (slice(1), slice(1, 3), slice(3, None)):
        parts.update(prediction[part], target[part])
    assert parts.compute() == pytest.approx(scored(whole, prediction, target), rel=ROUNDING)


@every
def test_image_sums_are_each_images_own(make: Callable[[], Metric]) -> None:
    metric = make()
    prediction, target = pair(metric)
    sums = metric.image_sums(prediction, target)
    assert sums.shape == (len(target), *metric.sums.shape)
    assert sums.dtype == metric.sums.dtype
    for image in range(len(target)):
        alone, picked = make(), make()
        picked.sums = sums[image]
        values = scored(alone, prediction[image : image + 1], target[image : image + 1])
        assert picked.compute() == pytest.approx(values, rel=ROUNDING, nan_ok=True)
    assert not metric.sums.any(), "image_sums must not change what was seen"


@every
def test_order_of_images_does_not_matter(make: Callable[[], Metric]) -> None:
    metric, other = make(), make()
    prediction, target = pair(metric)
    order = torch.tensor([3, 0, 5, 1, 4, 2])
    assert scored(metric, prediction, target) == pytest.approx(
        scored(other, prediction[order], target[order]), rel=ROUNDING
    )


@every
@pytest.mark.parametrize("move", ["mirror", "transpose"])
def test_mirrored_and_transposed_images_score_the_same(
    make: Callable[[], Metric], move: str
) -> None:
    metric, other = make(), make()
    prediction, target = pair(metric)
    moved = [
        maps.flip(-1) if move == "mirror" else maps.transpose(-1, -2).contiguous()
        for maps in (prediction, target)
    ]
    assert scored(metric, prediction, target) == pytest.approx(scored(other, *moved), rel=ROUNDING)


@every
def test_what_is_predicted_at_unknown_pixels_does_not_matter(make: Callable[[], Metric]) -> None:
    metric, other = make(), make()
    prediction, target = pair(metric)
    unknown = target == 255 if target.ndim == 3 else (target == 0).all(1, keepdim=True)
    changed = prediction.masked_fill(unknown, 3)
    assert not changed.equal(prediction)
    assert scored(metric, prediction, target) == scored(other, changed, target)


@every
def test_nothing_valid_is_nan_and_adds_nothing(make: Callable[[], Metric]) -> None:
    empty, some = make(), make()
    prediction, target = pair(some)
    nothing = torch.full_like(target, 255) if target.ndim == 3 else torch.zeros_like(target)
    before = scored(some, prediction, target)
    empty.update(prediction, nothing)
    assert all(value != value for value in empty.compute().values())
    some.update(prediction, nothing)
    assert some.compute() == before


@every
def test_more_wrong_scores_worse(make: Callable[[], Metric]) -> None:
    metric, worse = make(), make()
    prediction, target = pair(metric)
    rolled = prediction.roll(4, dims=-1)
    first, second = scored(metric, prediction, target), scored(worse, rolled, target)
    primary = metric.specs[0]
    if primary.name == "component_error":  # a moved prediction has as many pieces
        return
    assert (second[primary.name] < first[primary.name]) == primary.higher_is_better


@every
def test_inputs_are_left_as_they_were(make: Callable[[], Metric]) -> None:
    metric = make()
    prediction, target = pair(metric)
    copies = prediction.clone(), target.clone()
    metric.update(prediction, target)
    assert prediction.equal(copies[0])
    assert target.equal(copies[1])


@every
def test_shapes_that_differ_are_refused(make: Callable[[], Metric]) -> None:
    metric = make()
    prediction, target = pair(metric)
    for wrong in (prediction[:1], prediction[..., :1]):  # either would broadcast
        with pytest.raises(ValueError, match=r"prediction has shape .* and target .* resize"):
            metric.update(wrong, target)
    assert not metric.sums.any()


@every
def test_wrong_kinds_are_refused(make: Callable[[], Metric]) -> None:
    metric = make()
    prediction, target = pair(metric)
    labels = target.ndim == 3
    other = torch.float32 if labels else torch.int64
    with pytest.raises(ValueError, match=f"prediction is {other} of shape .* it must be"):
        metric.update(prediction.to(other), target)
    with pytest.raises(ValueError, match=f"target is {other} of shape .* it must be"):
        metric.update(prediction, target.to(other))
    with pytest.raises(ValueError, match=r"prediction is .* of shape .* it must be"):
        metric.update(prediction[0], target[0])


@pytest.mark.parametrize("make", LABELS, ids=name_of)
@pytest.mark.parametrize(
    ("argument", "label"),
    [("prediction", CLASSES), ("prediction", -1), ("prediction", 255), ("target", CLASSES)],
)
def test_labels_out_of_range_are_refused(
    make: Callable[[], Metric], argument: str, label: int
) -> None:
    metric = make()
    maps = dict(zip(("prediction", "target"), pair(metric), strict=True))
    maps[argument][0, 0, 0] = label
    with pytest.raises(ValueError, match=f"{argument} holds the label {label}; labels are 0 to 3"):
        metric.update(**maps)


@pytest.mark.parametrize("make", DEPTH + NORMALS, ids=name_of)
@pytest.mark.parametrize("argument", ["prediction", "target"])
def test_maps_that_are_not_finite_are_refused(make: Callable[[], Metric], argument: str) -> None:
    metric = make()
    maps = dict(zip(("prediction", "target"), pair(metric), strict=True))
    for value in (float("nan"), float("inf")):
        maps[argument][0, 0, 0, 0] = value
        with pytest.raises(ValueError, match=f"{argument} holds NaN or infinite"):
            metric.update(**maps)


@pytest.mark.parametrize("make", LABELS, ids=name_of)
def test_another_ignored_label_is_heeded(make: Callable[[], Metric]) -> None:
    metric = make()
    other = type(metric)(CLASSES, ignore_index=-100)  # type: ignore[call-arg]
    prediction, target = pair(metric)
    renamed = target.where(target != 255, -100)
    assert scored(metric, prediction, target) == scored(other, prediction, renamed)


@pytest.mark.parametrize("make", LABELS, ids=name_of)
def test_impossible_classes_are_refused(make: Callable[[], Metric]) -> None:
    kind = type(make())
    with pytest.raises(ValueError, match="num_classes=0"):
        kind(0)  # type: ignore[call-arg]
    with pytest.raises(ValueError, match=r"ignore_index=3: .* 0 to 3"):
        kind(4, ignore_index=3)  # type: ignore[call-arg]


def test_names_are_imported_when_they_are_asked_for() -> None:
    assert imported("import dejavu.metrics") == {"dejavu._aliases", "dejavu.metrics"}
    loaded = imported("from dejavu.metrics import NormalsMetric")
    assert "dejavu.metrics.normals" in loaded
    assert "dejavu.metrics.depth" not in loaded
    for name in metrics.__all__:
        assert getattr(metrics, name).__name__ == name
    with pytest.raises(AttributeError, match=r"module 'dejavu\.metrics' has no attribute 'mIoU'"):
        _ = metrics.mIoU
