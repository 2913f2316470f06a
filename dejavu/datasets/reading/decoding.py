"""Image files to arrays: the one reader of every photograph, label map and depth map.

A file's header says what it holds. Pillow's mode does not: Pillow stretches samples of 1, 2 and 4
bits to 8 bits, and cuts colours of 16 bits down to 8. A file that can be understood in one way only
is read; every other file is refused by name, with what to do.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from dejavu.runtime.errors import DataError
from dejavu.runtime.lazy_imports import np

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL import Image

PHOTOGRAPHS = ("AVIF", "BMP", "GIF", "JPEG", "JPEG2000", "PNG", "PPM", "TIFF", "WEBP")
"""Formats of photographs, in Pillow's names. For some others, Pillow starts another program."""

_COLOURS = {0: "grey", 2: "RGB", 3: "palette", 4: "grey with alpha", 6: "RGB with alpha"}
"""Colour types of PNG."""

_TIFF_BITS, _TIFF_PHOTOMETRIC = 258, 262
"""Tags of TIFF: the bits of each sample; what samples mean, where 0 says that 0 is white."""

_ORIENTATION, _TURNED = 274, range(2, 9)
"""Number of the tag of EXIF, and its value where the first pixel is at the top left."""

_DARKEST_WHITE = 1 << 14
"""A 16-bit image that stays below a quarter of white may hold 8, 10, 12 or 14 bits a channel."""


class _Header(NamedTuple):
    """What the header of a PNG file says: bits of a sample, and the kind of colours."""

    bits: int
    colours: str


def photograph_suffixes() -> set[str]:
    """Return the suffixes of the formats of `PHOTOGRAPHS`, such as ``.jpg``."""
    from PIL import Image  # not above: planning opens no image

    suffixes = Image.registered_extensions()
    return {suffix for suffix, name in suffixes.items() if name in PHOTOGRAPHS}


def read_image(path: Path, upright: bool = False) -> NDArray[np.uint8]:
    """Read a photograph as H x W x 3 uint8 RGB; grey, palette and CMYK files become RGB.

    Transparent pixels are laid on white, 16 bits a channel are cut to the upper 8, and colour
    profiles are ignored. Of several frames, the first is read.

    Args:
        path: a file in one of the formats of `PHOTOGRAPHS`, whatever its suffix.
        upright: whether to turn the image as its EXIF orientation says. A data set's targets
            belong to the pixels as they are stored.

    Raises:
        DataError: the file is missing, damaged or too large, or its white is unknown.
    """
    from PIL import ImageOps

    with _opened(path, PHOTOGRAPHS) as image:
        bits = _bits(path, image)
        _require_white(path, image, bits)
        turned = ImageOps.exif_transpose(image) if upright else image
        if turned.mode.startswith("I;16"):
            grey = np.asarray(turned)
            _require_bright(path, int(grey.max()))
            return np.repeat((grey >> 8).astype(np.uint8)[..., None], 3, axis=2)
        if bits > 8:
            _require_bright(path, int(np.asarray(turned.convert("RGB")).max()) << 8)
        if turned.mode == "L" and bits < 8 and "transparency" in turned.info:
            turned.info["transparency"] *= _stretch(bits)  # Pillow stretches the samples alone
        return np.array(_on_white(turned))


def is_turned(path: Path) -> bool:
    """Tell whether a photograph is stored otherwise than upright, by its EXIF orientation.

    Raises:
        DataError: the file is missing or damaged.
    """
    with _opened(path, PHOTOGRAPHS, decode=False) as image:
        return image.getexif().get(_ORIENTATION) in _TURNED


def read_indices(path: Path) -> NDArray[np.uint8]:
    """Read a label file as H x W uint8: the samples of a grey PNG, or the indices of a palette.

    Samples of 1, 2 and 4 bits are read as they are stored. Tools that make PNG files smaller also
    renumber labels by a palette of the values that occur, so a palette must tell that it is none of
    these: it has colours of which some do not occur, or each index is its own grey.

    Raises:
        DataError: the file is missing, truncated, or not such a PNG.
    """
    with _opened(path, ("PNG",)) as image:
        header = _read_header(path)
        if header.colours == "grey" and header.bits <= 8:
            return np.array(image.convert("L")) // np.uint8(_stretch(header.bits))
        if header.colours == "palette":
            indices = np.array(image)
            _require_own_indices(path, indices, np.array(image.getpalette()).reshape(-1, 3))
            return indices
        raise _unexpected(path, header, "an 8-bit PNG with one channel")


def read_colours(path: Path) -> NDArray[np.uint8]:
    """Read an RGB PNG whose colours encode numbers, H x W x 3 uint8.

    An opaque alpha channel is dropped. 16 bits a channel are read if they plainly hold 8: in the
    upper or in the lower byte, the other being 0 everywhere, or in both.

    Raises:
        DataError: the file is missing, truncated, or not such a PNG.
    """
    with _opened(path, ("PNG",)) as image:
        header = _read_header(path)
        if header == (8, "RGB") and "transparency" not in image.info:
            return np.array(image)
        if header == (8, "RGB with alpha"):
            pixels = np.array(image)
            if (pixels[..., 3] == 255).all():
                return pixels[..., :3]
        upper = np.asarray(image)
    if header == (16, "RGB"):
        lower = _lower_bytes(path)
        if not upper.any() or not lower.any() or np.array_equal(upper, lower):
            return upper | lower
    raise _unexpected(path, header, "an opaque 8-bit RGB PNG")


def read_uint16(path: Path) -> NDArray[np.uint16]:
    """Read a 16-bit grey PNG as H x W uint16.

    Raises:
        DataError: the file is missing, truncated, or not 16-bit with one channel.
    """
    with _opened(path, ("PNG",)) as image:
        header = _read_header(path)
        if header != (16, "grey"):
            raise _unexpected(path, header, "a 16-bit PNG with one channel")
        return np.asarray(image).astype(np.uint16)


def _unexpected(path: Path, header: _Header, expected: str) -> DataError:
    return DataError(
        f"{path}: is a PNG of {header.bits}-bit {header.colours}; expected {expected}: was the "
        "file converted? Unpack the download again"
    )


def _require_own_indices(path: Path, indices: NDArray[np.uint8], palette: NDArray[np.int_]) -> None:
    """Refuse a palette whose indices may be numbers that a tool chose."""
    used = np.unique(indices)
    if (palette == palette[:, :1]).all():
        kept = used[-1] < len(palette) and (palette[used, 0] == used).all()
    else:
        kept = len(used) < len(palette)
    if not kept:
        raise DataError(
            f"{path}: has a palette of which only the used entries are left, or of other greys: "
            "its indices may have been renumbered, for instance to make the file smaller. Unpack "
            "the download again, or save the labels as 8-bit grey"
        )


def _require_white(path: Path, image: Image.Image, bits: int) -> None:
    """Refuse numbers of which it is unknown what is white, or what is transparent."""
    odd = _tiff_tag(image, _TIFF_PHOTOMETRIC) == 0 or "transparency" in image.info
    if image.mode in ("I", "F") or (bits > 8 and odd):
        raise DataError(
            f"{path}: holds {bits}-bit numbers (mode {image.mode} of Pillow) of which it is "
            "unknown which is white; convert it to 8 bits a channel"
        )


def _require_bright(path: Path, largest: int) -> None:
    """Refuse 16-bit samples that may be of fewer bits: the image would be too dark."""
    if largest < _DARKEST_WHITE:
        raise DataError(
            f"{path}: has 16 bits a channel, but no sample above {largest}: is white less than "
            "65535 in it? Convert it to 8 bits a channel"
        )


def _on_white(image: Image.Image) -> Image.Image:
    """Convert to RGB; colours under transparent pixels are arbitrary, so they are not shown."""
    from PIL import Image

    if not image.has_transparency_data:
        return image.convert("RGB")
    pixels = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", pixels.size, "white"), pixels).convert("RGB")


def _bits(path: Path, image: Image.Image) -> int:
    """Return the bits of a sample, by the file's header where Pillow's mode hides them."""
    if image.format == "PNG":
        return _read_header(path).bits
    if bits := _tiff_tag(image, _TIFF_BITS):
        return int(max(bits))
    return {"I": 32, "F": 32}.get(image.mode, 16 if image.mode.startswith("I;16") else 8)


def _tiff_tag(image: Image.Image, tag: int) -> Any:
    return getattr(image, "tag_v2", {}).get(tag)


def _stretch(bits: int) -> int:
    """Return the factor by which Pillow multiplies samples of up to 8 bits."""
    return 255 // ((1 << bits) - 1)


def _read_header(path: Path) -> _Header:
    """Read the header of a file that Pillow has opened as PNG."""
    with path.open("rb") as file:
        start = file.read(26)
    if start[12:16] != b"IHDR":
        raise DataError(f"{path}: cannot be decoded as PNG (it does not start with a header)")
    return _Header(start[24], _COLOURS[start[25]])


def _lower_bytes(path: Path) -> NDArray[np.uint8]:
    """Read the lower bytes of a PNG of 16-bit RGB, as of the byte order that PNG does not have."""
    from PIL import Image

    with Image.open(path, formats=("PNG",)) as image:
        # A plain tuple, as before Pillow 11: codec, box, offset and raw mode.
        image.tile = [(*tile[:3], "RGB;16L") for tile in image.tile]  # type: ignore[misc]
        return np.asarray(image)


@contextmanager
def _opened(path: Path, formats: Sequence[str], decode: bool = True) -> Iterator[Image.Image]:
    """Open and decode an image; every error of Pillow about a bad file becomes a `DataError`."""
    from PIL import Image

    if not path.exists():
        raise DataError(f"{path}: is missing; unpack the download again")
    if not path.is_file():
        raise DataError(f"{path}: is not a file, but a folder or a device")
    Image.init()
    known = [name for name in formats if name in Image.OPEN]  # AVIF is new in Pillow
    try:
        with Image.open(path, formats=known) as image:
            if decode:
                image.load()
            yield image
    except DataError:
        raise
    except Image.DecompressionBombError as error:
        raise DataError(f"{path}: is too large ({error}); make it smaller, or cut it") from None
    except Exception as error:  # Pillow has no list of what it raises on damaged files
        if isinstance(error, OSError) and error.errno:
            raise DataError(f"{path}: cannot be read ({error.strerror})") from None
        raise DataError(
            f"{path}: cannot be decoded as {'PNG' if formats == ('PNG',) else 'an image'} "
            f"({error}): truncated or damaged? Copy it again, or unpack the download again"
        ) from None
