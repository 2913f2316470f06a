"""Folders as people keep them: files of macOS beside each file, lists edited on Windows."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.checking import check
from tests.support.studies import ON_DISK, Downloads, disk_params

APPLE_DOUBLE = b"\x00\x05\x16\x07\x00\x02\x00\x00Mac OS X        " + bytes(100)


def written(root: Path, name: str, folder: Path) -> dict[str, bytes]:
    """The manifest and the indices of a data set."""
    params = disk_params(name)
    check(root, params).write(folder, params)
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("name", ON_DISK)
def test_the_hidden_files_of_macos_are_not_read(
    name: str, downloads: Downloads, copy_of: Downloads, tmp_path: Path
) -> None:
    copy = copy_of(name)
    for path in [*copy.rglob("*")]:
        path.with_name(f"._{path.name}").write_bytes(APPLE_DOUBLE)
    (copy / ".DS_Store").write_bytes(b"\x00")
    expected = written(downloads(name), name, tmp_path / "expected")
    assert written(copy, name, tmp_path / "found") == expected


@pytest.mark.parametrize("name", ["ade20k", "kitti"])
@pytest.mark.parametrize(
    "edit", [lambda text: b"\xef\xbb\xbf" + text, lambda text: text.replace(b"\n", b"\r\n")]
)
def test_lists_may_have_a_byte_order_mark_or_windows_line_ends(
    name: str,
    edit: Callable[[bytes], bytes],
    downloads: Downloads,
    copy_of: Downloads,
    tmp_path: Path,
) -> None:
    copy = copy_of(name)
    for path in copy.rglob("*.txt"):
        path.write_bytes(edit(path.read_bytes()))
    index = {"ade20k": "train.csv", "kitti": "test.csv"}[name]
    expected = written(downloads(name), name, tmp_path / "expected")
    assert written(copy, name, tmp_path / "found")[index] == expected[index]
