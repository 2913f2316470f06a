"""Cost of redactions, relative to a training step and to loops over images and channels."""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.fft
from skimage.util import view_as_blocks

from benchmarks.report import Row, at_least, at_most, timed_row
from benchmarks.scale import Scale, describe
from benchmarks.timing import interleave, ratio
from benchmarks.training import Training
from dejavu import BlockDCT, HighPass, LowPass
from dejavu.method.redaction.registry import REDACTIONS, create_redaction, example_settings

Array = npt.NDArray[Any]

SETTINGS: dict[str, dict[str, Any]] = {
    "checkerboard": {"block": 8},
    "random_blocks": {"block": 8, "keep": 0.1},
    "sparse_pixels": {"keep": 0.02},
    "grid_sample": {"stride": 4},
    "low_pass": {"cutoff": 0.1},
    "high_pass": {"cutoff": 0.2},
    "band_stop": {"low": 0.05, "high": 0.2},
    "block_dct": {"block": 8, "keep": 0.1},
    "identity": {},
    "blank": {},
    "compose": {"redactions": [HighPass(0.2), {"name": "checkerboard", "block": 8}]},
    "random_choice": {"redactions": [LowPass(0.1), {"name": "checkerboard", "block": 8}]},
}
SETTINGS |= {name: example_settings(name) for name in REDACTIONS if name not in SETTINGS}
"""One redaction of each kind, by its name."""

_STEP = "training step"


def share_rows(scale: Scale) -> list[Row]:
    """Measure each redaction's share of the training step of the large network."""
    batch = scale.batch_of_large()
    image = batch[0]
    redactions = [create_redaction(name, **settings) for name, settings in SETTINGS.items()]
    arms: dict[str, Callable[[], object]] = {_STEP: Training(scale.large(), batch).step}
    arms |= {r.name: lambda r=r: r(image) for r in redactions}  # type: ignore[misc]
    seconds = interleave(arms, scale.large_rounds)
    size = describe(scale.large_batch, scale.large_side)
    section = f"Redaction's share of the training step of {scale.architecture} ({size})"
    return [
        timed_row(section, name, "of the step's time", ratio(seconds, name, _STEP), at_most(2), "%")
        for name in SETTINGS
    ]


def loop_rows(scale: Scale) -> list[Row]:
    """Compare spectral redactions with SciPy loops that give the same result."""
    image = scale.batch_of_embedded()[0]
    section = (
        "Batched spectral redaction against a loop over images and channels "
        f"({describe(scale.batch, scale.side)}, float32)"
    )
    rows = []
    for name, (redaction, loop) in LOOPS.items():
        arms: dict[str, Callable[[], object]] = {
            "batched": lambda r=redaction: r(image),  # type: ignore[misc]
            "loop": lambda loop=loop: loop(image.numpy()),  # type: ignore[misc]
        }
        np.testing.assert_allclose(redaction(image).image, loop(image.numpy()), atol=1e-4)
        speed = ratio(interleave(arms, scale.rounds), "loop", "batched")
        rows.append(timed_row(section, name, "time of the loop / batched", speed, at_least(20)))
    return rows


def _fourier_loop(keeps: Callable[[Array], Array]) -> Callable[[Array], Array]:
    """Filter channel by channel; the mask of kept coefficients is computed once."""

    def loop(images: Array) -> Array:
        height, width = images.shape[-2:]
        f_y, f_x = scipy.fft.fftfreq(height), scipy.fft.rfftfreq(width)
        kept = keeps(np.hypot(f_y[:, None], f_x))
        filtered = np.empty_like(images)
        for image, result in zip(images, filtered, strict=True):
            for channel in range(len(image)):
                spectrum = scipy.fft.rfft2(image[channel])
                spectrum[~kept] = 0
                result[channel] = scipy.fft.irfft2(spectrum, s=(height, width))
        return filtered

    return loop


def _dct_loop(images: Array) -> Array:
    """Filter block by block."""
    side, kept = 8, _zigzag(8, 6)
    filtered = np.empty_like(images)
    for image, result in zip(images, filtered, strict=True):
        for channel in range(len(image)):
            for y in range(0, image.shape[1], side):
                for x in range(0, image.shape[2], side):
                    block = np.s_[channel, y : y + side, x : x + side]
                    spectrum = scipy.fft.dctn(image[block], norm="ortho")
                    result[block] = scipy.fft.idctn(spectrum * kept, norm="ortho")
    return filtered


def _dct_loop_of_views(images: Array) -> Array:
    """Filter channel by channel, all blocks of a channel at once."""
    side, kept = 8, _zigzag(8, 6)
    filtered = np.empty_like(images)
    for image, result in zip(images, filtered, strict=True):
        for channel in range(len(image)):
            blocks = view_as_blocks(image[channel], (side, side))
            spectrum = scipy.fft.dctn(blocks, axes=(2, 3), norm="ortho")
            inverse = scipy.fft.idctn(spectrum * kept, axes=(2, 3), norm="ortho")
            result[channel] = inverse.swapaxes(1, 2).reshape(image.shape[1:])
    return filtered


def _zigzag(side: int, count: int) -> Array:
    """Mark the first coefficients of a block in JPEG's order."""
    places = sorted(np.ndindex(side, side), key=lambda at: (sum(at), at[1 - sum(at) % 2]))
    kept = np.zeros((side, side), np.float32)
    for place in places[:count]:
        kept[place] = 1
    return kept


LOOPS: dict[str, tuple[Any, Callable[[Array], Array]]] = {
    "low_pass": (LowPass(0.1), _fourier_loop(lambda frequency: frequency <= 0.1)),
    "high_pass": (HighPass(0.2), _fourier_loop(lambda frequency: frequency > 0.2)),
    "block_dct, loop over blocks": (BlockDCT(8, 0.1), _dct_loop),
    "block_dct, loop over channels": (BlockDCT(8, 0.1), _dct_loop_of_views),
}
"""Spectral redactions, with loops that give the same result."""
