"""Depth with any segmentation_models_pytorch network: python examples/smp_network.py."""

import torch

from dejavu import DejaVuLoss, HighPass
from dejavu.runtime.torchvision_import import import_torchvision

FARTHEST = 10.0  # metres


def depth(output: torch.Tensor) -> torch.Tensor:
    """Map the raw output to metres."""
    return FARTHEST * output.sigmoid()


def main(steps: int = 2, size: int = 64) -> tuple[torch.nn.Module, list[float]]:
    """Train a few steps on random images; return the network and its losses."""
    import_torchvision()  # imported by smp; this also works with a CPU build of torch
    import segmentation_models_pytorch as smp

    network = smp.Unet("resnet18", encoder_weights=None, classes=1)
    # The condition is bounded: depth as a fraction of the farthest, one channel.
    criterion = DejaVuLoss(1, HighPass(cutoff=0.2), condition=torch.sigmoid, gamma=0.1)
    optimizer = torch.optim.AdamW([*network.parameters(), *criterion.parameters()], lr=1e-4)
    image, target = torch.randn(2, 3, size, size), torch.rand(2, 1, size, size) * FARTHEST
    losses = []
    for _ in range(steps):
        output = network(image)
        loss = (depth(output) - target).abs().mean() + criterion(image, output)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return network, losses


if __name__ == "__main__":
    print(main()[1])
