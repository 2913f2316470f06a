"""A batch of labelled and unlabelled images: python examples/label_free.py."""

import torch
from torch.nn.functional import cross_entropy

from dejavu import DejaVuLoss, RandomBlocks

CLASSES = 5


def main(steps: int = 2, size: int = 32) -> tuple[torch.nn.Module, list[dict[str, float]]]:
    """Train a few steps on random images; return the network and its losses by name."""
    network = torch.nn.Conv2d(3, CLASSES, 3, padding=1)
    criterion = DejaVuLoss(CLASSES, RandomBlocks(block=8, keep=0.1), gamma=0.3)
    optimizer = torch.optim.AdamW([*network.parameters(), *criterion.parameters()], lr=1e-3)
    labelled, label = torch.randn(2, 3, size, size), torch.randint(CLASSES, (2, size, size))
    unlabelled = torch.randn(6, 3, size, size)
    history = []
    for _ in range(steps):
        image = torch.cat([labelled, unlabelled])
        prediction = network(image)
        losses = {
            "task": cross_entropy(prediction[: len(labelled)], label),
            "dejavu": criterion(image, prediction),  # all images: it needs no labels
        }
        optimizer.zero_grad()
        sum(losses.values()).backward()
        optimizer.step()
        history.append({name: loss.item() for name, loss in losses.items()})
    return network, history


if __name__ == "__main__":
    print(main()[1])
