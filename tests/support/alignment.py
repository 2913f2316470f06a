"""Samples whose every entry tells the place of its pixels."""

import torch
from torch import Tensor

from dejavu.data.targets import DepthMap, LabelMap, NormalMap
from dejavu.datasets.reading.conventions import IGNORE_INDEX
from dejavu.runtime.torchvision_import import import_torchvision

import_torchvision()

from torchvision import tv_tensors  # noqa: E402

STEP = 6
"""Of the image's ramps, per pixel."""


def positions(height: int = 32, width: int = 40) -> dict[str, Tensor]:
    """A sample whose every entry tells the row and the column of its pixel."""
    row = torch.arange(height).view(-1, 1).expand(height, width)
    column = torch.arange(width).expand(height, width)
    number = row * width + column
    return {
        "image": tv_tensors.Image(torch.stack([STEP * row, STEP * column, 0 * row]).byte()),
        "label": LabelMap(1000 + number),
        "depth": DepthMap(1.0 + number[None]),
        "normals": NormalMap(torch.stack([0 * number, 0 * number, 1 + number]).float()),
    }


def check_alignment(sample: dict[str, Tensor], width: int = 40, error: float = 0.5) -> None:
    """The three targets name the same pixel, less than an error in pixels from what is shown."""
    for name, kind in (("label", LabelMap), ("depth", DepthMap), ("normals", NormalMap)):
        assert type(sample[name]) is kind
        assert sample[name].shape[-2:] == sample["image"].shape[-2:]
    label, depth = sample["label"].as_subclass(Tensor), sample["depth"].as_subclass(Tensor)[0]
    known = label != IGNORE_INDEX
    assert torch.equal(depth, (label - 999.0) * known)
    assert torch.equal(sample["normals"].as_subclass(Tensor)[2], depth)
    inner = -torch.nn.functional.max_pool2d(-known[None].float(), 5, 1, 2)[0] == 1
    inner[:2], inner[-2:], inner[:, :2], inner[:, -2:] = False, False, False, False
    assert inner.sum() > 20
    shown = sample["image"].as_subclass(Tensor)[:2].double() / STEP
    named = torch.stack([(label - 1000) // width, (label - 1000) % width])
    assert (shown - named)[:, inner].abs().max() <= error + 1 / STEP  # images are bytes
    assert (shown - named)[:, inner].mean(1).abs().max() < 0.15  # no bias to a side
