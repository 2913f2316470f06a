"""Import of torchvision, even with a build of torch that its wheel was not made for."""

import importlib
import importlib.util
from pathlib import Path
from types import ModuleType

import torch


def import_torchvision() -> ModuleType:
    """Import torchvision even if its compiled operators do not match a CPU build of torch.

    Its wheel may be linked to CUDA: then its library cannot be loaded, and the import fails at
    the schemas of two operators that no network of this project calls. Declaring them avoids the
    failure. Libraries that import torchvision themselves can be imported afterwards.

    Returns:
        The module ``torchvision``.

    Raises:
        ImportError: torchvision is not installed.

    Example:
        >>> import_torchvision().models.squeezenet1_1.__name__
        'squeezenet1_1'
    """
    spec = importlib.util.find_spec("torchvision")
    if spec is None or spec.origin is None:
        raise ImportError("torchvision is not installed: pip install 'dejavu-dense[study]'")
    for library in Path(spec.origin).parent.glob("_C*.so"):
        try:
            torch.ops.load_library(str(library))
        except OSError:
            _declare_operators()
    return importlib.import_module("torchvision")


def _declare_operators() -> None:
    if not hasattr(torch.ops.torchvision, "nms"):
        torch.library.define("torchvision::nms", "(Tensor dets, Tensor scores, float t) -> Tensor")
        torch.library.define("torchvision::qnms", "(Tensor dets, Tensor scores, float t) -> Tensor")
