"""Conditional regenerative learning for dense prediction.

A training loop needs one more term: ``loss = task_loss(prediction, target) + criterion(image,
prediction)``, with a `DejaVuLoss` as criterion. The network is unchanged.

Names are imported on first use, so that ``import dejavu`` is fast.
"""

import importlib
from typing import TYPE_CHECKING, Any

from dejavu import _aliases

if TYPE_CHECKING:
    from dejavu.evaluation.export import export_onnx as export_onnx
    from dejavu.evaluation.export import strip as strip
    from dejavu.method.attention import SharedAttention as SharedAttention
    from dejavu.method.attention import SharedAttentionLoss as SharedAttentionLoss
    from dejavu.method.crm import CRM as CRM
    from dejavu.method.cyclic import CyclicLoss as CyclicLoss
    from dejavu.method.features import FeatureTap as FeatureTap
    from dejavu.method.loss import DejaVuLoss as DejaVuLoss
    from dejavu.method.redaction import BandStop as BandStop
    from dejavu.method.redaction import Blank as Blank
    from dejavu.method.redaction import BlockDCT as BlockDCT
    from dejavu.method.redaction import Checkerboard as Checkerboard
    from dejavu.method.redaction import Compose as Compose
    from dejavu.method.redaction import GridSample as GridSample
    from dejavu.method.redaction import HighPass as HighPass
    from dejavu.method.redaction import Identity as Identity
    from dejavu.method.redaction import LowPass as LowPass
    from dejavu.method.redaction import RandomBlocks as RandomBlocks
    from dejavu.method.redaction import RandomChoice as RandomChoice
    from dejavu.method.redaction import SparsePixels as SparsePixels
    from dejavu.method.redaction import create_redaction as create_redaction
    from dejavu.method.text import TextLoss as TextLoss
    from dejavu.method.text import load_clip as load_clip
    from dejavu.training.checkpoint import load_model as load_model

_MODULES = {
    "dejavu.method.attention": ("SharedAttention", "SharedAttentionLoss"),
    "dejavu.training.checkpoint": ("load_model",),
    "dejavu.method.cyclic": ("CyclicLoss",),
    "dejavu.evaluation.export": ("export_onnx", "strip"),
    "dejavu.method.features": ("FeatureTap",),
    "dejavu.method.loss": ("DejaVuLoss",),
    "dejavu.method.crm": ("CRM",),
    "dejavu.method.text": ("TextLoss", "load_clip"),
    "dejavu.method.redaction": (
        "BandStop",
        "Blank",
        "BlockDCT",
        "Checkerboard",
        "Compose",
        "GridSample",
        "HighPass",
        "Identity",
        "LowPass",
        "RandomBlocks",
        "RandomChoice",
        "SparsePixels",
        "create_redaction",
    ),
}
_HOMES = {name: module for module, names in _MODULES.items() for name in names}

__all__ = sorted(_HOMES)
__version__ = "0.1.0"

_aliases.install()


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'dejavu' has no attribute {name!r}")
    value = globals()[name] = getattr(importlib.import_module(_HOMES[name]), name)
    return value


def __dir__() -> list[str]:
    return [*globals(), *_HOMES]
