"""The first cosine coefficients of each block are kept."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from dejavu.method.redaction.base import number_kept, setting
from dejavu.method.redaction.spectral import SpectralRedaction
from dejavu.runtime.lazy_imports import torch


@dataclass(frozen=True)
class BlockDCT(SpectralRedaction):
    """The first cosine coefficients of each block are kept, in JPEG's zig-zag order.

    The image is cut into blocks, padded by repeating its last row and column where necessary, and
    cropped again. Of each block's orthonormal two-dimensional DCT-II (JPEG's transform, ISO/IEC
    10918-1, at ``block=8``) the first round(keep x block^2) coefficients are kept, counted from
    the constant one.

    Args:
        block: side of a block in pixels, at least 2.
        keep: fraction of the coefficients to keep, in (0, 1); at least one, and not all.

    Example:
        >>> image = torch.tensor([[1.0, 3.0, 0.0, 2.0], [5.0, 7.0, 1.0, 1.0]]).view(1, 1, 2, 4)
        >>> BlockDCT(block=2, keep=0.25)(image).image[0, 0, 0]
        tensor([4.0000, 4.0000, 1.0000, 1.0000])
    """

    name = "block_dct"
    block: int = field(metadata=setting("side of a block in pixels", 8, ge=2))
    keep: float = field(
        metadata=setting("fraction of the coefficients that is kept", 0.05, gt=0, lt=1)
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        number_kept(self.keep, self.block**2, "coefficients of a block")

    def _filter(self, image: torch.Tensor) -> torch.Tensor:
        height, width = image.shape[-2:]
        padding = (0, -width % self.block, 0, -height % self.block)
        padded = torch.nn.functional.pad(image, padding, mode="replicate")
        dct, passes = self._cosines().to(image), self._passes().to(image)
        blocks = padded.unflatten(3, (-1, self.block)).unflatten(2, (-1, self.block))
        # y, x: pixels; v, u: frequencies, down and across; h, w: blocks.
        spectrum = torch.einsum("vy,bchywx,ux->bchvwu", dct, blocks, dct)
        spectrum = spectrum * passes[:, None, :]
        blocks = torch.einsum("vy,bchvwu,ux->bchywx", dct, spectrum, dct)
        return blocks.flatten(4, 5).flatten(2, 3)[..., :height, :width]

    def _cosines(self) -> torch.Tensor:
        """Return the orthonormal DCT-II matrix, block x block, float64: frequencies by pixels."""
        pixel = torch.arange(self.block, dtype=torch.float64, device="cpu")
        cosines = torch.cos(math.pi / self.block * (pixel + 0.5) * pixel[:, None])
        cosines[0] = math.sqrt(0.5)
        return cosines * math.sqrt(2 / self.block)

    def _passes(self) -> torch.Tensor:
        """Return the mask of kept coefficients: block x block, bool."""
        row = torch.arange(self.block, device="cpu")[:, None]
        diagonal = row + row.T
        # Along odd diagonals the zig-zag runs downwards, along even ones upwards.
        step = torch.where(diagonal % 2 == 1, row, self.block - 1 - row)
        order = (diagonal * self.block + step).flatten().argsort()
        kept = order[: number_kept(self.keep, self.block**2, "coefficients of a block")]
        passes = torch.zeros(self.block**2, dtype=torch.bool, device="cpu")
        return passes.index_fill(0, kept, True).view(self.block, self.block)
