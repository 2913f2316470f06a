"""Three tasks, one DejaVu loss conditioned on all of them: python examples/multi_task.py."""

import torch
from torch import Tensor, nn
from torch.nn.functional import cosine_similarity, cross_entropy, l1_loss, normalize

from dejavu import DejaVuLoss, RandomBlocks

CHANNELS = {"labels": 5, "depth": 1, "normals": 3}


def main(size: int = 32) -> tuple[nn.ModuleDict, dict[str, Tensor], dict[str, Tensor]]:
    """Take a step; return network, losses, and the gradient of the DejaVu loss for each head."""
    network = nn.ModuleDict({task: nn.Conv2d(16, width, 1) for task, width in CHANNELS.items()})
    network["trunk"] = nn.Sequential(nn.Conv2d(3, 16, 3, padding=1), nn.ReLU())
    criterion = DejaVuLoss(sum(CHANNELS.values()), RandomBlocks(block=8, keep=0.3), gamma=0.3)
    optimizer = torch.optim.AdamW([*network.parameters(), *criterion.parameters()], lr=1e-3)
    image, label = torch.randn(2, 3, size, size), torch.randint(5, (2, size, size))
    target = {"depth": torch.rand(2, 1, size, size), "normals": torch.randn(2, 3, size, size)}
    features = network["trunk"](image)
    logits, depth, normals = (network[task](features) for task in CHANNELS)
    probabilities, depth, normals = logits.softmax(1), depth.sigmoid(), normalize(normals)
    condition = torch.cat([probabilities, depth, normals], dim=1)  # all bounded
    losses = {
        "labels": cross_entropy(logits, label),
        "depth": l1_loss(depth, target["depth"]),
        "normals": 1 - cosine_similarity(normals, target["normals"]).mean(),
        "dejavu": criterion.loss_from_condition(image, condition),
    }
    weights = [network[task].weight for task in CHANNELS]
    gradients = torch.autograd.grad(losses["dejavu"], weights, retain_graph=True)
    sum(losses.values()).backward()
    optimizer.step()
    return network, losses, dict(zip(CHANNELS, gradients, strict=True))


if __name__ == "__main__":
    print({name: loss.item() for name, loss in main()[1].items()})
