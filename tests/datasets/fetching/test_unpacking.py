import contextlib
import random
import re
import shutil
import stat
import zipfile
from pathlib import Path
from types import SimpleNamespace

import pytest

from dejavu.datasets.fetching.unpacking import is_unpacked, unpack
from dejavu.runtime.errors import DataError

CONTENT = random.Random(0).randbytes(5000)


def packed(path: Path, files: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


FILES = {"set/images/1.jpg": CONTENT, "set/empty.txt": b"", "set/deep/er/2.png": b"two"}


def test_an_archive_is_unpacked_once(tmp_path: Path) -> None:
    archive = packed(tmp_path / "set.zip", FILES)
    assert not is_unpacked(archive, tmp_path)
    unpack(archive, tmp_path)
    assert {name: (tmp_path / name).read_bytes() for name in FILES} == FILES
    assert is_unpacked(archive, tmp_path)
    unpack(archive, tmp_path, lambda done, total, note="": pytest.fail("unpacked again"))
    archive.unlink()
    unpack(archive, tmp_path)  # the receipt is enough


def test_a_file_that_went_missing_is_unpacked_again(tmp_path: Path) -> None:
    archive = packed(tmp_path / "set.zip", FILES)
    unpack(archive, tmp_path)
    (tmp_path / "set/deep/er/2.png").unlink()
    assert not is_unpacked(archive, tmp_path)
    steps: list[int] = []
    unpack(archive, tmp_path, lambda done, total, note="": steps.append(total))
    assert (tmp_path / "set/deep/er/2.png").read_bytes() == b"two"
    assert steps == [1]


def test_what_is_there_is_accepted_and_never_overwritten(tmp_path: Path) -> None:
    archive = packed(tmp_path / "set.zip", FILES)
    mine = tmp_path / "set/deep/er/2.png"
    mine.parent.mkdir(parents=True)
    mine.write_bytes(b"TWO")
    unpack(archive, tmp_path)
    assert mine.read_bytes() == b"TWO"
    mine.write_bytes(b"another file")
    (tmp_path / "set/empty.txt").unlink()
    with pytest.raises(DataError, match=r"2\.png: .*\b12 bytes.*\b3 in the archive"):
        unpack(archive, tmp_path)
    assert mine.read_bytes() == b"another file"


def test_archives_in_an_archive_are_unpacked_beside_themselves(tmp_path: Path) -> None:
    inner = packed(tmp_path / "inner.zip", {"pngs/1.png": b"one"}).read_bytes()
    archive = packed(tmp_path / "set.zip", {"labels/pngs.zip": inner, "labels/a.json": b"{}"})
    unpack(archive, tmp_path)
    assert (tmp_path / "labels/pngs/1.png").read_bytes() == b"one"
    (tmp_path / "labels/pngs.zip").unlink()
    (tmp_path / "labels/a.json").unlink()
    unpack(archive, tmp_path)
    assert (tmp_path / "labels/a.json").exists()
    assert not (tmp_path / "labels/pngs.zip").exists()
    archive.unlink()
    assert is_unpacked(archive, tmp_path)
    (tmp_path / "labels/pngs/1.png").unlink()
    assert not is_unpacked(archive, tmp_path)


def test_an_archive_is_not_done_before_those_in_it_are(tmp_path: Path) -> None:
    archive = packed(tmp_path / "set.zip", {"labels/pngs.zip": b"damaged"})
    with pytest.raises(DataError, match=r"pngs\.zip: is damaged"):
        unpack(archive, tmp_path)
    assert not is_unpacked(archive, tmp_path)


def test_the_shadows_that_macos_packs_are_left_out(tmp_path: Path) -> None:
    shadows = dict.fromkeys(["__MACOSX/labels/._pngs.zip", "labels/._pngs.zip"], b"no archive")
    files = {"labels/a.json": b"{}"} | shadows
    unpack(packed(tmp_path / "set.zip", files), tmp_path)
    assert (tmp_path / "labels/a.json").exists()
    assert not list(tmp_path.rglob("._*"))


@pytest.mark.parametrize(
    "name",
    [
        "../out.txt",
        "set/../../out.txt",
        "/out.txt",
        "../out/",
        "__MACOSX/../../out.txt",
        "..\\out.txt",
        "set\\..\\..\\out.txt",
        "C:\\out.txt",
        "C:out.txt",
        "\\\\host\\share\\out.txt",
        "",
        ".",
        "out\ntxt",
        "out.txt\0.jpg",
    ],
)
def test_no_file_leaves_the_root_or_has_no_name(tmp_path: Path, name: str) -> None:
    root = tmp_path / "root"
    root.mkdir()
    archive = packed(root / "set.zip", {"set/1.txt": b"1"})
    odd = zipfile.ZipInfo()
    odd.filename = name  # as an argument it would be mended
    with zipfile.ZipFile(archive, "a") as opened:
        opened.writestr(odd, b"out")
    with pytest.raises(DataError, match=rf"set\.zip: its file {re.escape(repr(name))} "):
        unpack(archive, root)
    assert sorted(tmp_path.rglob("*")) == [root, archive]


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFBLK, stat.S_IFCHR, stat.S_IFIFO])
def test_links_and_devices_are_refused(tmp_path: Path, kind: int) -> None:
    link = zipfile.ZipInfo("set/link")
    link.external_attr = (kind | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "set.zip", "w") as archive:
        archive.writestr("set/1.txt", b"1")
        archive.writestr(link, b"/etc/passwd")
    with pytest.raises(DataError, match=r"set\.zip: its file 'set/link' "):
        unpack(tmp_path / "set.zip", tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["set.zip"]


def test_any_damaged_byte_is_one_message(tmp_path: Path) -> None:
    whole = packed(tmp_path / "set.zip", {"é.txt": CONTENT[:20]}).read_bytes()
    for position, byte in enumerate(whole):
        root = tmp_path / str(position)
        root.mkdir()
        archive = root / "set.zip"
        archive.write_bytes(whole[:position] + bytes([byte ^ 0x80]) + whole[position + 1 :])
        with contextlib.suppress(DataError):
            unpack(archive, root)


@pytest.mark.parametrize("harm", ["text", "truncated", "flipped", "garbled"])
def test_a_damaged_archive_is_told_and_leaves_no_damaged_file(tmp_path: Path, harm: str) -> None:
    archive = packed(tmp_path / "set.zip", {"1.jpg": CONTENT})
    content = archive.read_bytes()
    flipped = content[:2000] + bytes([content[2000] ^ 1]) + content[2001:]
    garbled = content[:35] + b"\xff" + content[36:]  # no such kind of deflated block
    harmed = {"text": b"<html>", "truncated": content[:-30], "flipped": flipped, "garbled": garbled}
    archive.write_bytes(harmed[harm])
    with pytest.raises(DataError, match=r"set\.zip: is damaged"):
        unpack(archive, tmp_path)
    assert list(tmp_path.iterdir()) == [archive]


def test_an_archive_too_large_for_the_disk_is_not_begun(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = packed(tmp_path / "set.zip", FILES)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=5002))
    with pytest.raises(DataError, match=r"zip: .*5,003 bytes.* 5,002 free"):
        unpack(archive, tmp_path)
    assert list(tmp_path.iterdir()) == [archive]
