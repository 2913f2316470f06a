"""The DejaVu loss in a Lightning module: python examples/lightning_module.py."""

import torch
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader, TensorDataset

from dejavu import DejaVuLoss, RandomBlocks
from dejavu.torchvision_import import import_torchvision

import_torchvision()  # lightning imports it
import lightning  # noqa: E402


class Segmentation(lightning.LightningModule):
    """A network and the loss beside it; what is deployed is ``self.network`` alone."""

    def __init__(self, network: torch.nn.Module, classes: int) -> None:
        super().__init__()
        self.network = network
        self.criterion = DejaVuLoss(classes, RandomBlocks(block=8, keep=0.3), gamma=0.3)

    def training_step(self, batch: list[torch.Tensor]) -> torch.Tensor:  # noqa: D102
        image, label = batch
        prediction = self.network(image)
        return cross_entropy(prediction, label) + self.criterion(image, prediction)

    def configure_optimizers(self) -> torch.optim.Optimizer:  # noqa: D102
        return torch.optim.AdamW(self.parameters(), lr=1e-3)


def main(steps: int = 2, size: int = 32) -> torch.nn.Module:
    """Train a few steps on made-up images; return the network."""
    module = Segmentation(torch.nn.Conv2d(3, 5, 3, padding=1), classes=5)
    data = TensorDataset(torch.randn(4, 3, size, size), torch.randint(5, (4, size, size)))
    quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    trainer = lightning.Trainer(max_steps=steps, accelerator="cpu", **quiet)
    trainer.fit(module, DataLoader(data, batch_size=2))
    return module.network
