"""One redaction of each sort, and images and masks to try them on."""

import torch
from hypothesis import settings
from hypothesis import strategies as st
from torch import Tensor

from dejavu.method.redaction import (
    BandStop,
    Blank,
    BlockDCT,
    Checkerboard,
    Compose,
    GridSample,
    HighPass,
    Identity,
    LowPass,
    RandomBlocks,
    RandomChoice,
    Redaction,
    SparsePixels,
    SpatialRedaction,
)

DRAWN: list[SpatialRedaction] = [
    Checkerboard(3),
    RandomBlocks(4, 0.3),
    SparsePixels(0.1),
    GridSample(3),
]
SPATIAL = [*DRAWN, Blank()]
# No cutoff is a frequency of so small an image: there, float32 and float64 may differ.
FOURIER = [LowPass(0.1213), HighPass(0.2021), BandStop(0.1013, 0.3019)]
SPECTRAL = [*FOURIER, BlockDCT(4, 0.3)]
COMBINED = [
    Compose([LowPass(0.12), Checkerboard(3), SparsePixels(0.5)]),
    RandomChoice([RandomBlocks(4, 0.3), Blank(fill="noise")]),
]
SINGLE: list[Redaction] = [*SPATIAL, *SPECTRAL, Identity()]
FILLED: list[Redaction] = [Checkerboard(3, fill="mean"), SparsePixels(0.1, fill="noise")]
ALL: list[Redaction] = [*SINGLE, *COMBINED]

few = settings(max_examples=15)
sides = st.integers(5, 17)
seeds = st.integers(0, 2**31)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def images(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=seeded(seed))


def masks(redaction: Redaction, *size: int, seed: int = 0) -> Tensor:
    """The keep masks of blank images, B x H x W, bool."""
    batch, height, width = size
    keep = redaction(torch.ones(batch, 1, height, width), seeded(seed)).keep
    assert keep is not None
    assert keep.unique().tolist() in ([0, 1], [0], [1])
    return keep[:, 0].bool()
