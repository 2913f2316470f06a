"""Networks that tests share: each with the smallest encoder that fits."""

import functools
from typing import Any

import torch
from torch import Tensor, nn

from dejavu.config.networks import NetworkParams
from dejavu.networks.registry import create_model

ENCODERS = {
    "deeplabv3plus": "resnet18",
    "upernet": "tu-swin_tiny_patch4_window7_224",
    "segformer": "mit_b0",
    "fpn": "resnet18",
    "dpt": "tu-vit_tiny_patch16_224",
    "hrnet": "tu-hrnet_w18_small",
    "mask2former": "tu-resnet10t",
}
DENSE = [name for name in ENCODERS if name != "mask2former"]
CLASSES = 5


def network_params(architecture: str, **changes: Any) -> NetworkParams:
    encoder = ENCODERS.get(architecture)
    return NetworkParams(**{"architecture": architecture, "encoder": encoder} | changes)


def build(architecture: str, seed: int = 0) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return create_model(network_params(architecture), CLASSES)


@functools.cache
def network(architecture: str) -> nn.Module:
    """A network in evaluation mode, which no test changes."""
    return build(architecture).eval().requires_grad_(False)


def images(batch: int, height: int, width: int) -> Tensor:
    generator = torch.Generator().manual_seed(batch + height)
    return torch.randn(batch, 3, height, width, generator=generator)
