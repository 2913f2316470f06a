"""Peak tensor memory of a piece of code, on any device."""

import weakref
from collections.abc import Iterable
from typing import Any

from torch import Tensor, UntypedStorage
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class PeakMemory(TorchDispatchMode):
    """Count the bytes of all tensors created while it is active, forward or backward.

    A storage counts once however many tensors share it, from the operation that allocates it until
    the last reference is gone. Unlike a process's resident memory, the count is exact and the same
    on every machine; it leaves out the workspace of kernels.

    Args:
        present: tensors that exist already (parameters, optimiser state, the batch).

    Attributes:
        live: bytes alive now.
        peak: most bytes alive at once so far.

    Example:
        >>> import torch
        >>> with PeakMemory() as memory:
        ...     for _ in range(3):
        ...         x = torch.zeros(250) + 1
        >>> memory.peak, memory.live
        (3000, 1000)
    """

    def __init__(self, present: Iterable[Tensor] = ()) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.live = self.peak = 0
        self._known: weakref.WeakSet[UntypedStorage] = weakref.WeakSet()
        for tensor in present:
            self._track(tensor)

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(result):
            if isinstance(leaf, Tensor):
                self._track(leaf)
        return result

    def _track(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        if storage not in self._known:
            self._known.add(storage)
            self.live += storage.nbytes()
            self.peak = max(self.peak, self.live)
            weakref.finalize(storage, self._free, storage.nbytes())

    def _free(self, nbytes: int) -> None:
        self.live -= nbytes
