"""DejaVu-CL, the cyclic loss: a loss on the prediction from the regenerated image."""

import math
from collections.abc import Callable
from typing import Literal

import torch
from torch import Generator, Tensor, nn
from torch.func import functional_call

Gradient = Literal["image", "network", "both"]


class CyclicLoss(nn.Module):
    """Distance of the prediction from the regenerated image to a reference (DejaVu-CL).

    L_CL = distance(h(I_hat), reference), for a network h and the regenerated image I_hat. The
    reference is the target, with the task loss as distance, or the detached first prediction
    h(I), with a distance between predictions. After the paper; the definition is this project's.

    The second pass has no side effects: batch normalisation uses batch statistics, as in training,
    without updating the running ones, and dropout draws from a separate random stream.

    Args:
        distance: (second prediction, reference) -> scalar.
        gamma: weight of L_CL in the returned loss, at least 0.
        gradient: path of the gradient: ``image``, through I_hat to the CRM and the first
            prediction; ``network``, through the parameters of the second pass; or ``both``.

    Raises:
        ValueError: gamma or gradient is invalid.

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
            regenerated: B x C x H x W, the output of the CRM.
            reference: second argument of ``distance``; no gradient flows to it.
            generator: seeds the second pass's random stream, with one draw; torch's global
                generator if None.
        """
        return self.gamma * self.unweighted(network, regenerated, reference, generator)

    def unweighted(
        self,
        network: nn.Module,
        regenerated: Tensor,
        reference: Tensor,
        generator: Generator | None = None,
    ) -> Tensor:
        """Return L_CL, a scalar; the arguments are those of `forward`."""
        again = self._predict_again(network, regenerated, generator)
        return self.distance(again, reference.detach())

    def _predict_again(
        self, network: nn.Module, regenerated: Tensor, generator: Generator | None
    ) -> Tensor:
        parameters: dict[str, Tensor] = dict(network.named_parameters())
        if self.gradient == "image":
            parameters = {name: p.detach() for name, p in parameters.items()}
        elif self.gradient == "network":
            regenerated = regenerated.detach()
        # Batch normalisation updates these copies of its running statistics.
        buffers = {name: buffer.clone() for name, buffer in network.named_buffers()}
        seed = int(torch.randint(2**62, (), generator=generator))
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            again: Tensor = functional_call(network, (parameters, buffers), (regenerated,))
        return again
