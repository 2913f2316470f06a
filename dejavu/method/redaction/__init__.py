"""Redactions: rules that remove information from an image before it is regenerated.

After the paper's description (Borse et al., CVPR 2023: sparse sampling or selective frequency
removal); the definitions and their parameters are this project's. Images are B x C x H x W floats,
normalised, so that zero is their mean grey, the default fill of the pixels that a spatial
redaction removes. It also returns a keep mask, since a kept pixel may equal the fill.

Random draws are made on the generator's device (the CPU without a generator) and moved to the
image's, so that a CPU generator gives the same masks on every device. Every image of a batch has
its own draws.

Each redaction is a file of this folder. Names are imported when first used: a class such as
``RandomBlocks`` from the file of its name, ``random_blocks.py``.
"""

import importlib
import re
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dejavu.method.redaction.band_stop import BandStop as BandStop
    from dejavu.method.redaction.base import Redacted as Redacted
    from dejavu.method.redaction.base import Redaction as Redaction
    from dejavu.method.redaction.base import check_images as check_images
    from dejavu.method.redaction.blank import Blank as Blank
    from dejavu.method.redaction.block_dct import BlockDCT as BlockDCT
    from dejavu.method.redaction.checkerboard import Checkerboard as Checkerboard
    from dejavu.method.redaction.combined import Combination as Combination
    from dejavu.method.redaction.compose import Compose as Compose
    from dejavu.method.redaction.grid_sample import GridSample as GridSample
    from dejavu.method.redaction.high_pass import HighPass as HighPass
    from dejavu.method.redaction.identity import Identity as Identity
    from dejavu.method.redaction.low_pass import LowPass as LowPass
    from dejavu.method.redaction.random_blocks import RandomBlocks as RandomBlocks
    from dejavu.method.redaction.random_choice import RandomChoice as RandomChoice
    from dejavu.method.redaction.registry import REDACTIONS as REDACTIONS
    from dejavu.method.redaction.registry import create_redaction as create_redaction
    from dejavu.method.redaction.sparse_pixels import SparsePixels as SparsePixels
    from dejavu.method.redaction.spatial import SpatialRedaction as SpatialRedaction
    from dejavu.method.redaction.spectral import MAX_FREQUENCY as MAX_FREQUENCY
    from dejavu.method.redaction.spectral import FourierRedaction as FourierRedaction
    from dejavu.method.redaction.spectral import SpectralRedaction as SpectralRedaction

_SHARED = {
    "MAX_FREQUENCY": "spectral",
    "REDACTIONS": "registry",
    "Combination": "combined",
    "FourierRedaction": "spectral",
    "Redacted": "base",
    "Redaction": "base",
    "SpatialRedaction": "spatial",
    "SpectralRedaction": "spectral",
    "check_images": "base",
    "create_redaction": "registry",
}
"""Files of the names that are not redactions."""


def __getattr__(name: str) -> Any:
    if name == "__all__":  # from dejavu.method.redaction import *
        return _public_names()
    file = _SHARED.get(name) or re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()
    if file == name or not find_spec(f"{__name__}.{file}"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(importlib.import_module(f"{__name__}.{file}"), name)
    return value


def __dir__() -> list[str]:
    return [*globals(), *_public_names()]


def _public_names() -> list[str]:
    from dejavu.method.redaction.registry import REDACTIONS

    return sorted([*_SHARED, *(redaction.__name__ for redaction in REDACTIONS.values())])
