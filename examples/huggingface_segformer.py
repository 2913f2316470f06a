"""The DejaVu loss on a Hugging Face SegFormer: python examples/huggingface_segformer.py.

SegFormer's logits have a quarter of the image's size; the loss upsamples them.
"""

import torch

from dejavu import DejaVuLoss, RandomBlocks
from dejavu.runtime.torchvision_import import import_torchvision

CLASSES = 7


def main(steps: int = 2, size: int = 64) -> tuple[torch.nn.Module, list[float]]:
    """Train a few steps on random images; return the network and its losses."""
    import_torchvision()  # transformers may import it
    from transformers import SegformerConfig, SegformerForSemanticSegmentation

    sizes = {"hidden_sizes": [8, 16, 24, 32], "depths": [1] * 4, "decoder_hidden_size": 16}
    config = SegformerConfig(num_labels=CLASSES, num_attention_heads=[1, 1, 2, 2], **sizes)
    network = SegformerForSemanticSegmentation(config)
    criterion = DejaVuLoss(CLASSES, RandomBlocks(block=8, keep=0.3), gamma=0.3)
    optimizer = torch.optim.AdamW([*network.parameters(), *criterion.parameters()], lr=6e-5)
    image, label = torch.randn(2, 3, size, size), torch.randint(CLASSES, (2, size, size))
    losses = []
    for _ in range(steps):
        output = network(pixel_values=image, labels=label)
        loss = output.loss + criterion(image, output.logits)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return network, losses


if __name__ == "__main__":
    print(main()[1])
