"""One network for labels, depth and normals; one DejaVu loss conditioned on all three."""

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, normalize

from dejavu import DejaVuLoss, RandomBlocks

CLASSES = 5


class Heads(nn.Module):
    """A shared trunk with a head per task; logits, depth and normals in one tensor."""

    def __init__(self) -> None:
        super().__init__()
        self.trunk = nn.Sequential(nn.Conv2d(3, 16, 3, padding=1), nn.ReLU())
        self.heads = nn.ModuleList(nn.Conv2d(16, channels, 1) for channels in (CLASSES, 1, 3))

    def forward(self, image: Tensor) -> Tensor:  # noqa: D102
        features = self.trunk(image)
        return torch.cat([head(features) for head in self.heads], dim=1)


def condition(output: Tensor) -> Tensor:
    """Map each prediction to something bounded, and put them side by side."""
    logits, depth, normals = output.split([CLASSES, 1, 3], dim=1)
    return torch.cat([logits.softmax(1), depth.tanh(), normalize(normals)], dim=1)


def main(size: int = 32) -> tuple[Heads, Tensor, Tensor]:
    """Compute the losses of one step; return the network, the task losses and the DejaVu loss."""
    network = Heads()
    criterion = DejaVuLoss(CLASSES + 4, RandomBlocks(block=8, keep=0.3), condition, gamma=0.3)
    image, label = torch.randn(2, 3, size, size), torch.randint(CLASSES, (2, size, size))
    output = network(image)
    logits, depth, normals = output.split([CLASSES, 1, 3], dim=1)
    tasks = cross_entropy(logits, label) + depth.abs().mean() - normalize(normals)[:, 2].mean()
    return network, tasks, criterion(image, output)
