"""Image files are read whole, or refused with their name."""

from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from dejavu.datasets.reading.decoding import read_colours, read_image, read_indices, read_uint16
from dejavu.datasets.reading.raw import Array
from dejavu.runtime.errors import DataError
from tests.support.builders.scenes import scene

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
    ("read", "mode"),
    [
        (read_image, "I;16"),
        (read_indices, "I;16"),
        (read_indices, "RGB"),
        (read_uint16, "L"),
        (read_uint16, "RGB"),
        (read_colours, "L"),
        (read_colours, "RGBA"),
    ],
)
def test_another_depth_or_number_of_channels_is_refused(
    read: Reader, mode: str, tmp_path: Path
) -> None:
    path = tmp_path / "file.png"
    Image.new(mode, (5, 4)).save(path)
    with pytest.raises(DataError, match=rf"{path}: is an image of mode {mode}.*expected"):
        read(path)
    path.unlink()
    with pytest.raises(DataError, match=rf"{path}: is missing; unpack the download again"):
        read(path)
