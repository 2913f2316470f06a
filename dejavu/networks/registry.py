"""Networks by name; each maps B x 3 x H x W images to B x channels x H x W outputs.

A network is one module of this folder: its literal ``ARCHITECTURES`` lists the architectures, with
the facts of each (`dejavu.config.networks.Architecture`), and its function
``build(params, channels)`` builds one of them.
"""

import importlib

from torch import nn

from dejavu.config.networks import NetworkParams
from dejavu.runtime.errors import ParamsError


def create_model(params: NetworkParams, channels: int) -> nn.Module:
    """Build a network with random weights, drawn from torch's global generator.

    Only the module of the architecture is imported. With ``pretrained``, the encoder's weights
    are then replaced by ImageNet's, without further draws.

    Raises:
        ParamsError: the encoder is unknown, or does not fit the architecture.
        CheckpointError: ImageNet weights are requested, but missing or of other keys.
        ValueError: the architecture cannot have this number of channels.
        ImportError: a library that the network needs is not installed.

    Example:
        >>> import torch
        >>> model = create_model(NetworkParams(architecture="feature_pyramid"), channels=3)
        >>> model(torch.zeros(1, 3, 64, 64)).shape
        torch.Size([1, 3, 64, 64])
    """
    module = importlib.import_module(f"dejavu.{params.facts.module}")
    network: nn.Module = module.build(params, channels)
    return network


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
