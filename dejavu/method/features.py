"""Dense features: what the head of a network reads, without a change to the network."""

import difflib
import weakref
from typing import Any

from torch import Tensor, nn


class FeatureTap:
    """Keeps the dense features of a network: the input of its head at the last forward pass.

    It is a forward pre-hook on the head. The network's outputs and state dict stay as they are.
    Where a pass calls the head several times, the features of the last call are kept. They hold
    the graph that made them until the next pass, `release`, or the end of the tap.

    A tap belongs to one network. A deep copy or pickle of the network alone is not tapped (the
    hook in it does nothing); one of an object that has both has a tap of its own, still empty.

    Args:
        network: any network.
        head: dotted path of the submodule that reads the features, such as ``head.1``; its first
            positional argument must be a B x D x h x w floating-point tensor.

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
            hint = f"near are: {', '.join(near)}" if near else "see network.named_modules()"
            raise ValueError(f"head={head!r}: the network has no such submodule; {hint}")
        self._path = head
        self._head = modules[head]
        self._features: Tensor | None = None
        self._hook = _Hook()
        self._hook.tap = weakref.ref(self)
        self._handle = self._head.register_forward_pre_hook(self._hook)

    @property
    def features(self) -> Tensor:
        """The features of the last forward pass, B x D x h x w, with their gradient.

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
        """Channels D of the features, known beforehand where the head is a convolution.

        Raises:
            ValueError: the head is no convolution.
        """
        if isinstance(self._head, nn.Conv2d | nn.ConvTranspose2d):
            return self._head.in_channels
        raise ValueError(
            f"head={self._path!r}: is a {type(self._head).__name__}, whose input channels are "
            "not known beforehand; give the path of a convolution, such as the head's last one"
        )

    def release(self) -> None:
        """Forget the features, so that the graph that made them can go."""
        self._features = None

    def remove(self) -> None:
        """Take the hook off the network and forget the features."""
        self._handle.remove()
        self.release()

    def keep(self, inputs: tuple[Any, ...]) -> None:
        """Keep the features among the positional arguments of the head.

        Raises:
            ValueError: the first of them is no B x D x h x w floating-point tensor.
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
        # Tensors with a graph cannot be copied, and are not the copy's features.
        return vars(self) | {"_features": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._hook.tap = weakref.ref(self)


class _Hook:
    """Hands the head's inputs to the tap that owns it, if that is still there.

    The hook is copied with the network and its owner may not be: a copy has no owner until a
    copied tap claims it.
    """

    def __init__(self) -> None:
        self.tap: weakref.ref[FeatureTap] | None = None

    def __call__(self, head: nn.Module, inputs: tuple[Any, ...]) -> None:
        tap = self.tap() if self.tap else None
        if tap is not None:
            tap.keep(inputs)

    def __getstate__(self) -> dict[str, Any]:
        return {"tap": None}
