"""Decoding of image files to arrays; each function checks the format of its file."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dejavu.runtime.errors import DataError
from dejavu.runtime.lazy_imports import np

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL import Image


def read_image(path: Path) -> NDArray[np.uint8]:
    """Read a photograph as H x W x 3 uint8 RGB; grey, palette and CMYK files become RGB.

    Raises:
        DataError: the file is missing, truncated, or not an 8-bit image.
    """
    with _opened(path) as image:
        if image.mode.startswith(("I", "F")):
            raise DataError(f"{path}: is an image of mode {image.mode}, not 8-bit; expected RGB")
        return np.asarray(image.convert("RGB"))


def read_indices(path: Path) -> NDArray[np.uint8]:
    """Read a label file as H x W uint8: the values of an 8-bit grey or palette PNG.

    Raises:
        DataError: the file is missing, truncated, or not 8-bit with one channel.
    """
    return _read_mode(path, ("L", "P"), "an 8-bit PNG with one channel").astype(np.uint8)


def read_colours(path: Path) -> NDArray[np.uint8]:
    """Read an RGB PNG whose colours encode numbers, H x W x 3 uint8.

    Raises:
        DataError: the file is missing, truncated, or not 8-bit RGB.
    """
    return _read_mode(path, ("RGB",), "an 8-bit RGB PNG").astype(np.uint8)


def read_uint16(path: Path) -> NDArray[np.uint16]:
    """Read a 16-bit PNG as H x W uint16.

    Raises:
        DataError: the file is missing, truncated, or not 16-bit with one channel.
    """
    return _read_mode(path, ("I;16", "I;16B"), "a 16-bit PNG with one channel").astype(np.uint16)


def _read_mode(path: Path, modes: tuple[str, ...], expected: str) -> NDArray[Any]:
    with _opened(path) as image:
        if image.mode not in modes:
            raise DataError(
                f"{path}: is an image of mode {image.mode}; expected {expected}: "
                "was the file converted? Unpack the download again"
            )
        return np.asarray(image)


@contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    """Open and decode an image; every error of Pillow about a bad file becomes a `DataError`."""
    from PIL import Image, UnidentifiedImageError  # not above: planning opens no image

    try:
        image = Image.open(path)
        image.load()
    except FileNotFoundError:
        raise DataError(f"{path}: is missing; unpack the download again") from None
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError) as error:
        raise DataError(
            f"{path}: cannot be decoded ({error}): truncated or damaged; unpack the download again"
        ) from None
    with image:
        yield image
