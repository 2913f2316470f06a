"""Data-parallel training: several processes share each batch and step as one process would.

Each process takes an equal part of every batch. Draws and averages over a batch still span the
whole batch: redactions, means over the pixels that count, the statistics of batch normalisation,
gradients. So the losses equal those of one process up to rounding, however the batch is shared;
only a network's own dropout differs.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import torch
import torch.distributed as dist

from dejavu.runtime.collective import ALONE, Share, share_batches
from dejavu.runtime.errors import DejaVuError
from dejavu.runtime.launch import launched

_PATIENCE = timedelta(days=7)
"""Timeout of `Share.wait`: the first process may be waiting for the run's lock."""


@contextmanager
def shared_batches(processes: int) -> Iterator[Share]:
    """Join the group of ``processes`` that share each batch; a single process shares nothing.

    They are started by `dejavu.runtime.launch.launch`, or by torchrun on one or several machines.

    Raises:
        DejaVuError: another number of processes was started.
    """
    rank, started = launched()
    if started != processes:
        raise DejaVuError(
            f"train.processes is {processes}, but {started} were started together; "
            f"start {processes}: torchrun --nproc-per-node {processes} -m dejavu train ..."
        )
    if processes == 1:
        yield ALONE
        return
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    dist.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
    share = Share(rank, processes, dist.new_group(backend="gloo", timeout=_PATIENCE))
    with share_batches(share):
        yield share
    dist.destroy_process_group()  # not after an error: nccl would wait for the other processes
