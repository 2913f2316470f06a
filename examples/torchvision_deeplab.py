"""The DejaVu loss on torchvision's DeepLabV3: python examples/torchvision_deeplab.py."""

import torch
from torch.nn.functional import cross_entropy

from dejavu import DejaVuLoss, RandomBlocks
from dejavu.runtime.torchvision_import import import_torchvision

IMAGENET = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}
CLASSES = 19


def main(steps: int = 2, size: int = 64) -> tuple[torch.nn.Module, list[float]]:
    """Train a few steps on random images; return the network and its losses."""
    torchvision = import_torchvision()  # works with a CPU build of torch, too
    network = torchvision.models.segmentation.deeplabv3_resnet50(
        weights=None, weights_backbone=None, num_classes=CLASSES
    )
    criterion = DejaVuLoss(CLASSES, RandomBlocks(block=8, keep=0.3), gamma=0.3, **IMAGENET)
    optimizer = torch.optim.AdamW([*network.parameters(), *criterion.parameters()], lr=1e-4)
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in IMAGENET.values())
    image = (torch.rand(2, 3, size, size) - mean) / std
    label = torch.randint(CLASSES, (2, size, size))
    losses = []
    for _ in range(steps):
        prediction = network(image)["out"]
        loss = cross_entropy(prediction, label) + criterion(image, prediction)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return network, losses


if __name__ == "__main__":
    print(main()[1])
