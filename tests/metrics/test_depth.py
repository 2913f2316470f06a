import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from dejavu.metrics import DepthEdgeMetric, DepthMetric, DepthProtocol

few = settings(max_examples=20)


def maps(seed: int, shape: tuple[int, ...] = (4, 1, 9, 8)) -> tuple[Tensor, Tensor]:
    """Predictions that err by tens of per cent, and truths with unknown and far pixels."""
    draws = np.random.default_rng(seed)
    truth = draws.uniform(0.3, 11, shape) * (draws.random(shape) > 0.2)
    prediction = truth * np.exp(draws.normal(0.05, 0.25, shape)) + (truth == 0) * 3
    return torch.from_numpy(prediction).float(), torch.from_numpy(truth).float()


def scored(metric: DepthMetric | DepthEdgeMetric, *pair: Tensor) -> dict[str, float]:
    metric.update(*pair)
    return metric.compute()


def single(prediction: list[float], truth: list[float]) -> dict[str, float]:
    rows = (torch.tensor(row).view(1, 1, 1, -1) for row in (prediction, truth))
    return scored(DepthMetric(DepthProtocol()), *rows)


def errors(d: np.ndarray, g: np.ndarray) -> dict[str, float]:
    """The protocol's numbers over the scored pixels of one image."""
    ratio = np.maximum(d / g, g / d)
    return {
        "abs_rel": np.mean(np.abs(d - g) / g),
        "sq_rel": np.mean((d - g) ** 2 / g),
        "rmse": np.sqrt(np.mean((d - g) ** 2)),
        "rmse_log": np.sqrt(np.mean((np.log(d) - np.log(g)) ** 2)),
        "log10": np.mean(np.abs(np.log10(d / g))),
        "silog": 100 * np.std(np.log(d / g)),
        **{f"delta_{k}": 100 * np.mean(ratio < 1.25**k) for k in (1, 2, 3)},
    }


def scored_pixels(
    pair: tuple[Tensor, Tensor], protocol: DepthProtocol, scope: np.ndarray | None = None
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Predictions and truths of the scored pixels of each image that has any."""
    images = []
    for index, (d, g) in enumerate(zip(*(m.double().numpy()[:, 0] for m in pair), strict=True)):
        valid = (g > protocol.min_depth) & (g < protocol.max_depth)
        if scope is not None:
            valid &= scope[index]
        if valid.any():
            found = d[valid]
            if protocol.alignment == "median":
                found = found * np.median(g[valid]) / np.median(found)
            images.append((np.clip(found, protocol.min_depth, protocol.max_depth), g[valid]))
    return images


def mean_over_images(
    pair: tuple[Tensor, Tensor], protocol: DepthProtocol, scope: np.ndarray | None = None
) -> dict[str, float]:
    images = [errors(d, g) for d, g in scored_pixels(pair, protocol, scope)]
    return {name: float(np.mean([image[name] for image in images])) for name in images[0]}


def over_all_pixels(
    pair: tuple[Tensor, Tensor], protocol: DepthProtocol, scope: np.ndarray | None = None
) -> dict[str, float]:
    ours, truth = map(np.concatenate, zip(*scored_pixels(pair, protocol, scope), strict=True))
    return errors(ours, truth)


@few
@given(seed=st.integers(0, 10**6))
def test_numbers_are_those_of_the_formulas(seed: int) -> None:
    pair = maps(seed)
    protocol = DepthProtocol(min_depth=0.5, max_depth=10.0)
    assert scored(DepthMetric(protocol), *pair) == pytest.approx(mean_over_images(pair, protocol))


@few
@given(seed=st.integers(0, 10**6))
def test_numbers_of_pooled_pixels_are_those_of_the_formulas(seed: int) -> None:
    pair = maps(seed)
    pair[1][0] = 0  # an image without any
    pair[1][1, :, 2:] = 0  # and one with few scored pixels
    protocol = DepthProtocol(min_depth=0.5, max_depth=10.0, reduction="pixels")
    metric = DepthMetric(protocol)
    for image in zip(*(m.split(1) for m in pair), strict=True):
        metric.update(*image)
    found = metric.compute()
    assert found == pytest.approx(over_all_pixels(pair, protocol))
    assert found["rmse"] != pytest.approx(mean_over_images(pair, protocol)["rmse"], rel=1e-3)


@few
@given(seed=st.integers(0, 10**6), reduction=st.sampled_from(["images", "pixels"]))
def test_median_alignment_is_that_of_the_formula(seed: int, reduction: str) -> None:
    prediction, truth = maps(seed, (4, 1, 40, 50))
    pair = prediction * torch.tensor([0.05, 1.0, 3.0, 40.0]).view(4, 1, 1, 1), truth
    crop = np.zeros((4, 40, 50), bool)
    crop[:, 16:39, 1:48] = True  # int(16.32), int(39.67), int(1.79), int(48.2)
    protocol = DepthProtocol(max_depth=8.0, crop="garg", alignment="median", reduction=reduction)  # type: ignore[arg-type]
    expected = {"images": mean_over_images, "pixels": over_all_pixels}[reduction]
    assert scored(DepthMetric(protocol), *pair) == pytest.approx(expected(pair, protocol, crop))


def test_two_pixels_by_hand() -> None:
    values = single([1.0, 4.0], [2.0, 2.0])
    half, double = math.log(0.5), math.log(2)
    assert values["abs_rel"] == pytest.approx((0.5 + 1.0) / 2)
    assert values["sq_rel"] == pytest.approx((1 / 2 + 4 / 2) / 2)
    assert values["rmse"] == pytest.approx(math.sqrt((1 + 4) / 2))
    assert values["rmse_log"] == pytest.approx(math.sqrt((half**2 + double**2) / 2))
    assert values["log10"] == pytest.approx(math.log10(2))
    assert values["silog"] == pytest.approx(100 * math.log(2))
    assert values["delta_3"] == 0.0  # 2 > 1.25^3


def test_silog_is_the_plain_standard_deviation_of_the_log_error() -> None:
    values = single([2.0, 4.0, 8.0], [1.0, 2.0, 4.0])
    assert values["silog"] == pytest.approx(0.0, abs=1e-5)  # not sqrt(var + 0.15 mean^2)
    assert values["rmse_log"] == pytest.approx(math.log(2))


def test_deltas_are_strict_and_take_either_ratio() -> None:
    assert single([1.25], [1.0])["delta_1"] == 0.0
    assert single([1.0], [1.25])["delta_1"] == 0.0
    assert single([1.2499], [1.0])["delta_1"] == 100.0
    values = single([1.5, 1.0, 1.0, 1.0], [1.0, 1.5, 1.8, 1.1])
    assert [values[f"delta_{k}"] for k in (1, 2, 3)] == [25.0, 75.0, 100.0]


def test_numbers_are_means_over_images_not_over_pixels() -> None:
    truth = torch.full((2, 1, 1, 4), 2.0)
    truth[1, ..., 1:] = 0  # the second image has one known pixel
    prediction = torch.tensor([2.0, 5.0]).view(2, 1, 1, 1).expand_as(truth)
    values = scored(DepthMetric(DepthProtocol()), prediction, truth)
    assert values["rmse"] == 1.5  # pooled: sqrt(9 / 5)
    assert values["abs_rel"] == 0.75


def test_an_image_without_valid_pixels_is_not_counted() -> None:
    truth = torch.tensor([2.0, 0.0]).view(2, 1, 1, 1).expand(2, 1, 2, 2)
    metric = DepthMetric(DepthProtocol())
    assert scored(metric, torch.full_like(truth, 3.0), truth)["rmse"] == 1.0
    assert metric.sums[-1] == 1


@pytest.mark.parametrize("unknown", [0.0, -1.0, 1e-3, 10.0, 255.0, 65.535])
def test_only_truths_strictly_inside_the_limits_are_scored(unknown: float) -> None:
    """Also: no inverted mask, and 255 m for invalid is not a depth."""
    assert single([3.0, 9.0], [2.0, unknown])["abs_rel"] == 0.5


def test_predictions_are_clamped_to_the_limits() -> None:
    values = single([500.0, -3.0], [8.0, 1.0])
    assert values["rmse"] == pytest.approx(math.sqrt((2**2 + (1 - 1e-3) ** 2) / 2))
    assert math.isfinite(values["rmse_log"])


def test_pooled_pixels_without_any_are_no_number() -> None:
    metric = DepthMetric(DepthProtocol(reduction="pixels"))
    values = scored(metric, torch.ones(1, 1, 2, 2), torch.zeros(1, 1, 2, 2))
    assert all(math.isnan(value) for value in values.values())


def test_the_reductions_differ_as_two_images_show() -> None:
    truth = torch.full((2, 1, 1, 4), 2.0)
    truth[1, ..., 1:] = 0
    prediction = torch.tensor([2.0, 5.0]).view(2, 1, 1, 1).expand_as(truth)
    pooled = scored(DepthMetric(DepthProtocol(reduction="pixels")), prediction, truth)
    assert pooled["rmse"] == pytest.approx(math.sqrt(9 / 5))
    assert pooled["abs_rel"] == pytest.approx(1.5 / 5)
    assert pooled["delta_3"] == 80.0


@pytest.mark.parametrize(
    ("crop", "size", "rows", "columns"),
    [
        ("none", (5, 7), (0, 5), (0, 7)),
        ("eigen", (480, 640), (45, 471), (41, 601)),
        ("garg", (375, 1242), (153, 371), (44, 1197)),
        # Whole numbers of pixels were meant here, (152, 367) and (44, 1180); the fractions as they
        # are published round to less, and so score the papers that use them.
        ("garg", (370, 1224), (151, 366), (43, 1180)),
    ],
)
def test_only_the_crop_is_scored(
    crop: str, size: tuple[int, int], rows: tuple[int, int], columns: tuple[int, int]
) -> None:
    valid = DepthProtocol(crop=crop).valid(torch.ones(2, 1, *size))  # type: ignore[arg-type]
    expected = torch.zeros(2, 1, *size, dtype=torch.bool)
    expected[..., slice(*rows), slice(*columns)] = True
    assert torch.equal(valid, expected)


def test_errors_outside_the_crop_do_not_count() -> None:
    truth = torch.full((1, 1, 480, 640), 2.0)
    prediction = truth.clone()
    prediction[..., 45:471, 41:601] = 3.0
    metric = DepthMetric(DepthProtocol(crop="eigen"))
    assert scored(metric, prediction, truth)["rmse"] == 1.0
    prediction[..., :45, :] = prediction[..., :41] = 9.0
    prediction[..., 471:, :] = prediction[..., 601:] = 9.0
    assert scored(DepthMetric(DepthProtocol(crop="eigen")), prediction, truth)["rmse"] == 1.0


@pytest.mark.parametrize("size", [(9, 8), (640, 480), (481, 640), (375, 1242)])
def test_eigens_crop_of_another_size_is_refused(size: tuple[int, int]) -> None:
    """Including KITTI's, whose Eigen crop is different."""
    maps_of_size = torch.ones(1, 1, *size), torch.ones(1, 1, *size)
    with pytest.raises(ValueError, match=rf"target is {size[0]} x {size[1]}; crop='eigen' is"):
        DepthMetric(DepthProtocol(crop="eigen")).update(*maps_of_size)


def test_a_prediction_is_aligned_before_it_is_clamped() -> None:
    truth = torch.tensor([1.0, 2.0, 4.0]).view(1, 1, 1, 3)
    values = scored(DepthMetric(DepthProtocol(alignment="median")), 1000 * truth, truth)
    assert values["rmse"] == pytest.approx(0, abs=1e-6)  # clamped first, all would be 2 m
    beyond = torch.tensor([1.0, 2.0, 90.0]).view(1, 1, 1, 3)
    values = scored(DepthMetric(DepthProtocol(alignment="median")), beyond, truth)
    assert values["rmse"] == pytest.approx(6 / math.sqrt(3))  # and clamped to 10 m afterwards


def test_alignment_is_by_image_over_its_scored_pixels_alone() -> None:
    truth = torch.tensor([[1.0, 2.0, 4.0, 0.0, 50.0], [3.0, 3.0, 3.0, 3.0, 3.0]]).view(2, 1, 1, 5)
    prediction = truth * torch.tensor([7.0, 0.2]).view(2, 1, 1, 1)
    prediction[0, ..., 3:] = 1e6  # unknown and beyond the limit
    values = scored(DepthMetric(DepthProtocol(alignment="median")), prediction, truth)
    assert values["rmse"] == pytest.approx(0, abs=1e-6)


def test_the_median_of_an_even_number_is_midway() -> None:
    rows = ([1.0, 2.0, 4.0, 8.0], [2.0, 2.0, 6.0, 9.0])  # medians 3 and 4
    prediction, truth = (torch.tensor(row).view(1, 1, 1, 4) for row in rows)
    adjusted = DepthProtocol(alignment="median").adjust(prediction, truth)
    assert adjusted.flatten().tolist() == pytest.approx([4 / 3, 8 / 3, 16 / 3, 10.0])


@pytest.mark.parametrize("median", [0.0, -2.0])
def test_a_prediction_without_a_scale_is_not_aligned(median: float) -> None:
    metric = DepthMetric(DepthProtocol(alignment="median"))
    with pytest.raises(ValueError, match=f"prediction has the median {median:g} over an image"):
        metric.update(torch.full((1, 1, 2, 2), median), torch.ones(1, 1, 2, 2))


def test_an_image_without_valid_pixels_is_not_aligned_but_left_out() -> None:
    truth = torch.tensor([2.0, 0.0]).view(2, 1, 1, 1).expand(2, 1, 2, 2)
    metric = DepthMetric(DepthProtocol(alignment="median"))
    assert scored(metric, torch.zeros(2, 1, 2, 2) + truth, truth)["rmse"] == 0
    assert metric.sums[-1] == 1


def test_edges_are_scored_in_the_alignment_of_the_whole_image() -> None:
    truth = torch.tensor([1.0, 1.0, 1.0, 1.0, 4.0]).view(1, 1, 1, 5)
    prediction = torch.tensor([2.0, 2.0, 2.0, 4.0, 8.0]).view(1, 1, 1, 5)
    protocol = DepthProtocol(alignment="median")
    values = scored(DepthEdgeMetric(protocol, width=1), prediction, truth)
    expected = {"edge_rmse": math.sqrt(0.5), "edge_abs_rel": 0.5}  # 2 and 4 for 1 and 4
    assert values == pytest.approx(expected, rel=1e-12)  # roots differ by processor


@pytest.mark.parametrize(
    "settings",
    [
        {"min_depth": 0.0},
        {"min_depth": 10.0},
        {"max_depth": math.inf},
        {"max_depth": math.nan},
        {"crop": "Eigen"},
        {"alignment": "mean"},
        {"reduction": "sum"},
    ],
)
def test_impossible_protocols_are_refused(settings: dict[str, float | str]) -> None:
    name, value = next(iter(settings.items()))
    with pytest.raises(ValueError, match=f"{name}={value!r}.*must be"):
        DepthProtocol(**settings)  # type: ignore[arg-type]


def edge_band(truth: np.ndarray, protocol: DepthProtocol, width: int) -> np.ndarray:
    """Mark pixels closer than width to a jump of valid depths, by all pairs of pixels."""
    height, columns = truth.shape
    known = (truth > protocol.min_depth) & (truth < protocol.max_depth)
    at_jump = set()
    for y in range(height):
        for x in range(columns):
            for j, i in ((y, x + 1), (y + 1, x)):
                if j < height and i < columns and known[y, x] and known[j, i]:
                    a, b = truth[y, x], truth[j, i]
                    if abs(a - b) > 0.1 * min(a, b):
                        at_jump |= {(y, x), (j, i)}
    band = np.zeros(truth.shape, bool)
    for point in np.ndindex(truth.shape):
        band[point] = any(math.dist(point, jump) < width for jump in at_jump)
    return band


@few
@given(
    seed=st.integers(0, 10**6),
    width=st.integers(1, 3),
    reduction=st.sampled_from(["images", "pixels"]),
)
def test_edge_numbers_are_those_of_brute_force_bands(seed: int, width: int, reduction: str) -> None:
    prediction, truth = maps(seed, (3, 1, 10, 9))
    smooth = (truth > 5).float() * 4 + 3  # two depths, to have pixels away from the edges
    smooth[:, :, :6] = 3
    truth = smooth.where(truth > 0, 0)
    protocol = DepthProtocol(reduction=reduction)  # type: ignore[arg-type]
    bands = np.stack([edge_band(image[0], protocol, width) for image in truth.numpy()])
    reduced = {"images": mean_over_images, "pixels": over_all_pixels}[reduction]
    expected = reduced((prediction, truth), protocol, bands)
    values = scored(DepthEdgeMetric(protocol, width), prediction, truth)
    assert values == pytest.approx({f"edge_{n}": expected[n] for n in ("rmse", "abs_rel")})


@pytest.mark.parametrize("unknown", [0.0, 255.0])
def test_a_jump_to_an_unknown_depth_is_no_edge(unknown: float) -> None:
    truth = torch.tensor([2.0, 2.0, unknown, 2.0, 2.0]).view(1, 1, 1, 5)
    values = scored(DepthEdgeMetric(DepthProtocol()), torch.full_like(truth, 3.0), truth)
    assert all(math.isnan(value) for value in values.values())


def test_a_band_has_its_width_on_each_side() -> None:
    truth = torch.full((1, 1, 1, 12), 2.0)
    truth[..., 6:] = 4.0
    for width in (1, 2, 3):
        prediction = truth.clone()
        prediction[..., 6 - width : 6 + width] += 1  # errors all over the band and nowhere else
        assert scored(DepthEdgeMetric(DepthProtocol(), width), prediction, truth)["edge_rmse"] == 1
        assert scored(DepthEdgeMetric(DepthProtocol(), width + 1), prediction, truth)[
            "edge_rmse"
        ] == pytest.approx(math.sqrt(width / (width + 1)))
