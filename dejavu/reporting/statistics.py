"""Differences between two methods, paired by seed."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats


@dataclass(frozen=True)
class PairedDifference:
    """A mean paired difference with its confidence interval, in the unit of the values.

    Attributes:
        mean: mean of (treated - reference).
        low: lower end of the interval; NaN for a single pair.
        high: upper end of the interval; NaN for a single pair.
        n: number of pairs.
    """

    mean: float
    low: float
    high: float
    n: int


def paired_difference(
    reference: Sequence[float], treated: Sequence[float], confidence: float = 0.95
) -> PairedDifference:
    """Return the mean of treated - reference with Student's t interval (Student, 1908).

    The interval is mean +- t((1 + confidence) / 2; n - 1) s / sqrt(n), where s is the sample
    standard deviation of the differences. One pair has no spread, hence no interval: NaN.

    Args:
        reference: n values of the reference, one per seed.
        treated: n values of the other method, for the same seeds in the same order.
        confidence: level of the interval, in (0, 1).

    Raises:
        ValueError: the lengths differ or are zero, a value is not finite, or the confidence is
            not in (0, 1).

    Example:
        >>> difference = paired_difference([50.0, 52.0, 51.0], [50.5, 53.0, 51.0])
        >>> print(f"{difference.mean:.2f} [{difference.low:.2f}, {difference.high:.2f}]")
        0.50 [-0.74, 1.74]
    """
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must be in (0, 1), not {confidence}")
    if len(reference) != len(treated) or not len(reference):
        raise ValueError(
            "reference and treated must have the same length, at least 1, not "
            f"{len(reference)} and {len(treated)}"
        )
    differences = np.asarray(treated, dtype=float) - np.asarray(reference, dtype=float)
    if not np.isfinite(differences).all():
        raise ValueError(f"values must be finite; the differences are {differences.tolist()}")
    n, mean = len(differences), float(differences.mean())
    if n == 1:
        return PairedDifference(mean, math.nan, math.nan, n)
    quantile = float(stats.t.ppf((1 + confidence) / 2, n - 1))
    half = quantile * float(differences.std(ddof=1)) / math.sqrt(n)
    return PairedDifference(mean, mean - half, mean + half, n)
