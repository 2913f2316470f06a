"""Weights by task."""

import pytest

from dejavu.runtime.errors import ParamsError
from dejavu.tasks.registry import task_names
from tests.support.studies import tiny_params


def test_a_number_is_the_weight_for_every_task() -> None:
    methods = {"a": {"dejavu": {"redaction": {"name": "blank"}, "gamma": 0.3}}}
    params = tiny_params(methods={"baseline": {}} | methods)
    assert params.methods["a"].dejavu is not None
    assert params.methods["a"].dejavu.gamma == dict.fromkeys(task_names(), 0.3)


@pytest.mark.parametrize("gamma", [True, 0, -1.0, "much", None])
def test_a_weight_that_is_no_positive_number_is_refused(gamma: object) -> None:
    methods = {"a": {"dejavu": {"redaction": {"name": "blank"}, "gamma": gamma}}}
    with pytest.raises(ParamsError, match=r"methods\.a\.dejavu\.gamma"):
        tiny_params(methods={"baseline": {}} | methods)
