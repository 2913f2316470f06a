"""Optimisation: gradient clipping, optimisers with their parameter groups, learning rates."""

import hashlib
import math
from typing import Any

import torch
from torch import nn

from dejavu.config import TrainParams
from dejavu.runtime.errors import ParamsError


def clip_gradients(module: nn.Module, params: TrainParams) -> float:
    """Clip the gradient norm of one module; return the norm before clipping."""
    return nn.utils.clip_grad_norm_([*module.parameters()], params.clip_norm).item()


def set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Set the learning rate of every parameter group, times the group's multiplier."""
    for group in optimizer.param_groups:
        group["lr"] = rate * group.get("rate_factor", 1)


def create_optimizer(
    model: nn.Module | None, criterion: nn.Module | None, params: TrainParams
) -> torch.optim.Optimizer:
    """Create the optimiser of the base network and the CRM, a group each; either may be None."""
    groups = _network_groups(model, params.head_rate) if model else []
    if criterion:
        groups.append({"params": list(criterion.parameters())})
    rate, decay = params.learning_rate, params.weight_decay
    if params.optimizer == "sgd":
        return torch.optim.SGD(groups, lr=rate, momentum=params.momentum, weight_decay=decay)
    kind = torch.optim.AdamW if params.optimizer == "adamw" else torch.optim.Adam
    return kind(groups, lr=rate, weight_decay=decay)


def _network_groups(model: nn.Module, head_rate: float) -> list[dict[str, Any]]:
    """One group, or two: the encoder, and all else with the multiplier ``head_rate``."""
    if head_rate == 1:
        return [{"params": list(model.parameters())}]
    named = [*model.named_parameters()]
    encoder = [p for name, p in named if _is_in_encoder(name)]
    others = [p for name, p in named if not _is_in_encoder(name)]
    if not encoder:
        raise ParamsError(
            f"train.head_rate is {head_rate}, but the network has no separate encoder; set it to 1"
        )
    return [{"params": encoder}, {"params": others, "rate_factor": head_rate}]


def _is_in_encoder(name: str) -> bool:
    """Tell whether a parameter is the encoder's; an encoder inside the decoder is not meant.

    Example:
        >>> _is_in_encoder("encoder.conv1.weight"), _is_in_encoder("decoder.encoder.0.weight")
        (True, False)
    """
    before, found, _ = f".{name}".partition(".encoder.")
    return bool(found) and ".decoder" not in before


def encoder_digest(model: nn.Module) -> str:
    """Return the SHA-256 of the encoder's weights, to record a run's starting point."""
    digest = hashlib.sha256()
    for name, weights in model.named_parameters():
        if _is_in_encoder(name):
            digest.update(weights.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def learning_rate(step: int, params: TrainParams) -> float:
    """Learning rate of a step; a pure function, so that resuming restores no scheduler.

    ``one_cycle`` (Smith and Topin, 2018, as in torch's OneCycleLR with cosine annealing): from
    1/25 of the peak up to it during the first 30 % of the steps, then down to 1/250,000 of it.
    ``poly`` (as in Chen et al., 2017): peak * (1 - step / steps) ** power, multiplied during the
    warm-up by a factor that rises linearly from 1/1000 to 1.
    """
    peak = params.learning_rate
    if params.schedule == "poly":
        decayed = peak * math.pow(1 - step / params.steps, params.power)
        if step >= params.warmup:
            return decayed
        return decayed * (1e-3 + (1 - 1e-3) * step / params.warmup)
    turn, last = 0.3 * params.steps - 1, params.steps - 1
    if step <= turn:
        return _cosine(peak / 25, peak, step / turn)
    return _cosine(peak, peak / 25e4, (step - turn) / (last - turn))


def _cosine(start: float, end: float, fraction: float) -> float:
    return end + (start - end) / 2 * (1 + math.cos(math.pi * fraction))
