import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from dejavu.metrics import DepthEdgeMetric, DepthMetric, DepthProtocol

few = settings(derandomize=True, max_examples=20, deadline=None)


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


def mean_over_images(
    pair: tuple[Tensor, Tensor], protocol: DepthProtocol, scope: np.ndarray | None = None
) -> dict[str, float]:
    images = []
    for index, (d, g) in enumerate(zip(*(m.double().numpy()[:, 0] for m in pair), strict=True)):
        valid = (g > protocol.min_depth) & (g < protocol.max_depth)
        if scope is not None:
            valid &= scope[index]
        if valid.any():
            clipped = np.clip(d[valid], protocol.min_depth, protocol.max_depth)
            images.append(errors(clipped, g[valid]))
    return {name: float(np.mean([image[name] for image in images])) for name in images[0]}


@few
@given(seed=st.integers(0, 10**6))
def test_numbers_are_those_of_the_formulas(seed: int) -> None:
    pair = maps(seed)
    protocol = DepthProtocol(min_depth=0.5, max_depth=10.0)
    assert scored(DepthMetric(protocol), *pair) == pytest.approx(mean_over_images(pair, protocol))


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


def test_only_the_crop_is_scored() -> None:
    pair = maps(3)
    protocol = DepthProtocol(crop=(2, 7, 1, 8))
    inside = np.zeros((4, 9, 8), bool)
    inside[:, 2:7, 1:8] = True
    values = scored(DepthMetric(protocol), *pair)
    assert values == pytest.approx(mean_over_images(pair, protocol, inside))
    assert values != scored(DepthMetric(DepthProtocol()), *pair)


def test_a_crop_beyond_the_image_is_refused() -> None:
    metric = DepthMetric(DepthProtocol(crop=(45, 471, 41, 601)))
    with pytest.raises(ValueError, match=r"target is 9 x 8; it must hold the protocol's crop=\(45"):
        metric.update(*maps(0))


@pytest.mark.parametrize(
    "settings",
    [
        {"min_depth": 0.0},
        {"min_depth": 10.0},
        {"max_depth": math.inf},
        {"max_depth": math.nan},
        {"crop": (5, 5, 0, 4)},
        {"crop": (0, 4, -1, 4)},
        {"crop": (0, 4, 4, 3)},
    ],
)
def test_impossible_protocols_are_refused(settings: dict[str, float]) -> None:
    name, value = next(iter(settings.items()))
    value_text = str(value).replace("(", r"\(").replace(")", r"\)")
    with pytest.raises(ValueError, match=f"{name}={value_text}.*must be"):
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
@given(seed=st.integers(0, 10**6), width=st.integers(1, 3))
def test_edge_numbers_are_those_of_brute_force_bands(seed: int, width: int) -> None:
    prediction, truth = maps(seed, (3, 1, 10, 9))
    smooth = (truth > 5).float() * 4 + 3  # two depths, to have pixels away from the edges
    smooth[:, :, :6] = 3
    truth = smooth.where(truth > 0, 0)
    protocol = DepthProtocol()
    bands = np.stack([edge_band(image[0], protocol, width) for image in truth.numpy()])
    expected = mean_over_images((prediction, truth), protocol, bands)
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
