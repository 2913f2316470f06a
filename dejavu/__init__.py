"""Conditional regenerative learning for dense prediction.

``loss = task_loss(prediction, target) + criterion(image, prediction)`` with a `DejaVuLoss` as
criterion is all that a training loop of one's own needs; the network is left as it is.

Names are imported when first used, so that ``import dejavu`` costs nothing.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dejavu.attention import SharedAttention as SharedAttention
    from dejavu.attention import SharedAttentionLoss as SharedAttentionLoss
    from dejavu.checkpoint import load_model as load_model
    from dejavu.cyclic import CyclicLoss as CyclicLoss
    from dejavu.export import export_onnx as export_onnx
    from dejavu.export import strip as strip
    from dejavu.features import FeatureTap as FeatureTap
    from dejavu.losses import DejaVuLoss as DejaVuLoss
    from dejavu.redaction import BandStop as BandStop
    from dejavu.redaction import Blank as Blank
    from dejavu.redaction import BlockDCT as BlockDCT
    from dejavu.redaction import Checkerboard as Checkerboard
    from dejavu.redaction import Compose as Compose
    from dejavu.redaction import GridSample as GridSample
    from dejavu.redaction import HighPass as HighPass
    from dejavu.redaction import Identity as Identity
    from dejavu.redaction import LowPass as LowPass
    from dejavu.redaction import RandomBlocks as RandomBlocks
    from dejavu.redaction import RandomChoice as RandomChoice
    from dejavu.redaction import SparsePixels as SparsePixels
    from dejavu.redaction import create_redaction as create_redaction
    from dejavu.regeneration import CRM as CRM
    from dejavu.text import TextLoss as TextLoss
    from dejavu.text import load_clip as load_clip

_MODULES = {
    "dejavu.attention": ("SharedAttention", "SharedAttentionLoss"),
    "dejavu.checkpoint": ("load_model",),
    "dejavu.cyclic": ("CyclicLoss",),
    "dejavu.export": ("export_onnx", "strip"),
    "dejavu.features": ("FeatureTap",),
    "dejavu.losses": ("DejaVuLoss",),
    "dejavu.regeneration": ("CRM",),
    "dejavu.text": ("TextLoss", "load_clip"),
    "dejavu.redaction": (
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


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'dejavu' has no attribute {name!r}")
    value = globals()[name] = getattr(importlib.import_module(_HOMES[name]), name)
    return value


def __dir__() -> list[str]:
    return [*globals(), *_HOMES]
