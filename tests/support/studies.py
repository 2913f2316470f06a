"""Studies so small that tests can train them."""

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from dejavu.config import DataParams, Params, parse_params
from dejavu.config.generated import DEFAULT_STUDY

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


ON_DISK: dict[str, dict[str, int]] = {
    "nyuv2": {"train": 4, "test": 2},
    "cityscapes": {"train": 6, "val": 3},
    "ade20k": {"train": 6, "val": 3},
    "kitti": {"train": 6, "test": 3},
    "coco": {"train": 6, "val": 3},
}
"""The data sets that are read in place, with the images of their tiny copies; the second split is
scored."""

Downloads = Callable[[str], Path]


def tiny_params(**changes: Any) -> Params:
    """The tiny study with whole sections replaced."""
    return parse_params(copy.deepcopy(TINY) | changes, "tiny")


def with_value(path: str, value: Any) -> dict[str, Any]:
    """The tiny study as a tree, with the value at a dotted path replaced."""
    tree: dict[str, Any] = json.loads(tiny_params().model_dump_json())
    node: Any = tree
    *parents, last = path.split(".")
    for key in parents:
        node = node[key]
    node[last] = value
    return tree


def disk_params(name: str, **changes: Any) -> Params:
    """A tiny study of all tasks of a data set that is read in place."""
    data = DataParams(name=name, val=1)
    train = TINY["train"] | {"subset": None, "batch_size": 2, "augmentation": {"crop": [32, 48]}}
    study = {"study": name, "tasks": [*(data.tasks or ())], "methods": {"baseline": {}}}
    return tiny_params(**study | {"data": data.model_dump(), "train": train} | changes)
