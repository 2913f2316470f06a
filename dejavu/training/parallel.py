"""The processes that train a run together: they share each batch and step as one process would.

Each process takes an equal part of every batch. What one process would draw or average over the
whole batch is drawn and averaged over the whole batch here too: redactions, means over the pixels
that count, the statistics of batch normalisation, gradients. So the losses are those of one
process within rounding, however the batch is shared; only a network's own dropout differs.
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
"""How long `Share.wait` waits: the first process may be waiting for the run's lock."""


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
    with share_batches(share):
        yield share
    dist.destroy_process_group()  # not after an error: nccl would wait for the others there
