"""Predictions that err, with truths a fifth of which are unknown, in double precision."""

import torch
import torch.nn.functional as F
from torch import Tensor

from dejavu.data.sample import IGNORE_INDEX


def labels(seed: int, classes: int = 4) -> tuple[Tensor, Tensor]:
    """Logits and labels, a fifth of which are unknown."""
    draws = torch.Generator().manual_seed(seed)
    logits = 2 * torch.randn(2, classes, 5, 6, generator=draws, dtype=torch.float64)
    target = torch.randint(classes, (2, 5, 6), generator=draws)
    unknown = torch.rand(2, 5, 6, generator=draws) < 0.2
    return logits, target.masked_fill(unknown, IGNORE_INDEX)


def depths(seed: int) -> tuple[Tensor, Tensor]:
    """Predictions that err by tens of per cent, and truths, a fifth of which are unknown."""
    draws = torch.Generator().manual_seed(seed)
    target = 0.5 + 5 * torch.rand(2, 1, 5, 6, generator=draws, dtype=torch.float64)
    noise = torch.randn(target.shape, generator=draws, dtype=torch.float64)
    known = torch.rand(target.shape, generator=draws) > 0.2
    return target * (0.3 * noise).exp(), target * known


def normals(seed: int) -> tuple[Tensor, Tensor]:
    draws = torch.Generator().manual_seed(seed)
    prediction, target = F.normalize(
        torch.randn(2, 2, 3, 5, 6, generator=draws, dtype=torch.float64), dim=2
    )
    return prediction, target * (torch.rand(2, 1, 5, 6, generator=draws) > 0.2)


def weights(seed: int) -> Tensor:
    """Weights per pixel, some of them 0."""
    draws = torch.rand(2, 5, 6, generator=torch.Generator().manual_seed(seed + 1))
    return (3 * draws - 0.5).clamp(min=0).double()
