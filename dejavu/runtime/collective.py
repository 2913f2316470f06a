"""Means over processes that share each batch: losses and gradients equal the whole batch's.

Outside `share_batches` nothing is shared, and no function here communicates.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn


@dataclass(frozen=True)
class Share:
    """This process's part of every batch.

    Attributes:
        rank: number of this process, from 0; only process 0 writes files.
        size: number of processes.

    Example:
        >>> Share(rank=1, size=4).of(16)
        slice(4, 8, None)
    """

    rank: int = 0
    size: int = 1
    _group: dist.ProcessGroup | None = field(default=None, repr=False, compare=False)

    @property
    def first(self) -> bool:
        """Whether this is the process that writes files."""
        return self.rank == 0

    def of(self, batch: int) -> slice:
        """Return this process's positions in a batch of ``batch``, a multiple of ``size``."""
        count = batch // self.size
        return slice(self.rank * count, (self.rank + 1) * count)

    def wait(self) -> None:
        """Wait until every process has called this, however long that takes."""
        if self.size > 1:
            dist.barrier(self._group)

    def draw_for_all(self, part: Tensor, draw: Callable[[Tensor], Tensor]) -> Tensor:
        """Apply a random transform to the whole batch; return this process's part of the result.

        The other parts are zeros: draws depend on the shape of a batch, not on its values.

        Args:
            part: b x ..., this process's part.
            draw: random transform of a batch to one of the same length.
        """
        if self.size == 1:
            return draw(part)
        batch = len(part) * self.size
        whole = part.new_zeros(batch, *part.shape[1:])
        whole[self.of(batch)] = part
        return draw(whole)[self.of(batch)]


ALONE = Share()
"""The share of a process that has the whole batch."""

_share: ContextVar[Share] = ContextVar("share", default=ALONE)


@contextmanager
def share_batches(share: Share) -> Iterator[None]:
    """Within the block, average over the processes of ``share``."""
    token = _share.set(share)
    try:
        yield
    finally:
        _share.reset(token)


def processes() -> int:
    """Return the number of processes that share each batch: 1 outside `share_batches`."""
    return _share.get().size


def mean_across(value: Tensor) -> Tensor:
    """Average a tensor over the processes that share the batches; gradients flow back to all."""
    if processes() == 1:
        return value
    mean: Tensor = _Mean.apply(value)  # type: ignore[no-untyped-call]
    return mean


def gather_across(values: Tensor) -> Tensor:
    """Concatenate the values of all processes, equally many each, to a vector without gradient."""
    size = processes()
    values = values.detach().flatten()
    if size == 1:
        return values
    gathered = [torch.empty_like(values) for _ in range(size)]
    dist.all_gather(gathered, values)
    return torch.cat(gathered)


def average_gradients(modules: Iterable[nn.Module | None]) -> None:
    """Replace each gradient of the modules by its mean over the processes."""
    if processes() == 1:
        return
    parameters = chain.from_iterable(module.parameters() for module in modules if module)
    gradients = [p.grad for p in parameters if p.grad is not None]
    flat = _mean(torch.cat([gradient.flatten() for gradient in gradients]))
    parts = flat.split([gradient.numel() for gradient in gradients])
    for gradient, part in zip(gradients, parts, strict=True):
        gradient.copy_(part.view_as(gradient))


def _mean(value: Tensor) -> Tensor:
    total = value.clone(memory_format=torch.contiguous_format)
    dist.all_reduce(total)
    return total / processes()


class _Mean(torch.autograd.Function):
    """A mean over the processes: its adjoint is the mean of the processes' gradients."""

    @staticmethod
    def forward(ctx: Any, value: Tensor) -> Tensor:
        return _mean(value)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return _mean(gradients[0])
