import math
from typing import Any

import pytest

from dejavu.study.adoption.compare import differing


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ({"a": [1, {"b": 2}]}, {"a": [1, {"b": 2}]}, []),
        ({"a": 1}, {"a": 2}, ["a: 1 became 2"]),
        ({"a": None}, {}, ['a: null became "(missing)"']),
        ({}, {"a": None}, ['a: "(missing)" became null']),
        ({"a": [1, 2]}, {"a": [1, 3]}, ["a[1]: 2 became 3"]),
        ({"a": [1]}, {"a": [1, 2]}, ["a: [1] became [1, 2]"]),
        ({"a": 1}, {"a": 1.0}, ["a: 1 became 1.0"]),
        ({"a": True}, {"a": 1}, ["a: true became 1"]),
        ({"a": math.nan}, {"a": math.nan}, []),
        ({"a": math.nan}, {"a": None}, []),
        ({"a": None}, {"a": math.nan}, ["a: null became NaN"]),
        ({"a": math.nan}, {"a": 0.0}, ["a: NaN became 0.0"]),
    ],
)
def test_each_difference_is_named_with_its_place(
    before: Any, after: Any, expected: list[str]
) -> None:
    assert [*differing(before, after)] == expected
