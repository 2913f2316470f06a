"""Redactions: what an image loses before the regeneration module has to give it back.

After the paper's description (Borse et al., CVPR 2023: sparse sampling or selective frequency
removal); the definitions and their parameters are this project's. Images are B x C x H x W floats,
normalised, so that zero is their mean grey, which fills the pixels that a spatial redaction
removes unless it is told otherwise. It hands on a keep mask too, since a fill value alone cannot
be told from a pixel that has it.

Random draws are made on the generator's device (the CPU when there is none) and moved to the
image's, so that a CPU generator gives the same masks on every device. Every image of a batch has
draws of its own.
"""

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, fields
from typing import Any

from dejavu.method.redaction.base import Identity, Redacted, Redaction, check_images
from dejavu.method.redaction.combined import Combination, Compose, RandomChoice
from dejavu.method.redaction.spatial import (
    Blank,
    Checkerboard,
    GridSample,
    RandomBlocks,
    SparsePixels,
    SpatialRedaction,
)
from dejavu.method.redaction.spectral import (
    MAX_FREQUENCY,
    BandStop,
    BlockDCT,
    FourierRedaction,
    HighPass,
    LowPass,
    SpectralRedaction,
)

__all__ = [
    "MAX_FREQUENCY",
    "REDACTIONS",
    "BandStop",
    "Blank",
    "BlockDCT",
    "Checkerboard",
    "Combination",
    "Compose",
    "FourierRedaction",
    "GridSample",
    "HighPass",
    "Identity",
    "LowPass",
    "RandomBlocks",
    "RandomChoice",
    "Redacted",
    "Redaction",
    "SparsePixels",
    "SpatialRedaction",
    "SpectralRedaction",
    "check_images",
    "create_redaction",
]

_ALL = (
    *(Checkerboard, RandomBlocks, SparsePixels, GridSample),
    *(LowPass, HighPass, BandStop, BlockDCT),
    *(Identity, Blank),
    *(Compose, RandomChoice),
)

REDACTIONS: dict[str, type[Redaction]] = {redaction.name: redaction for redaction in _ALL}
"""All redactions by name."""


def create_redaction(name: str, **settings: Any) -> Redaction:
    """Make a redaction from its name and its settings; those with a default may be left out.

    Args:
        name: its name in `REDACTIONS`.
        settings: its arguments. The ``redactions`` of a combination may be mappings of a name
            and settings, such as YAML has, as well as redactions.

    Raises:
        ValueError: the name or a setting is unknown, or a setting is missing or impossible.

    Example:
        >>> create_redaction("low_pass", cutoff=0.3)
        LowPass(cutoff=0.3)
        >>> create_redaction("compose", redactions=[{"name": "identity"}, LowPass(cutoff=0.3)])
        Compose(redactions=(Identity(), LowPass(cutoff=0.3)))
    """
    if name not in REDACTIONS:
        near = difflib.get_close_matches(name, REDACTIONS, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(REDACTIONS)}"
        raise ValueError(f"name={name!r}: no such redaction; {hint}")
    redaction = REDACTIONS[name]
    required = [field.name for field in fields(redaction) if field.default is MISSING]
    optional = [field.name for field in fields(redaction) if field.default is not MISSING]
    if not {*required} <= {*settings} <= {*required, *optional}:
        raise ValueError(
            f"redaction {name!r} takes the settings ({', '.join(required)}), "
            f"but was given ({', '.join(settings)})"
            + (f"; it may take ({', '.join(optional)}), too" if optional else "")
        )
    if isinstance(settings.get("redactions"), Sequence):
        settings["redactions"] = [_create_part(part) for part in settings["redactions"]]
    return redaction(**settings)


def _create_part(part: Any) -> Any:
    if not isinstance(part, Mapping):
        return part  # the combination refuses what is no redaction
    if "name" not in part:
        raise ValueError(f"redactions: {dict(part)} has no name")
    return create_redaction(**part)
