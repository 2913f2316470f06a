"""Label maps of random numbers."""

import torch
from torch import Tensor

IGNORED = 255


def random_labels(seed: int, classes: int, shape: tuple[int, int, int]) -> tuple[Tensor, Tensor]:
    """A prediction that is right at six tenths of the pixels, and a truth with unknown ones."""
    draws = torch.Generator().manual_seed(seed)
    prediction = torch.randint(classes, shape, generator=draws)
    truth = torch.randint(classes, shape, generator=draws)
    truth = truth.where(torch.rand(shape, generator=draws) < 0.4, prediction)
    return prediction, truth.where(torch.rand(shape, generator=draws) > 0.1, IGNORED)
