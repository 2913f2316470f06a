import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from dejavu.metrics import NormalsEdgeMetric, NormalsMetric
from dejavu.metrics.normals import angles

few = settings(max_examples=20)


def fields(seed: int, shape: tuple[int, int, int] = (3, 9, 7)) -> tuple[Tensor, Tensor]:
    """Fields of vectors some tens of degrees apart; a part of the truth is unknown."""
    draws = np.random.default_rng(seed)
    images, height, width = shape
    truth = draws.normal(size=(images, 3, height, width))
    prediction = 2 * truth + draws.normal(0, 0.8, truth.shape)
    truth *= draws.random((images, 1, height, width)) > 0.2
    return torch.from_numpy(prediction).float(), torch.from_numpy(truth).float()


def arccos_degrees(prediction: Tensor, truth: Tensor) -> np.ndarray:
    """Angles of the valid pixels by the textbook's arc cosine in float64; NaN elsewhere."""
    a, b = (m.double().numpy() for m in (prediction, truth))
    with np.errstate(invalid="ignore"):
        lengths = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
        cosine = (a * b).sum(1) / lengths
    return np.degrees(np.arccos(np.clip(cosine, -1, 1)))


def scored(metric: NormalsMetric | NormalsEdgeMetric, *pair: Tensor) -> dict[str, float]:
    metric.update(*pair)
    return metric.compute()


def rotated(*degrees: float) -> tuple[Tensor, Tensor]:
    """Vectors turned about the y axis, one image of 1 x N, and the vectors before the turn."""
    turns = [math.radians(angle) for angle in degrees]
    rows = torch.tensor([[math.sin(t), 0.0, math.cos(t)] for t in turns])
    prediction = rows.T.reshape(1, 3, 1, -1).float()
    return prediction, torch.tensor([0.0, 0, 1]).view(1, 3, 1, 1).expand_as(prediction)


@few
@given(seed=st.integers(0, 10**6))
def test_numbers_are_those_of_the_arc_cosine(seed: int) -> None:
    pair = fields(seed)
    theta = arccos_degrees(*pair)
    theta = np.sort(theta[~np.isnan(theta)])
    values = scored(NormalsMetric(), *pair)
    lower_median = theta[(len(theta) - 1) // 2]
    assert values.pop("median_angle") == pytest.approx(lower_median, abs=0.00501)
    assert values == pytest.approx(
        {
            "mean_angle": theta.mean(),
            "rmse_angle": np.sqrt((theta**2).mean()),
            "within_11_25": 100 * (theta < 11.25).mean(),
            "within_22_5": 100 * (theta < 22.5).mean(),
            "within_30": 100 * (theta < 30).mean(),
        },
        rel=1e-5,
    )


@few
@given(seed=st.integers(0, 10**6))
def test_median_of_an_odd_number_is_numpys_within_a_bin(seed: int) -> None:
    prediction, _ = fields(seed, (1, 9, 11))
    truth = torch.ones_like(prediction)
    expected = np.median(arccos_degrees(prediction, truth))
    value = scored(NormalsMetric(), prediction, truth)["median_angle"]
    assert value == pytest.approx(expected, abs=0.00501)


def test_four_pixels_by_hand() -> None:
    values = scored(NormalsMetric(), *rotated(0, 10, 20, 70))
    assert values["mean_angle"] == pytest.approx(25.0, rel=1e-5)
    assert values["rmse_angle"] == pytest.approx(math.sqrt(5400 / 4), rel=1e-5)  # not the mean
    assert values["median_angle"] == pytest.approx(10.0, abs=0.011)
    assert [values[f"within_{t}"] for t in ("11_25", "22_5", "30")] == [50.0, 75.0, 75.0]


@pytest.mark.parametrize("degrees", [1e-4, 0.003, 0.5, 60.0, 179.5, 179.999])
def test_small_and_flat_angles_keep_their_precision(degrees: float) -> None:
    """The arc cosine in fp32 cannot resolve 0.02 degrees, and 8 bits cannot resolve 0.4."""
    assert angles(*rotated(degrees)).item() == pytest.approx(degrees, rel=1e-4, abs=1e-5)


def test_opposite_vectors_are_in_the_last_bin() -> None:
    values = scored(NormalsMetric(), *rotated(180, 180, 180))
    assert values["mean_angle"] == pytest.approx(180.0)
    assert values["median_angle"] == pytest.approx(180.0, abs=0.006)


def test_shares_are_strict() -> None:
    values = scored(NormalsMetric(), *rotated(90, 90))
    assert values["within_30"] == 0.0

    class Right(NormalsMetric):
        THRESHOLDS = (11.25, 22.5, 90.0)

    assert angles(*rotated(90)).item() == 90.0
    assert scored(Right(), *rotated(90))["within_30"] == 0.0


def test_pixels_are_pooled_over_the_set_not_averaged_by_image() -> None:
    near, far = rotated(10, 10, 10), rotated(50)
    metric = NormalsMetric()
    metric.update(*near)
    metric.update(*far)
    assert metric.compute()["mean_angle"] == pytest.approx(20.0, rel=1e-5)


def test_only_pixels_with_a_known_normal_count() -> None:
    prediction, truth = rotated(10, 90, 90)
    known = torch.tensor([1.0, 0, 0]).view(1, 1, 1, 3)
    values = scored(NormalsMetric(), prediction, truth * known)
    assert values["mean_angle"] == pytest.approx(10.0, rel=1e-5)


def test_a_negative_component_is_known() -> None:
    prediction, truth = rotated(10)
    assert scored(NormalsMetric(), -prediction, -truth)["mean_angle"] == pytest.approx(10, rel=1e-5)


def test_length_does_not_matter_and_a_zero_prediction_errs_by_90() -> None:
    prediction, truth = rotated(10, 40)
    assert torch.allclose(angles(1e-3 * prediction, 70 * truth), angles(prediction, truth))
    assert angles(0 * prediction, truth).flatten().tolist() == [90.0, 90.0]


def test_a_flip_that_forgets_the_x_component_is_seen() -> None:
    prediction, truth = rotated(30, 30)
    signs = torch.tensor([-1.0, 1, 1]).view(1, 3, 1, 1)
    flipped = scored(NormalsMetric(), signs * prediction.flip(-1), truth)
    assert flipped == scored(NormalsMetric(), prediction, truth)
    wrong = scored(NormalsMetric(), prediction.flip(-1), signs * prediction)
    assert wrong["mean_angle"] == pytest.approx(60.0, rel=1e-5)


def edge_band(truth: Tensor, width: int) -> np.ndarray:
    """Mark pixels closer than width to a jump by more than 20 degrees, by all pairs of pixels."""
    jumps = set()
    height, columns = truth.shape[-2:]
    for y, x in np.ndindex(height, columns):
        for j, i in ((y, x + 1), (y + 1, x)):
            if j < height and i < columns:
                pair = (truth[None, :, a : a + 1, b : b + 1] for a, b in ((y, x), (j, i)))
                if arccos_degrees(*pair).item() > 20:  # NaN, where one is unknown, is not
                    jumps |= {(y, x), (j, i)}
    band = np.zeros((height, columns), bool)
    for point in np.ndindex(height, columns):
        band[point] = any(math.dist(point, jump) < width for jump in jumps)
    return band


@few
@given(seed=st.integers(0, 10**6), width=st.integers(1, 3))
def test_edge_angle_is_that_of_brute_force_bands(seed: int, width: int) -> None:
    draws = np.random.default_rng(seed)
    prediction, noise = fields(seed, (2, 8, 9))
    truth = torch.tensor([0.0, 0, 1]).view(1, 3, 1, 1).repeat(2, 1, 8, 9)
    turned = torch.from_numpy(draws.normal(size=(2, 3, 1, 1))).float()
    truth[..., :3, 5:] = turned
    truth = truth * (noise != 0).any(1, keepdim=True)
    theta = arccos_degrees(prediction, truth)
    bands = np.stack([edge_band(image, width) for image in truth])
    counted = bands & ~np.isnan(theta)
    value = scored(NormalsEdgeMetric(width), prediction, truth)["edge_mean_angle"]
    expected = theta[counted].mean() if counted.any() else math.nan
    assert value == pytest.approx(expected, rel=1e-5, nan_ok=True)
