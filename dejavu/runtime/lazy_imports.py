"""torch and NumPy, imported when they are first used.

Planning a study reads modules for their facts alone, such as the settings of redactions, and must
not wait for libraries that take long to import. Such a module writes ``from
dejavu.runtime.lazy_imports import torch`` for ``import torch``, and ``from __future__ import
annotations``, so that annotations such as ``torch.Tensor`` are not evaluated.
"""

import importlib
from types import ModuleType
from typing import TYPE_CHECKING, Any

__all__ = ["np", "torch"]

if TYPE_CHECKING:
    import numpy as np
    import torch
else:

    class _LazyModule(ModuleType):
        # importlib.util.LazyLoader would put a torch that is not loaded into sys.modules, where
        # SciPy and others look whether it is in use.
        def __getattr__(self, name: str) -> Any:
            return getattr(importlib.import_module(self.__name__), name)

    np, torch = _LazyModule("numpy"), _LazyModule("torch")
