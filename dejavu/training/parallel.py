"""Data-parallel training: processes that share each batch and step as one process would.

Each process takes an equal part of every batch. What one process would draw or average over the
whole batch is drawn and averaged over the whole batch here too: redactions, means over the pixels
that count, the statistics of batch normalisation, gradients. So the losses are those of one
process within rounding, however the batch is shared; only a network's own dropout differs.

Outside `shared_batches` nothing is shared, and a loss calls no other process.
"""

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import chain
from typing import Any

import torch
import torch.distributed as dist
from torch import Generator, Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from dejavu.method.redaction.base import Kind, Redacted, Redaction
from dejavu.runtime.errors import DejaVuError, ParamsError
from dejavu.runtime.launch import launched

_PATIENCE = timedelta(days=7)
"""How long `Share.wait` waits: the first process may be waiting for the run's lock."""


@dataclass(frozen=True)
class Share:
    """This process's part of every batch.

    Attributes:
        rank: its number, from 0; process 0 alone writes files.
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
        """Return the positions of its part in a batch of ``batch``, a multiple of ``size``."""
        count = batch // self.size
        return slice(self.rank * count, (self.rank + 1) * count)

    def wait(self) -> None:
        """Wait until every process is here, however long that takes."""
        if self.size > 1:
            dist.barrier(self._group)

    def draw_for_all(self, part: Tensor, draw: Callable[[Tensor], Tensor]) -> Tensor:
        """Apply what draws at random to the whole batch; return what became of this part.

        The other parts are blank: draws depend on the shape of a batch, not on its values.

        Args:
            part: b x ..., this process's part.
            draw: maps a batch to a batch of the same length.
        """
        if self.size == 1:
            return draw(part)
        batch = len(part) * self.size
        whole = part.new_zeros(batch, *part.shape[1:])
        whole[self.of(batch)] = part
        return draw(whole)[self.of(batch)]


ALONE = Share()
"""The whole batch is this process's."""

_share: ContextVar[Share] = ContextVar("share", default=ALONE)


@contextmanager
def shared_batches(processes: int) -> Iterator[Share]:
    """Join the ``processes`` that share each batch; with one, nothing is shared.

    The processes were started by `dejavu.runtime.launch.launch`, or by torchrun on one or several
    machines.

    Raises:
        DejaVuError: another number of processes was started.
    """
    rank, started = launched()
    if started != processes:
        raise DejaVuError(
            f"train.processes is {processes}, but {started} were started together; "
            f"start as many: torchrun --nproc-per-node {processes} -m dejavu train ..."
        )
    if processes == 1:
        yield ALONE
        return
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    dist.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
    share = Share(rank, processes, dist.new_group(backend="gloo", timeout=_PATIENCE))
    token = _share.set(share)
    try:
        yield share
    finally:
        _share.reset(token)
    dist.destroy_process_group()  # not after an error: nccl would wait for the others there


def mean_across(value: Tensor) -> Tensor:
    """Average a tensor over the processes that share the batches; gradients flow back to all."""
    if _share.get().size == 1:
        return value
    mean: Tensor = _Mean.apply(value)  # type: ignore[no-untyped-call]
    return mean


def gather_across(values: Tensor) -> Tensor:
    """Join the values of all processes, of which each has as many, in one vector; no gradient."""
    size = _share.get().size
    values = values.detach().flatten()
    if size == 1:
        return values
    gathered = [torch.empty_like(values) for _ in range(size)]
    dist.all_gather(gathered, values)
    return torch.cat(gathered)


def average_gradients(modules: Iterable[nn.Module | None]) -> None:
    """Replace each gradient of the modules by its mean over the processes."""
    if _share.get().size == 1:
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
    return total / _share.get().size


class _Mean(torch.autograd.Function):
    """A mean over the processes: its adjoint is the mean of the processes' gradients."""

    @staticmethod
    def forward(ctx: Any, value: Tensor) -> Tensor:
        return _mean(value)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return _mean(gradients[0])


def share_draws_and_statistics(module: nn.Module | None, share: Share) -> None:
    """Make a module's redactions draw, and its batch normalisation average, for the whole batch.

    Args:
        module: a network or a criterion, which is changed in place; None is left alone.
        share: this process's part.

    Raises:
        ParamsError: a normalisation over the batch is of a kind that cannot be shared.
    """
    if module is None or share.size == 1:
        return
    for name, part in module.named_modules():
        if isinstance(part, _BatchNorm):
            # Both replacements would drop what a subclass adds, such as timm's activation.
            if type(part) is not nn.BatchNorm2d:
                raise ParamsError(
                    f"train.processes: {name} is a {type(part).__name__}, whose statistics several "
                    "processes cannot share; set train.processes to 1"
                )
            if not torch.cuda.is_available():
                part.__class__ = _SharedBatchNorm
        redaction = getattr(part, "redaction", None)
        if isinstance(redaction, Redaction):
            setattr(part, "redaction", _SharedRedaction(redaction, share))  # noqa: B010
    if torch.cuda.is_available():
        nn.SyncBatchNorm.convert_sync_batchnorm(module)


@dataclass(frozen=True)
class _SharedRedaction(Redaction):
    """A redaction that draws for the whole batch and redacts this process's part."""

    whole: Redaction
    share: Share

    @property
    def kind(self) -> Kind:
        return self.whole.kind

    @property
    def hole(self) -> int:
        return self.whole.hole

    def _redact(self, image: Tensor, generator: Generator | None) -> Redacted:
        kept: list[Tensor | None] = []

        def redact(batch: Tensor) -> Tensor:
            redacted = self.whole(batch, generator)
            kept.append(redacted.keep)
            return redacted.image

        redacted = self.share.draw_for_all(image, redact)
        keep = kept[0]
        return Redacted(redacted, None if keep is None else keep[self.share.of(len(keep))])


class _SharedBatchNorm(nn.BatchNorm2d):
    """Batch normalisation by the statistics of the whole batch, where torch's own needs a GPU."""

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 (torch's name)
        if not self.training or _share.get().size == 1:
            return super().forward(input)
        assert self.momentum is not None
        assert self.num_batches_tracked is not None
        mean = mean_across(input.mean((0, 2, 3)))
        centred = input - mean.view(-1, 1, 1)
        variance = mean_across(centred.square().mean((0, 2, 3)))
        count = input[:, 0].numel() * _share.get().size
        with torch.no_grad():
            self.num_batches_tracked.add_(1)
            for running, new in (
                (self.running_mean, mean),
                (self.running_var, variance * count / (count - 1)),
            ):
                assert running is not None
                running.lerp_(new, self.momentum)
        normalised = centred * torch.rsqrt(variance + self.eps).view(-1, 1, 1)
        return normalised * self.weight.view(-1, 1, 1) + self.bias.view(-1, 1, 1)
