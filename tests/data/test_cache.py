"""Decoded copies: equal to the arrays that are read, and never of other images."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from dejavu.config.tasks import roles_of
from dejavu.runtime.errors import DataError
from tests.support.indexed import QUICK, SPLITS, opened, truth
from tests.support.studies import ON_DISK, Downloads


@pytest.mark.parametrize("name", ON_DISK)
def test_the_cache_holds_what_is_read(
    name: str, manifest_copy: Downloads, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = manifest_copy(name)
    for part in SPLITS:
        plain = opened(folder, name, part)
        arrays = {
            (index, role): plain.read(index, role)
            for index in range(len(plain))
            for role in roles_of(QUICK[name])
        }
        plain.write_cache()
        assert not (folder / "cache" / f"{part}.normals.bin").exists()
        with monkeypatch.context() as patch:
            patch.setenv("DEJAVU_ROOT", "/nowhere")
            split = opened(folder, name, part)
            split.verify()
            for (index, role), expected in arrays.items():
                found = split.read(index, role)
                assert found.dtype == expected.dtype
                assert found.shape == expected.shape
                assert found.tobytes() == expected.tobytes()


def test_normals_are_cached_as_they_are_computed(manifest_copy: Downloads) -> None:
    folder = manifest_copy("nyuv2")
    split = opened(folder, "nyuv2", "val", "normals")
    expected = split.read(0, "normals")
    split.write_cache()
    again = opened(folder, "nyuv2", "val", "normals")
    assert again.read(0, "normals").tobytes() == expected.tobytes()


def test_the_announced_size_is_that_of_the_files(manifest_copy: Downloads) -> None:
    folder = manifest_copy("ade20k")
    split = opened(folder, "ade20k")
    pixels = len(split) * 64 * 96
    announced = split.decoded_bytes
    assert announced == pixels * (3 + 1)
    calls: list[tuple[int, int, str]] = []
    split.write_cache(lambda done, total, note="": calls.append((done, total, note)))
    assert sum(path.stat().st_size for path in (folder / "cache").glob("*.bin")) == announced
    assert calls == [
        (done, 5, f"train {role}") for role in ("image", "label") for done in range(1, 6)
    ]
    depth = opened(manifest_copy("cityscapes"), "cityscapes", "test", "depth")
    assert depth.decoded_bytes == 3 * 64 * 96 * (3 + 4)


def test_a_task_that_is_not_cached_is_read_from_the_files(manifest_copy: Downloads) -> None:
    folder = manifest_copy("cityscapes")
    expected = opened(folder, "cityscapes").sample(2)
    opened(folder, "cityscapes", "train", "segmentation").write_cache()
    found = opened(folder, "cityscapes").sample(2)
    assert all(torch.equal(found[role], part) for role, part in expected.items())


def test_the_cache_of_another_index_is_ignored(manifest_copy: Downloads) -> None:
    folder = manifest_copy("ade20k")
    split = opened(folder, "ade20k")
    split.write_cache()
    for path in (folder / "cache").glob("*.bin"):
        path.write_bytes(bytes(path.stat().st_size))
    made = folder / "cache/train.json"
    assert not opened(folder, "ade20k").read(0, "image").any(), "the cache is not read at all"
    made.write_text(made.read_text().replace(split.record.sha256, "0" * 64))
    expected = truth("ade20k", split, 0, "image")
    np.testing.assert_array_equal(opened(folder, "ade20k").read(0, "image"), expected)


def test_an_interrupted_cache_is_not_taken_for_a_whole_one(
    manifest_copy: Downloads,
) -> None:
    """Else a return to the first index would find half of the second one's cache."""
    folder = manifest_copy("ade20k")
    split = opened(folder, "ade20k")
    split.write_cache()

    def interrupt(done: int, total: int, note: str = "") -> None:
        if note == "train label":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        split.write_cache(interrupt)
    assert not (folder / "cache/train.json").exists()
    assert not [path for path in (folder / "cache").iterdir() if path.name.startswith(".")]


@pytest.mark.parametrize("role", ["image", "label"])
def test_a_damaged_cache_is_refused(role: str, manifest_copy: Downloads) -> None:
    folder = manifest_copy("ade20k")
    opened(folder, "ade20k").write_cache()
    path = folder / f"cache/train.{role}.bin"
    content = path.read_bytes()
    for damaged in (content[:-1], content + b"\0", b""):
        path.write_bytes(damaged)
        with pytest.raises(
            DataError, match=rf"{role}\.bin: has {len(damaged)} bytes, not {len(content)}; delete"
        ):
            opened(folder, "ade20k")
    path.unlink()
    with pytest.raises(DataError, match=rf"{role}\.bin: has 0 bytes.*delete \S*cache"):
        opened(folder, "ade20k")
    for text in ("", "[]", '{"index": 1}'):
        (folder / "cache/train.json").write_text(text)
        with pytest.raises(DataError, match=r"train\.json: is damaged .*delete \S*cache"):
            opened(folder, "ade20k")


def test_a_cache_that_does_not_fit_is_not_begun(
    manifest_copy: Downloads, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = manifest_copy("cityscapes")
    split = opened(folder, "cityscapes")
    free = SimpleNamespace(free=split.decoded_bytes - 1)
    monkeypatch.setattr("shutil.disk_usage", lambda path: free)
    with pytest.raises(DataError, match=r"cache: .* needs .* GB.*data\.cache to false"):
        split.write_cache()
    assert not [*(folder / "cache").iterdir()]
    free.free += 1
    split.write_cache()
    assert (folder / "cache/train.json").exists()


def test_a_cache_is_not_made_of_images_that_changed(
    manifest_copy: Downloads, copy_of: Downloads, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even of the same size in bytes: the cache replaces the files, so checksums are compared."""
    folder, root = manifest_copy("ade20k"), copy_of("ade20k")
    monkeypatch.setenv("DEJAVU_ROOT", str(root))
    split = opened(folder, "ade20k")
    path = split.dataset.path(split.entry(0), "label")
    pixels = np.array(Image.open(path))
    sizes = path.stat().st_size
    pixels[0, :2] = pixels[0, 1::-1]  # two labels change places
    Image.fromarray(pixels).save(path)
    path.write_bytes(path.read_bytes().ljust(sizes, b"\0")[:sizes])
    split.verify()
    with pytest.raises(DataError, match=rf"{path.name}: .*prepare the data"):
        split.write_cache()
    assert not (folder / "cache" / "train.json").exists()


def test_the_cache_of_other_code_is_ignored(
    manifest_copy: Downloads, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Normals are computed on reading, so no checksum of a file depends on that code."""
    folder = manifest_copy("nyuv2")
    opened(folder, "nyuv2", "val", "normals").write_cache()
    monkeypatch.setattr("dejavu.data.indexed.code_hash", lambda module: "other")
    split = opened(folder, "nyuv2", "val", "normals")
    assert split._cache is None
    split.write_cache()
    assert opened(folder, "nyuv2", "val", "normals")._cache is not None
