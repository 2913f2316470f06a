"""Sizes of the benchmarks: the full measurement, and a quick smoke test."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from dejavu.data.sample import IMAGE_MEAN, IMAGE_STD
from dejavu.datasets.rooms.classes import CLASSES
from dejavu.networks.pyramid import FeaturePyramid
from dejavu.networks.torchvision import TorchvisionNetwork


@dataclass(frozen=True)
class Scale:
    """Sizes of the two networks and their batches, and number of timed rounds.

    Attributes:
        rounds: timed rounds of the embedded network.
        batch: batch size of the embedded network.
        side: height and width of its images in pixels.
        width: its channels at stride 2.
        architecture: torchvision's name of the large network, of ResNet-50's size.
        large_rounds: timed rounds of the large network.
        large_batch: batch size of the large network.
        large_side: height and width of its images in pixels.
    """

    rounds: int = 30
    batch: int = 16
    side: int = 64
    width: int = 24
    architecture: str = "fcn_resnet50"
    large_rounds: int = 6
    large_batch: int = 2
    large_side: int = 256

    def embedded(self) -> nn.Module:
        """Build the embedded study's network."""
        return _build(FeaturePyramid(len(CLASSES), self.width))

    def large(self) -> nn.Module:
        """Build the large network, with random weights."""
        return _build(TorchvisionNetwork(self.architecture, len(CLASSES)))

    def batch_of_embedded(self) -> tuple[Tensor, Tensor]:
        """Draw the embedded network's images and labels."""
        return _draw(self.batch, self.side)

    def batch_of_large(self) -> tuple[Tensor, Tensor]:
        """Draw the large network's images and labels."""
        return _draw(self.large_batch, self.large_side)


QUICK = Scale(
    rounds=2,
    batch=2,
    side=32,
    width=4,
    architecture="lraspp_mobilenet_v3_large",
    large_rounds=2,
    large_batch=2,
    large_side=32,
)
"""Smoke test, with a smaller network as the large one."""


def channels_last(module: nn.Module) -> nn.Module:
    """Convert weights to channels-last, as in the study; the fastest layout on a CPU."""
    return module.to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]


def describe(batch: int, side: int) -> str:
    """Describe a batch, as in ``batch 2 of 3 x 64 x 64``."""
    return f"batch {batch} of 3 x {side} x {side}"


def _build(network: nn.Module) -> nn.Module:
    return channels_last(network).train()


def _draw(batch: int, side: int) -> tuple[Tensor, Tensor]:
    """Draw images, B x 3 x side x side, normalised, and labels, B x side x side."""
    generator = torch.Generator().manual_seed(0)
    rgb = torch.rand(batch, 3, side, side, generator=generator)
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (IMAGE_MEAN, IMAGE_STD))
    label = torch.randint(len(CLASSES), (batch, side, side), generator=generator)
    return (rgb - mean) / std, label
