import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from dejavu.reporting.statistics import paired_difference

VALUE = st.floats(-100, 100).map(lambda v: round(v, 3))


@settings(max_examples=30)
@given(st.lists(st.tuples(VALUE, VALUE), min_size=2, max_size=12), st.sampled_from([0.8, 0.95]))
def test_agrees_with_the_paired_t_test(pairs: list[tuple[float, float]], confidence: float) -> None:
    reference, treated = zip(*pairs, strict=True)
    if np.ptp(np.subtract(treated, reference)) < 1e-6:
        return  # the t-test has no interval without spread; see the test below
    oracle = stats.ttest_rel(treated, reference).confidence_interval(confidence)

    difference = paired_difference(reference, treated, confidence)

    assert difference.low == pytest.approx(oracle.low, abs=1e-9)
    assert difference.high == pytest.approx(oracle.high, abs=1e-9)
    assert difference.mean == pytest.approx(np.mean(treated) - np.mean(reference), abs=1e-9)
    assert difference.n == len(pairs)


def test_hand_computed_with_a_tabulated_quantile() -> None:
    # Differences 1, 2, 3: s = 1, t(0.975; 2) = 4.3027 in any table.
    difference = paired_difference([10, 20, 30], [11, 22, 33])
    assert difference.mean == 2
    assert difference.low == pytest.approx(2 - 4.3027 / math.sqrt(3), abs=1e-4)


def test_equal_differences_have_an_interval_of_no_width() -> None:
    difference = paired_difference([1.0, 2.0], [1.0, 2.0])
    assert (difference.mean, difference.low, difference.high) == (0, 0, 0)


def test_one_pair_has_no_interval() -> None:
    difference = paired_difference([1.0], [1.5])
    assert difference.mean == 0.5
    assert difference.n == 1
    assert math.isnan(difference.low)
    assert math.isnan(difference.high)


@pytest.mark.parametrize(
    ("reference", "treated", "confidence", "message"),
    [
        ([1.0, 2.0], [1.0], 0.95, "not 2 and 1"),
        ([], [], 0.95, "at least 1"),
        ([1.0, math.nan], [1.0, 2.0], 0.95, "finite"),
        ([1.0, 2.0], [1.0, math.inf], 0.95, "finite"),
        ([1.0, 2.0], [1.0, 2.0], 95, "confidence"),
    ],
)
def test_refuses(
    reference: list[float], treated: list[float], confidence: float, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        paired_difference(reference, treated, confidence)
