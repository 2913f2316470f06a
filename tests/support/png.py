"""PNG files of any bit depth and colour type, as other programs write them; Pillow writes few."""

import struct
import zlib
from pathlib import Path

import numpy as np

from dejavu.datasets.reading.raw import Array

COLOUR_TYPES = {"grey": 0, "RGB": 2, "palette": 3, "grey with alpha": 4, "RGB with alpha": 6}


def write_png(
    path: Path,
    samples: Array,
    bits: int,
    colours: str = "grey",
    palette: list[tuple[int, int, int]] | None = None,
    transparent: bytes | None = None,
) -> None:
    """Write H x W (x channels) samples; ``transparent`` is the content of a tRNS chunk."""
    height, width = samples.shape[:2]
    flat = samples.reshape(height, -1).astype(np.int64)
    # Each sample's bits, the highest first, packed into bytes row by row.
    planes = (flat[..., None] >> np.arange(bits)[::-1]) & 1
    rows = np.packbits(planes.reshape(height, -1).astype(np.uint8), axis=1)
    header = struct.pack(">IIBBBBB", width, height, bits, COLOUR_TYPES[colours], 0, 0, 0)
    chunks = [(b"IHDR", header)]
    if palette is not None:
        chunks.append((b"PLTE", bytes(value for colour in palette for value in colour)))
    if transparent is not None:
        chunks.append((b"tRNS", transparent))
    chunks.append((b"IDAT", zlib.compress(b"".join(b"\0" + row.tobytes() for row in rows))))
    chunks.append((b"IEND", b""))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(*chunk) for chunk in chunks))


def _chunk(kind: bytes, content: bytes) -> bytes:
    checksum = zlib.crc32(kind + content)
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", checksum)
