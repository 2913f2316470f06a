"""Torchvision's segmentation networks."""

from typing import Any

from torch import Tensor, nn

from dejavu.config.networks import NetworkParams
from dejavu.runtime.torchvision_import import import_torchvision

ARCHITECTURES: dict[str, dict[str, Any]] = {
    "fcn_resnet50": {"stride": 8},
    "fcn_resnet101": {"stride": 8},
    "deeplabv3_resnet50": {"is_pooled": True},
    "deeplabv3_resnet101": {"is_pooled": True},
    "deeplabv3_mobilenet_v3_large": {"is_pooled": True},
    "lraspp_mobilenet_v3_large": {},
}


def build(params: NetworkParams, channels: int) -> nn.Module:
    """Build the network of ``params`` with ``channels`` output channels."""
    return TorchvisionNetwork(params.architecture, channels)


class TorchvisionNetwork(nn.Module):
    """One of torchvision's segmentation networks, from scratch, with any number of channels.

    Raises:
        ValueError: torchvision has no segmentation network of that name.
    """

    def __init__(self, architecture: str, channels: int) -> None:
        super().__init__()
        segmentation = import_torchvision().models.segmentation
        builder = getattr(segmentation, architecture, None)
        if builder is None:
            raise ValueError(f"architecture={architecture!r}: torchvision has no such network")
        self.network = builder(weights=None, weights_backbone=None, num_classes=channels)
        last = "high_classifier" if architecture.startswith("lraspp") else "4"
        self.dense_head = f"network.classifier.{last}"

    def forward(self, image: Tensor) -> Tensor:
        """Map images to outputs of the same size."""
        output: Tensor = self.network(image)["out"]
        return output
