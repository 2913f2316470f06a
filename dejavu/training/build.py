"""A run's networks from its identity: the same for training and for reading a checkpoint."""

from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor, nn

from dejavu.config import NetworkParams
from dejavu.data.sample import IMAGE_MEAN, IMAGE_STD
from dejavu.method.attention import SharedAttention, SharedAttentionLoss
from dejavu.method.features import FeatureTap
from dejavu.method.loss import DejaVuLoss, RegenerationLoss
from dejavu.method.redaction import Redaction, create_redaction
from dejavu.networks.registry import create_model, dense_head
from dejavu.runtime.errors import ParamsError
from dejavu.tasks.base import Task, create_task


def build_task(identity: dict[str, Any], palette: Sequence[Sequence[int]]) -> Task:
    """Build the task of a run for the classes of its data."""
    return create_task(identity["task"], palette, identity["settings"])


def build_network(
    identity: dict[str, Any], task: Task, pretrained: bool | None = None
) -> nn.Module:
    """Build the network that a run trains and deploys, as it is before training.

    Its weights are drawn, or its encoder's are ImageNet's where the run says so; with
    ``pretrained=False`` they are drawn in any case, for who will load others.

    The base network draws first from torch's global generator: with and without shared attention
    around it, it starts from the same weights.
    """
    changes = {} if pretrained is None else {"pretrained": pretrained}
    params = NetworkParams(**identity["network"] | changes)
    network = create_model(params, task.channels)
    settings = identity["method"]["attention"]
    if settings is None:
        return network
    sizes = dict(settings)
    redaction = build_redaction(sizes.pop("redaction"))
    return SharedAttention(
        network,
        dense_head(network),
        task.channels,
        redaction,
        condition_channels=task.condition_channels,
        **sizes,
    )


def build_criterion(
    identity: dict[str, Any], task: Task, network: nn.Module
) -> RegenerationLoss | None:
    """Build the DejaVu loss of a run around its network, or None where it has none.

    Raises:
        ParamsError: redaction and CRM do not go together; the message names the fix.
    """
    settings = identity["method"]["dejavu"]
    if settings is None:
        return None
    common: dict[str, Any] = {
        "gamma": settings["gamma"],
        "region": settings["region"],
        "distance": settings["distance"],
        "mean": IMAGE_MEAN,
        "std": IMAGE_STD,
    }
    if isinstance(network, SharedAttention):
        return SharedAttentionLoss(network, task.condition, **common)
    condition: Callable[[Tensor], Tensor] = task.condition
    if settings["condition"] == "features":
        tap = FeatureTap(network, dense_head(network))
        condition = nn.Conv2d(tap.channels, task.condition_channels, 1)
        tap.remove()
    try:
        return DejaVuLoss(
            channels=task.condition_channels,
            redaction=build_redaction(settings["redaction"]),
            condition=condition,
            image_channels=len(IMAGE_MEAN),
            **settings["crm"],
            **common,
        )
    except ValueError as error:
        raise ParamsError(f"a method's dejavu settings: {error}") from None


def build_redaction(settings: dict[str, Any]) -> Redaction:
    """Build a redaction from its section of the params."""
    return create_redaction(**settings)
