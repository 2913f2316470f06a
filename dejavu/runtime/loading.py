"""Weights that libraries load: a file must not run code."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

_TENSORS_ONLY = "TORCH_FORCE_WEIGHTS_ONLY_LOAD"
_ANYTHING = "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"
"""Torch's own switches, environment variables, of which one may be set."""


@contextmanager
def tensors_only() -> Iterator[None]:
    """Make every `torch.load` in a block read tensors alone, whichever library calls it.

    A file of torch's, in any of its three forms, is a pickle, which can run any code. torchvision
    and torch.hub read it without a second thought; others do so after an error.

    Example:
        >>> with tensors_only():
        ...     os.environ["TORCH_FORCE_WEIGHTS_ONLY_LOAD"]
        '1'
    """
    before = {name: os.environ.pop(name, None) for name in (_TENSORS_ONLY, _ANYTHING)}
    os.environ[_TENSORS_ONLY] = "1"
    try:
        yield
    finally:
        del os.environ[_TENSORS_ONLY]
        os.environ.update({name: value for name, value in before.items() if value is not None})
