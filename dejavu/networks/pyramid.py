"""The small network of the CPU study."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dejavu.config.networks import NetworkParams

ARCHITECTURES = {"feature_pyramid": {"has_width": True}}


def build(params: NetworkParams, channels: int) -> nn.Module:
    """Build the network of ``params`` with ``channels`` output channels."""
    return FeaturePyramid(channels, params.width)


class ConvNormReLU(nn.Sequential):
    """A 3 x 3 convolution, batch normalisation and ReLU."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__(
            nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(),
        )


class FeaturePyramid(nn.Module):
    """A small feature pyramid network (after Lin et al., 2017) for the CPU study.

    Four stages at strides 2, 4, 8 and 16 are merged top-down at ``width`` channels; the head
    reads the finest level and its output is upsampled bilinearly to the image's size.

    Args:
        channels: output channels.
        width: channels at stride 2; deeper stages have 2, 3 and 4 times as many.

    Shape:
        - image: B x 3 x H x W, H and W at least 16.
        - output: B x channels x H x W.

    Example:
        >>> FeaturePyramid(channels=5, width=8)(torch.zeros(2, 3, 32, 48)).shape
        torch.Size([2, 5, 32, 48])
    """

    dense_head = "head.1"

    def __init__(self, channels: int, width: int = 32) -> None:
        super().__init__()
        widths = [width * factor for factor in (1, 2, 3, 4)]
        self.stages = nn.ModuleList(
            nn.Sequential(ConvNormReLU(inputs, outputs, stride=2), ConvNormReLU(outputs, outputs))
            for inputs, outputs in zip([3, *widths[:-1]], widths, strict=True)
        )
        self.laterals = nn.ModuleList(nn.Conv2d(w, width, 1) for w in widths)
        self.head = nn.Sequential(ConvNormReLU(width, width), nn.Conv2d(width, channels, 1))

    def forward(self, image: Tensor) -> Tensor:
        """Map images to outputs of the same size."""
        features = []
        x = image
        for stage in self.stages:
            x = stage(x)
            features.append(x)
        merged: Tensor = self.laterals[-1](features[-1])
        for lateral, feature in zip(list(self.laterals)[-2::-1], features[-2::-1], strict=True):
            merged = lateral(feature) + _resize(merged, feature.shape[-2:])
        return _resize(self.head(merged), image.shape[-2:])


def _resize(x: Tensor, size: torch.Size) -> Tensor:
    return F.interpolate(x, size, mode="bilinear", align_corners=False)
