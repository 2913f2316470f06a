"""DejaVu-CL, the cyclic loss: what the network sees in the image that it helped to give back."""

import math
from collections.abc import Callable
from typing import Literal

import torch
from torch import Generator, Tensor, nn
from torch.func import functional_call

Gradient = Literal["image", "network", "both"]


class CyclicLoss(nn.Module):
    """Hold the prediction from the regenerated image to a reference, after the paper's DejaVu-CL.

    The network h reads the regenerated image I_hat, and L_CL = distance(h(I_hat), reference). The
    reference is the target, with the task's own loss as distance, or the first prediction h(I),
    detached, with a distance between predictions: this definition is the project's.

    The second pass leaves no trace: it normalises with the batch's statistics as training does,
    but the running ones stay as they were, and its dropout draws from a stream of its own.

    Args:
        distance: (second prediction, reference) -> scalar.
        gamma: weight of the loss that is returned, at least 0.
        gradient: the path back: ``image``, through I_hat to the CRM and the first prediction;
            ``network``, through the parameters of the second pass; or ``both``.

    Raises:
        ValueError: gamma or gradient is impossible.

    Example:
        >>> import torch.nn.functional as F
        >>> network = nn.Sequential(nn.Conv2d(3, 5, 1), nn.BatchNorm2d(5))
        >>> cyclic = CyclicLoss(F.cross_entropy, gamma=0.1)
        >>> regenerated, label = torch.rand(2, 3, 8, 8), torch.randint(5, (2, 8, 8))
        >>> cyclic(network, regenerated, label).backward()
        >>> network[1].running_mean.any()
        tensor(False)
    """

    def __init__(
        self,
        distance: Callable[[Tensor, Tensor], Tensor],
        gamma: float = 1.0,
        gradient: Gradient = "both",
    ) -> None:
        super().__init__()
        if not (0 <= gamma < math.inf):
            raise ValueError(f"gamma={gamma!r}: must be finite and at least 0")
        if gradient not in ("image", "network", "both"):
            raise ValueError(f"gradient={gradient!r}: must be 'image', 'network' or 'both'")
        self.distance = distance
        self.gamma = gamma
        self.gradient = gradient

    def forward(
        self,
        network: nn.Module,
        regenerated: Tensor,
        reference: Tensor,
        generator: Generator | None = None,
    ) -> Tensor:
        """Return gamma x L_CL, a scalar.

        Args:
            network: the network that made the prediction, in training mode.
            regenerated: B x C x H x W, what the CRM made of the images.
            reference: what ``distance`` compares with; no gradient flows to it.
            generator: seeds the second pass's own random stream; torch's global generator, which
                is then advanced by one draw, if None.
        """
        again = self._predict_again(network, regenerated, generator)
        return self.gamma * self.distance(again, reference.detach())

    def _predict_again(
        self, network: nn.Module, regenerated: Tensor, generator: Generator | None
    ) -> Tensor:
        parameters: dict[str, Tensor] = dict(network.named_parameters())
        if self.gradient == "image":
            parameters = {name: p.detach() for name, p in parameters.items()}
        elif self.gradient == "network":
            regenerated = regenerated.detach()
        # Batch normalisation writes its running statistics into these copies.
        buffers = {name: buffer.clone() for name, buffer in network.named_buffers()}
        seed = int(torch.randint(2**62, (), generator=generator))
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            again: Tensor = functional_call(network, (parameters, buffers), (regenerated,))
        return again
