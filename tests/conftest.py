"""A study so small that tests can train it, and its data, rendered once a session."""

import copy
from pathlib import Path
from typing import Any

import pytest

from dejavu.config import Params, parse_params
from dejavu.layout import Layout
from dejavu.reference import DEFAULT_STUDY

TINY: dict[str, Any] = copy.deepcopy(DEFAULT_STUDY) | {
    "study": "tiny",
    "networks": {"fpn": {"architecture": "feature_pyramid", "width": 4}},
    "seeds": [0, 1],
    "data": {"rooms": {"train": 12, "val": 4, "test": 6}},
    "train": {"steps": 6, "batch_size": 4, "subset": 8, "log_every": 2, "checkpoint_every": 2},
    "evaluation": {"batch_size": 4},
    "gap": {"steps": 3, "candidates": [{"name": "blank"}]},
    "text_pair": {"steps": 3, "batch_size": 4, "width": 4, "dimension": 8},
    "cost": {"rounds": 2},
    "report": {"scenes": 1},
}


def tiny_params(**changes: Any) -> Params:
    """The tiny study with whole sections replaced."""
    return parse_params(copy.deepcopy(TINY) | changes, "tiny")


@pytest.fixture(scope="session")
def params() -> Params:
    return tiny_params()


@pytest.fixture(scope="session")
def data(params: Params, tmp_path_factory: pytest.TempPathFactory) -> Path:
    from dejavu.data.rooms import prepare_rooms
    from dejavu.data.rooms.scenes import RoomsSpec

    folder = tmp_path_factory.mktemp("study") / Layout(params).data
    assert params.data.rooms is not None
    settings = params.data.rooms.model_dump()
    counts = {split: settings.pop(split) for split in ("train", "val", "test")}
    prepare_rooms(RoomsSpec(**settings), counts, folder)
    return folder
