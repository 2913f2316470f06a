"""Dense features at the input of a network's head, captured by a hook."""

import difflib
import weakref
from typing import Any

from torch import Tensor, nn


class FeatureTap:
    """Captures a network's dense features: the input of its head in the last forward pass.

    It is a forward pre-hook on the head; the network's outputs and state dict are unchanged. If a
    pass calls the head several times, the last call counts. The features keep their graph alive
    until the next pass, `release`, or deletion of the tap.

    A tap belongs to one network. In a deep copy or pickle of the network alone the hook does
    nothing; in one of an object that holds network and tap, the copied tap works, and is empty.

    Args:
        network: any network.
        head: dotted path of the submodule whose input is the features, such as ``head.1``; its
            first positional argument must be a B x D x h x w floating-point tensor.

    Raises:
        ValueError: the network has no such submodule.

    Example:
        >>> import torch
        >>> network = nn.Sequential(nn.Conv2d(3, 8, 3, stride=2), nn.ReLU(), nn.Conv2d(8, 5, 1))
        >>> tap = FeatureTap(network, "2")
        >>> tap.channels
        8
        >>> output = network(torch.zeros(2, 3, 33, 17))
        >>> tap.features.shape
        torch.Size([2, 8, 16, 8])
        >>> tap.remove()
    """

    def __init__(self, network: nn.Module, head: str) -> None:
        modules = dict(network.named_modules())
        del modules[""]
        if head not in modules:
            near = difflib.get_close_matches(head, modules)
            hint = f"similar paths: {', '.join(near)}" if near else "see network.named_modules()"
            raise ValueError(f"head={head!r}: the network has no such submodule; {hint}")
        self._path = head
        self._head = modules[head]
        self._features: Tensor | None = None
        self._hook = _Hook()
        self._hook.tap = weakref.ref(self)
        self._handle = self._head.register_forward_pre_hook(self._hook)

    @property
    def features(self) -> Tensor:
        """The features of the last forward pass, B x D x h x w, with their graph.

        Raises:
            RuntimeError: the head has not been called since the tap was made or released.
        """
        if self._features is None:
            raise RuntimeError(
                f"there are no features yet: head {self._path!r} has not been called; "
                "run the network first"
            )
        return self._features

    @property
    def channels(self) -> int:
        """Number of channels D of the features, read from a head that is a convolution.

        Raises:
            ValueError: the head is not a convolution.
        """
        if isinstance(self._head, nn.Conv2d | nn.ConvTranspose2d):
            return self._head.in_channels
        raise ValueError(
            f"head={self._path!r}: is a {type(self._head).__name__}, whose number of input "
            "channels is unknown; give the path of a convolution, such as the head's last one"
        )

    def release(self) -> None:
        """Drop the features and their graph."""
        self._features = None

    def remove(self) -> None:
        """Remove the hook and drop the features."""
        self._handle.remove()
        self.release()

    def keep(self, inputs: tuple[Any, ...]) -> None:
        """Store the head's first positional argument as the features.

        Raises:
            ValueError: it is not a B x D x h x w floating-point tensor.
        """
        first = inputs[0] if inputs else None
        if not isinstance(first, Tensor) or first.dim() != 4 or not first.is_floating_point():
            given = f"a {type(first).__name__}" if inputs else "no positional argument"
            if isinstance(first, Tensor):
                given = f"a tensor of shape {tuple(first.shape)} and dtype {first.dtype}"
            raise ValueError(
                f"head={self._path!r}: was called with {given}; its first positional argument "
                "must be a B x D x h x w floating-point tensor"
            )
        self._features = first

    def __getstate__(self) -> dict[str, Any]:
        # Tensors with a graph cannot be deep-copied.
        return vars(self) | {"_features": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._hook.tap = weakref.ref(self)


class _Hook:
    """Passes the head's inputs to its tap, if that still exists.

    Copying the network copies the hook, but not always the tap: a copied hook has no tap until a
    copied tap sets itself.
    """

    def __init__(self) -> None:
        self.tap: weakref.ref[FeatureTap] | None = None

    def __call__(self, head: nn.Module, inputs: tuple[Any, ...]) -> None:
        tap = self.tap() if self.tap else None
        if tap is not None:
            tap.keep(inputs)

    def __getstate__(self) -> dict[str, Any]:
        return {"tap": None}
