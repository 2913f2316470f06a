import pytest
import torch

from dejavu.config.networks import NetworkParams
from dejavu.networks.registry import create_model
from dejavu.networks.torchvision import TorchvisionNetwork


@pytest.mark.parametrize("architecture", ["lraspp_mobilenet_v3_large", "fcn_resnet50"])
def test_torchvisions_networks_have_the_tasks_channels(architecture: str) -> None:
    params = NetworkParams(architecture=architecture)
    with torch.inference_mode():
        output = create_model(params, channels=3).eval()(torch.zeros(1, 3, 64, 64))
    assert output.shape == (1, 3, 64, 64)


def test_an_unknown_network_is_named() -> None:
    with pytest.raises(ValueError, match="architecture='unet': "):
        TorchvisionNetwork("unet", 3)
