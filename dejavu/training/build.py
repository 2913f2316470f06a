"""Build a run's task and network from its identity, to train it or to load its checkpoint."""

from collections.abc import Sequence
from typing import Any

from torch import nn

from dejavu.config import NetworkParams
from dejavu.networks.registry import create_model, dense_head
from dejavu.tasks.base import Task
from dejavu.tasks.registry import create_task


def build_task(identity: dict[str, Any], palette: Sequence[Sequence[int]]) -> Task:
    """Build the task of a run for the classes of its data."""
    return create_task(identity["task"], palette, identity["settings"])


def build_network(
    identity: dict[str, Any], task: Task, pretrained: bool | None = None
) -> nn.Module:
    """Build the network that a run trains and deploys, with its initial weights.

    They are random, except for a pretrained encoder's, which are ImageNet's.

    The base network draws first from torch's global generator, so that it starts from the same
    weights with and without shared attention around it.

    Args:
        identity: the fields of the run.
        task: its task.
        pretrained: overrides the run's own setting; False for a network whose weights are
            replaced anyway.
    """
    changes = {} if pretrained is None else {"pretrained": pretrained}
    params = NetworkParams(**identity["network"] | changes)
    network = create_model(params, task.channels)
    settings = identity["method"]["attention"]
    if settings is None:
        return network
    from dejavu.training.criterion import add_shared_attention

    return add_shared_attention(network, task, settings, dense_head(network))
