"""Networks by name; each maps B x 3 x H x W images to B x channels x H x W outputs."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dejavu.config.networks import NetworkParams
from dejavu.networks.encoder_decoder import EncoderDecoder
from dejavu.networks.mask2former import Mask2Former
from dejavu.runtime.errors import ParamsError
from dejavu.runtime.torchvision_import import import_torchvision


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


class TorchvisionNetwork(nn.Module):
    """One of torchvision's segmentation networks, from scratch, with any output channels.

    Raises:
        ValueError: torchvision has no segmentation network of that name.
    """

    def __init__(self, architecture: str, channels: int) -> None:
        super().__init__()
        segmentation = import_torchvision().models.segmentation
        builder = getattr(segmentation, architecture, None)
        if builder is None:
            raise ValueError(f"architecture={architecture!r} is none of torchvision's networks")
        self.network = builder(weights=None, weights_backbone=None, num_classes=channels)
        last = "high_classifier" if architecture.startswith("lraspp") else "4"
        self.dense_head = f"network.classifier.{last}"

    def forward(self, image: Tensor) -> Tensor:
        """Map images to outputs of the same size."""
        output: Tensor = self.network(image)["out"]
        return output


def create_model(params: NetworkParams, channels: int) -> nn.Module:
    """Build a network with freshly drawn weights from torch's global generator.

    With ``pretrained``, its encoder's weights are then replaced by ImageNet's, which draws nothing
    more.

    Raises:
        ParamsError: the encoder is unknown, or does not go with the architecture.
        CheckpointError: ImageNet weights are asked for, and missing or unfit.
        ValueError: channels are impossible.
        ImportError: a library that the network needs is not installed.

    Example:
        >>> model = create_model(NetworkParams(architecture="feature_pyramid"), channels=3)
        >>> model(torch.zeros(1, 3, 64, 64)).shape
        torch.Size([1, 3, 64, 64])
    """
    if params.architecture in OWN_NETWORKS:
        return OWN_NETWORKS[params.architecture](channels, params.width)
    if params.architecture == "mask2former":
        return Mask2Former(params, channels)
    if params.encoder:
        return EncoderDecoder(params, channels)
    return TorchvisionNetwork(params.architecture, channels)


def dense_head(network: nn.Module) -> str:
    """Return the path of the convolution that turns a network's dense features into its output.

    Raises:
        ParamsError: the network has none.
    """
    path = getattr(network, "dense_head", None)
    if path is None:
        raise ParamsError(
            f"{type(network).__name__} has no convolution that turns dense features into its "
            "output: shared attention and the condition 'features' cannot be used with it; choose "
            "another architecture or method"
        )
    return str(path)


OWN_NETWORKS: dict[str, Callable[[int, int], nn.Module]] = {"feature_pyramid": FeaturePyramid}


def _resize(x: Tensor, size: torch.Size) -> Tensor:
    return F.interpolate(x, size, mode="bilinear", align_corners=False)
