"""The DejaVu loss in a Lightning module: python examples/lightning_module.py."""

import torch

from dejavu import DejaVuLoss, RandomBlocks
from dejavu.runtime.torchvision_import import import_torchvision

import_torchvision()  # lightning imports it
from lightning import LightningModule, Trainer  # noqa: E402


class Segmentation(LightningModule):
    """A network and its DejaVu loss; deploy ``self.network`` alone."""

    def __init__(self, network: torch.nn.Module, classes: int) -> None:
        super().__init__()
        self.network = network
        self.criterion = DejaVuLoss(classes, RandomBlocks(block=8, keep=0.3), gamma=0.3)

    def training_step(self, batch: list[torch.Tensor]) -> torch.Tensor:  # noqa: D102
        image, label = batch
        output = self.network(image)
        return torch.nn.functional.cross_entropy(output, label) + self.criterion(image, output)

    def configure_optimizers(self) -> torch.optim.Optimizer:  # noqa: D102
        return torch.optim.AdamW([*self.network.parameters(), *self.criterion.parameters()], 1e-3)


def main(steps: int = 2, size: int = 32) -> torch.nn.Module:
    """Train a few steps on random images; return the network to deploy."""
    module = Segmentation(torch.nn.Conv2d(3, 5, 3, padding=1), classes=5)
    data = [(torch.randn(3, size, size), torch.randint(5, (size, size))) for _ in range(4)]
    trainer = Trainer(max_steps=steps, accelerator="cpu", logger=False, enable_checkpointing=False)
    trainer.fit(module, torch.utils.data.DataLoader(data, batch_size=2))
    return module.network


if __name__ == "__main__":
    print("deployed:", *main().state_dict())
