"""Image files are read whole, or refused with their name."""

import os
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import EpsImagePlugin, Image

from dejavu.datasets.reading import decoding
from dejavu.datasets.reading.decoding import read_colours, read_image, read_indices, read_uint16
from dejavu.datasets.reading.raw import Array
from dejavu.runtime.errors import DataError
from tests.support.builders.scenes import scene
from tests.support.png import write_png

FRAME = scene(0)
Reader = Callable[[Path], Array]
FILES: dict[str, tuple[Reader, Array]] = {
    "image.png": (read_image, FRAME.image),
    "image.jpg": (read_image, FRAME.image),
    "label.png": (read_indices, FRAME.label),
    "colours.png": (read_colours, FRAME.image),
    "depth.png": (read_uint16, np.round(256 * FRAME.depth[..., :50]).astype(np.uint16)),
}


def encoded(name: str) -> bytes:
    buffer = BytesIO()
    Image.fromarray(FILES[name][1]).save(buffer, "jpeg" if name.endswith("jpg") else "png")
    return buffer.getvalue()


@pytest.mark.parametrize("name", FILES)
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(kept=st.floats(0, 1, exclude_max=True))
def test_a_file_cut_anywhere_is_read_whole_or_refused(
    name: str, kept: float, tmp_path: Path
) -> None:
    """Whatever error Pillow raises; only bytes after the pixels may be missing."""
    read, path, content = FILES[name][0], tmp_path / name, encoded(name)
    path.write_bytes(content)
    whole = read(path)
    path.write_bytes(content[: int(kept * len(content))])
    try:
        found = read(path)
    except DataError as error:
        message = str(error)
    else:
        np.testing.assert_array_equal(found, whole)
        assert kept > 1 - 20 / len(content)
        return
    assert message.startswith(f"{path}: cannot be decoded")
    assert "unpack the download again" in message


@pytest.mark.parametrize("name", [name for name in FILES if name.endswith("png")])
def test_what_is_read_is_what_was_written(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(encoded(name))
    found = FILES[name][0](tmp_path / name)
    assert found.dtype == FILES[name][1].dtype
    np.testing.assert_array_equal(found, FILES[name][1])


@pytest.mark.parametrize("mode", ["L", "P", "CMYK", "RGBA", "1"])
def test_photographs_of_other_colours_become_rgb(mode: str, tmp_path: Path) -> None:
    suffix = "jpg" if mode == "CMYK" else "png"
    Image.new("RGB", (5, 4), (200, 200, 200)).convert(mode).save(tmp_path / f"image.{suffix}")
    found = read_image(tmp_path / f"image.{suffix}")
    assert found.shape == (4, 5, 3)
    assert found.dtype == np.uint8
    if mode != "1":
        assert abs(found.astype(int) - 200).max() <= 4


@pytest.mark.parametrize(
    ("read", "mode", "header"),
    [
        (read_indices, "I;16", "16-bit grey"),
        (read_indices, "RGB", "8-bit RGB"),
        (read_indices, "LA", "8-bit grey with alpha"),
        (read_uint16, "L", "8-bit grey"),
        (read_uint16, "1", "1-bit grey"),
        (read_uint16, "RGB", "8-bit RGB"),
        (read_colours, "L", "8-bit grey"),
        (read_colours, "P", "1-bit palette"),
        (read_colours, "RGBA", "8-bit RGB with alpha"),  # and transparent
    ],
)
def test_another_depth_or_number_of_channels_is_refused(
    read: Reader, mode: str, header: str, tmp_path: Path
) -> None:
    path = tmp_path / "file.png"
    Image.new(mode, (5, 4)).save(path)
    with pytest.raises(DataError, match=rf"{path}: is a PNG of {header}; expected"):
        read(path)
    path.unlink()
    with pytest.raises(DataError, match=rf"{path}: is missing; unpack the download again"):
        read(path)


@pytest.mark.parametrize("read", [read_indices, read_colours, read_uint16])
def test_targets_are_png_whatever_the_suffix(read: Reader, tmp_path: Path) -> None:
    """A JPEG has other values than were written."""
    path = tmp_path / "label.png"
    Image.fromarray(FRAME.image if read is read_colours else FRAME.label).save(path, "jpeg")
    with pytest.raises(DataError, match=rf"{path}: cannot be decoded"):
        read(path)


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_labels_of_few_bits_are_read_at_their_values(bits: int, tmp_path: Path) -> None:
    """13 columns: the last byte of a row is not full."""
    ids = np.arange(6 * 13).reshape(6, 13) % 2**bits
    write_png(tmp_path / "label.png", ids, bits)
    found = read_indices(tmp_path / "label.png")
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, ids)


IDS = np.array([[0, 1, 4], [6, 4, 4]])
GREYS = [(grey, grey, grey) for grey in range(256)]
VIVID = [(255 - 5 * index, 3 * index, 40) for index in range(12)]
RENUMBERED = np.array([[0, 1, 2], [3, 2, 2]])


@pytest.mark.parametrize("palette", [GREYS, GREYS[:7], VIVID], ids=["256", "7", "colours"])
def test_indices_of_a_palette_that_was_not_shortened_are_labels(
    palette: list[tuple[int, int, int]], tmp_path: Path
) -> None:
    path = tmp_path / "label.png"
    for bits in (4, 8) if len(palette) <= 16 else (8,):
        write_png(path, IDS, bits, "palette", palette)
        np.testing.assert_array_equal(read_indices(path), IDS)


@pytest.mark.parametrize(
    "palette",
    [
        [GREYS[grey] for grey in (0, 1, 4, 6)],
        [GREYS[grey] for grey in (0, 1, 4, 6, 0, 0, 0, 0)],
        GREYS[::-1],
        [VIVID[index] for index in (0, 1, 4, 6)],
    ],
    ids=["greys", "greys, padded", "greys, inverted", "colours"],
)
def test_a_palette_that_may_have_been_renumbered_is_refused(
    palette: list[tuple[int, int, int]], tmp_path: Path
) -> None:
    """As optimisers write the ids 0, 1, 4 and 6: with 2 bits, as 0 to 3."""
    path = tmp_path / "label.png"
    write_png(path, RENUMBERED, 8 if len(palette) > 4 else 2, "palette", palette)
    with pytest.raises(DataError, match=rf"{path}: has a palette .*8-bit grey"):
        read_indices(path)


def test_an_image_of_one_label_that_became_a_palette_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "label.png"
    write_png(path, np.zeros((3, 3)), 1, "palette", [GREYS[4]])
    with pytest.raises(DataError, match=rf"{path}: has a palette"):
        read_indices(path)
    write_png(path, np.zeros((3, 3)), 1, "palette", [GREYS[0]])
    assert not read_indices(path).any()


@pytest.mark.parametrize("factor", [1, 256, 257], ids=["widened", "shifted", "scaled"])
def test_colours_of_16_bits_that_were_8_are_read(factor: int, tmp_path: Path) -> None:
    path = tmp_path / "colours.png"
    write_png(path, FRAME.image.astype(int) * factor, 16, "RGB")
    np.testing.assert_array_equal(read_colours(path), FRAME.image)


@pytest.mark.parametrize("factor", [2, 255])
def test_other_colours_of_16_bits_are_refused(factor: int, tmp_path: Path) -> None:
    path = tmp_path / "colours.png"
    write_png(path, FRAME.image.astype(int) * factor, 16, "RGB")
    with pytest.raises(DataError, match=rf"{path}: is a PNG of 16-bit RGB; expected"):
        read_colours(path)


def test_an_opaque_alpha_channel_hides_no_colour(tmp_path: Path) -> None:
    path = tmp_path / "colours.png"
    picture = Image.fromarray(FRAME.image).convert("RGBA")
    picture.save(path)
    np.testing.assert_array_equal(read_colours(path), FRAME.image)
    picture.putpixel((0, 0), (1, 2, 3, 254))
    picture.save(path)
    with pytest.raises(DataError, match=rf"{path}: is a PNG of 8-bit RGB with alpha; expected"):
        read_colours(path)


RAMP = np.linspace(0, 65535, 48).astype(np.uint16).reshape(6, 8)


@pytest.mark.parametrize("name", ["grey.png", "grey.tiff", "rgb.png", "grey with alpha.png"])
def test_photographs_of_16_bits_keep_their_greys(name: str, tmp_path: Path) -> None:
    """The upper 8 bits, whatever the file: none is clipped."""
    path = tmp_path / name
    if name.startswith("rgb"):
        write_png(path, np.repeat(RAMP[..., None], 3, axis=2), 16, "RGB")
    elif "alpha" in name:
        opaque = np.full_like(RAMP, 65535)
        write_png(path, np.stack([RAMP, opaque], axis=-1), 16, "grey with alpha")
    else:
        Image.fromarray(RAMP).save(path)
    np.testing.assert_array_equal(read_image(path), np.repeat(RAMP[..., None] // 256, 3, axis=2))


@pytest.mark.parametrize("bits", [8, 10, 12, 14])
@pytest.mark.parametrize("colours", ["grey", "RGB"])
def test_fewer_bits_stored_as_16_are_refused(bits: int, colours: str, tmp_path: Path) -> None:
    """The image would be black, or nearly so."""
    path = tmp_path / "image.png"
    samples = RAMP[..., None] >> (16 - bits)
    write_png(path, np.repeat(samples, 3 if colours == "RGB" else 1, axis=2), 16, colours)
    with pytest.raises(DataError, match=rf"{path}: has 16 bits a channel"):
        read_image(path)


@pytest.mark.parametrize(
    "array",
    [RAMP / np.float32(65535), RAMP.astype(np.int32)],
    ids=["floats", "32 bits"],
)
def test_numbers_without_a_known_white_are_refused(array: Array, tmp_path: Path) -> None:
    path = tmp_path / "image.tiff"
    Image.fromarray(array).save(path)
    with pytest.raises(DataError, match=rf"{path}: holds 32-bit numbers"):
        read_image(path)


def test_a_tiff_of_16_bits_whose_white_is_0_is_refused(tmp_path: Path) -> None:
    """Pillow reads it as a negative."""
    path = tmp_path / "image.tiff"
    Image.fromarray(RAMP).save(path, tiffinfo={262: 0})
    with pytest.raises(DataError, match=rf"{path}: holds 16-bit numbers"):
        read_image(path)


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_a_grey_that_stands_for_transparent_is_white(bits: int, tmp_path: Path) -> None:
    """Also where its number is stretched to 8 bits."""
    path = tmp_path / "image.png"
    write_png(path, np.array([[0, 1, 2**bits - 1]]), bits, transparent=b"\0\1")
    assert read_image(path)[0, :, 0].tolist() == [0, 255, 255]


@pytest.mark.parametrize("kind", ["RGB with alpha", "grey with alpha", "palette", "key"])
def test_what_is_transparent_is_white(kind: str, tmp_path: Path) -> None:
    """Whatever colour an editor left there; the left pixel is opaque."""
    path = tmp_path / "image.png"
    if kind == "RGB with alpha":
        write_png(path, np.array([[[90, 90, 90, 255], [7, 8, 9, 0]]]), 8, kind)
    elif kind == "grey with alpha":
        write_png(path, np.array([[[90, 255], [7, 0]]]), 8, kind)
    elif kind == "palette":
        write_png(path, np.array([[0, 1]]), 8, kind, [GREYS[90], VIVID[3]], b"\xff\0")
    else:
        pixels = np.array([[[90, 90, 90], [7, 8, 9]]])
        write_png(path, pixels, 8, "RGB", transparent=b"\0\7\0\x08\0\x09")
    assert read_image(path).tolist() == [[[90, 90, 90], [255, 255, 255]]]


# By the definition of the tag: where row 0 and column 0 of the stored pixels are seen.
ORIENTATIONS = {
    1: ("top", "left"),
    2: ("top", "right"),
    3: ("bottom", "right"),
    4: ("bottom", "left"),
    5: ("left", "top"),
    6: ("right", "top"),
    7: ("right", "bottom"),
    8: ("left", "bottom"),
}


@pytest.mark.parametrize("name", ["photo.jpg", "photo.png", "photo.webp"])
@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_a_photograph_is_turned_where_that_is_asked_for(
    name: str, orientation: int, tmp_path: Path
) -> None:
    tiles = np.random.default_rng(0).integers(0, 255, (2, 3, 3), np.uint8)
    seen = tiles.repeat(16, axis=0).repeat(16, axis=1)  # blocks of JPEG lose little
    sides = ORIENTATIONS[orientation]
    stored = seen[:: -1 if "bottom" in sides else 1, :: -1 if "right" in sides else 1]
    if sides[1] in ("top", "bottom"):
        stored = stored.swapaxes(0, 1)
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(np.ascontiguousarray(stored)).save(tmp_path / name, exif=exif, quality=100)
    for upright, expected in ((False, stored), (True, seen)):
        found = read_image(tmp_path / name, upright)
        assert found.shape == expected.shape
        assert abs(found.astype(int) - expected).mean() < 6


def damaged(content: bytes) -> dict[str, bytes]:
    at = content.find(b"IDAT")
    broken = {"cut": content[: len(content) // 2], "empty": b"", "three bytes": content[:3]}
    if at < 0:
        return broken
    for what, start, new in (
        ("a chunk of no kind", at, b"\0\1\2\3"),
        ("other bits", at + 200, bytes([content[at + 200] ^ 255])),
        ("a chunk of another length", at - 4, (50).to_bytes(4, "big")),
    ):
        broken[what] = content[:start] + new + content[start + len(new) :]
    return broken


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "gif", "tiff", "jp2", "bmp", "ppm"])
def test_a_damaged_file_of_any_format_is_one_error(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"image.{suffix}"
    Image.fromarray(FRAME.image).save(path)
    assert read_image(path).shape == FRAME.image.shape
    for content in damaged(path.read_bytes()).values():
        path.write_bytes(content)
        with pytest.raises(DataError, match=rf"{path}: cannot be decoded"):
            read_image(path)


def test_a_postscript_file_is_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pillow gives it to Ghostscript."""
    runs: list[object] = []
    monkeypatch.setattr(EpsImagePlugin, "Ghostscript", lambda *arguments: runs.append(arguments))
    path = tmp_path / "image.png"
    Image.fromarray(FRAME.image).save(path, "eps")
    with pytest.raises(DataError, match=rf"{path}: cannot be decoded"):
        read_image(path)
    assert not runs


def test_a_decompression_bomb_is_one_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    for read, name in ((read_image, "image.png"), (read_indices, "label.png")):
        (tmp_path / name).write_bytes(encoded(name))
        with pytest.raises(DataError, match=rf"{tmp_path / name}: is too large \("):
            read(tmp_path / name)


def test_no_other_module_opens_image_files() -> None:
    package = Path(decoding.__file__).parents[2]
    opening = [path.name for path in package.rglob("*.py") if "Image.open(" in path.read_text()]
    assert opening == ["decoding.py"]


def test_what_is_no_readable_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "image.png"
    path.mkdir()
    with pytest.raises(DataError, match=rf"{path}: is not a file"):
        read_image(path)
    path.rmdir()
    os.mkfifo(path)  # a reader would wait for ever
    with pytest.raises(DataError, match=rf"{path}: is not a file"):
        read_image(path)
