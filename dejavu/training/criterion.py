"""Build a run's DejaVu loss from its identity, to train it or to load its checkpoint."""

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from dejavu.data.sample import IMAGE_MEAN, IMAGE_STD
from dejavu.method.loss import DejaVuLoss, RegenerationLoss
from dejavu.method.redaction.base import Redaction
from dejavu.method.redaction.registry import create_redaction
from dejavu.networks.registry import dense_head
from dejavu.runtime.errors import ParamsError
from dejavu.tasks.base import Task


def build_criterion(identity: dict[str, Any], task: Task, network: nn.Module) -> RegenerationLoss:
    """Build the DejaVu loss of a run that uses it, around the run's network.

    Raises:
        ParamsError: redaction and CRM are incompatible; the message names the fix.
    """
    settings = identity["method"]["dejavu"]
    common: dict[str, Any] = {
        "gamma": settings["gamma"],
        "region": settings["region"],
        "distance": settings["distance"],
        "mean": IMAGE_MEAN,
        "std": IMAGE_STD,
    }
    if identity["method"]["attention"]:
        from dejavu.method.attention import SharedAttention, SharedAttentionLoss

        assert isinstance(network, SharedAttention)
        return SharedAttentionLoss(network, task.condition, **common)
    try:
        return DejaVuLoss(
            channels=task.condition_channels,
            redaction=build_redaction(settings["redaction"]),
            condition=_condition(settings["condition"], task, network),
            image_channels=len(IMAGE_MEAN),
            **settings["crm"],
            **common,
        )
    except ValueError as error:
        raise ParamsError(f"a method's dejavu settings: {error}") from None


def _condition(name: str, task: Task, network: nn.Module) -> Callable[[Tensor], Tensor]:
    """Return the map from the network's output, or its dense features, to the condition."""
    if name != "features":
        return task.condition
    from dejavu.method.features import FeatureTap

    tap = FeatureTap(network, dense_head(network))
    projection = nn.Conv2d(tap.channels, task.condition_channels, 1)
    tap.remove()
    return projection


def add_shared_attention(
    network: nn.Module, task: Task, settings: dict[str, Any], head: str
) -> nn.Module:
    """Build shared attention around a network.

    Args:
        network: the base network.
        task: its task.
        settings: the method's section ``attention``.
        head: path of the convolution that turns dense features into the network's output.
    """
    from dejavu.method.attention import SharedAttention

    sizes = dict(settings)
    redaction = build_redaction(sizes.pop("redaction"))
    channels = task.condition_channels
    return SharedAttention(
        network, head, task.channels, redaction, condition_channels=channels, **sizes
    )


def build_redaction(settings: dict[str, Any]) -> Redaction:
    """Build a redaction from its section of the params."""
    return create_redaction(**settings)
