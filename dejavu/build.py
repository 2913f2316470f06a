"""A run's networks from its identity: the same for training and for reading a checkpoint."""

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from dejavu.attention import SharedAttention, SharedAttentionLoss
from dejavu.config import NetworkParams
from dejavu.data.sample import IMAGE_MEAN, IMAGE_STD
from dejavu.errors import ParamsError
from dejavu.features import FeatureTap
from dejavu.losses import DejaVuLoss, RegenerationLoss
from dejavu.models import create_model, dense_head
from dejavu.redaction import Redaction, create_redaction
from dejavu.tasks import Task


def build_network(identity: dict[str, Any], task: Task) -> nn.Module:
    """Build the network that a run trains and deploys, with freshly drawn weights.

    The base network draws first from torch's global generator: with and without shared attention
    around it, it starts from the same weights.
    """
    network = create_model(NetworkParams(**identity["network"]), task.channels)
    settings = identity["method"]["attention"]
    if settings is None:
        return network
    sizes = dict(settings)
    redaction = build_redaction(sizes.pop("redaction"))
    return SharedAttention(network, dense_head(network), task.channels, redaction, **sizes)


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
        condition = nn.Conv2d(tap.channels, task.channels, 1)
        tap.remove()
    try:
        return DejaVuLoss(
            channels=task.channels,
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
