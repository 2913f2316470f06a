"""Timing without bias from a drifting machine speed: interleaved arms, ratios within rounds.

Time is the process's CPU time: on one thread, wall time without that of other processes.
"""

import statistics
import time
from collections.abc import Callable, Mapping
from typing import NamedTuple

Seconds = Mapping[str, list[float]]
"""Seconds of each arm, round by round."""

_WARM_UP = 2


class Ratio(NamedTuple):
    """Ratio of two arms' times.

    Attributes:
        median: over the rounds.
        low: lower quartile.
        high: upper quartile.
    """

    median: float
    low: float
    high: float


def interleave(arms: Mapping[str, Callable[[], object]], rounds: int) -> Seconds:
    """Call every arm once a round, for ``rounds`` rounds after the warm-up.

    Each round starts with the next arm, so that no arm is always first.

    Example:
        >>> seconds = interleave({"a": lambda: None, "b": lambda: None}, rounds=3)
        >>> {arm: len(taken) for arm, taken in seconds.items()}
        {'a': 3, 'b': 3}
    """
    seconds: dict[str, list[float]] = {arm: [] for arm in arms}
    names = list(arms)
    for turn in range(_WARM_UP + rounds):
        first = turn % len(names)
        for name in names[first:] + names[:first]:
            started = time.process_time()
            arms[name]()
            if turn >= _WARM_UP:
                seconds[name].append(time.process_time() - started)
    return seconds


def ratio(seconds: Seconds, arm: str, reference: str) -> Ratio:
    """Return the ratio of an arm's time to the reference's, over at least two rounds.

    Example:
        >>> ratio({"a": [2.0, 6.0, 3.0], "b": [1.0, 2.0, 2.0]}, "a", "b")
        Ratio(median=2.0, low=1.75, high=2.5)
    """
    pairs = zip(seconds[arm], seconds[reference], strict=True)
    low, median, high = statistics.quantiles([a / b for a, b in pairs], method="inclusive")
    return Ratio(median, low, high)
