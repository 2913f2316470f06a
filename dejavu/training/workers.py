"""Batches that worker processes prepare; whatever goes wrong in a worker is told in a message."""

import signal
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from multiprocessing.reduction import ForkingPickler
from typing import Any, TypeVar

import torch
from torch.utils.data import DataLoader, Dataset

from dejavu.runtime.errors import DejaVuError, is_out_of_memory, what_was_said

Item = TypeVar("Item")

_ADVICE = (
    "if this is a container, give it more shared memory (--shm-size=2g of docker and podman run); "
    "otherwise, lower train.workers (0: none). The same command continues from the last resume "
    "state"
)


@contextmanager
def prepared_by(
    workers: int, items: Dataset[Item], order: Sequence[int]
) -> Iterator[Iterator[Item]]:
    """Let worker processes prepare items; the block gets an iterator over them.

    Args:
        workers: number of processes, at least 1.
        items: items by position, with tensors that are passed on through shared memory.
        order: positions of the items, in order.

    Raises:
        DejaVuError: a worker ended, or cannot pass its items on, here or anywhere in the block; or
            an item raises it.
    """
    try:
        loader = DataLoader(
            _Parcels(items),
            batch_size=None,
            sampler=order,
            num_workers=workers,
            generator=torch.Generator(),
        )
        yield _unpacked(loader)
    except RuntimeError as error:  # torch raises it wherever this process is when a worker ends
        if not str(error).startswith("DataLoader worker"):
            raise
        raise _lost(error) from None


class _Parcels(Dataset[bytes | DejaVuError]):
    """Items as bytes, made here in the worker's own thread.

    `DataLoader` leaves that to another thread of the worker, which only prints an error, such as
    full shared memory, and the training process waits for the item for ever.
    """

    def __init__(self, items: Dataset[Any]) -> None:
        self._items = items

    def __getitem__(self, position: int) -> bytes | DejaVuError:
        try:
            item = self._items[position]
        except DejaVuError as error:
            if is_out_of_memory(error):  # its cause would be lost on the way
                raise MemoryError(what_was_said(error)) from None
            return error
        try:
            return bytes(ForkingPickler.dumps(item))
        except (OSError, RuntimeError) as error:
            return DejaVuError(
                "train.workers: a process that prepares batches cannot pass them on "
                f"({what_was_said(error)}): {_ADVICE}"
            )


def _unpacked(parcels: Iterable[bytes | DejaVuError]) -> Iterator[Any]:
    try:
        for parcel in parcels:
            if isinstance(parcel, DejaVuError):
                raise parcel
            yield ForkingPickler.loads(parcel)
    except (OSError, EOFError) as error:  # of the parcel's sender, which has ended
        raise _lost(error) from None


def _lost(error: Exception) -> DejaVuError:
    with suppress(ValueError):  # outside the main thread
        # Torch's handler would raise again, wherever this process is, as the other workers end.
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    return DejaVuError(
        f"train.workers: lost a process that prepares batches ({what_was_said(error)}), perhaps "
        f"for lack of memory: {_ADVICE}"
    )
