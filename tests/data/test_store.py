"""Prepared files: the same bytes however they are made, and clear errors about damaged ones."""

import json
from hashlib import sha256
from pathlib import Path
from shutil import copytree

import numpy as np
import pytest
import torch

from dejavu.data.sample import denormalise
from dejavu.data.store import PreparedSplit
from dejavu.datasets.reading.manifest import read_manifest, record_dtype
from dejavu.datasets.rooms import prepare_rooms, render_scene
from dejavu.datasets.rooms.classes import CLASSES, PALETTE
from dejavu.datasets.rooms.scenes import RoomsSpec
from dejavu.reporting.rooms_sheet import contact_sheet
from dejavu.runtime.errors import DataError

SPEC = RoomsSpec(height=20, width=28)
COUNTS = {"train": 5, "val": 2, "test": 3}


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("rooms")
    prepare_rooms(SPEC, COUNTS, folder)
    return folder


@pytest.fixture
def copy(prepared: Path, tmp_path: Path) -> Path:
    return copytree(prepared, tmp_path / "copy")


def bytes_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_the_same_bytes_again_in_another_order(prepared: Path, tmp_path: Path) -> None:
    prepare_rooms(SPEC, dict(reversed(COUNTS.items())), tmp_path / "again")
    first, again = bytes_of(prepared), bytes_of(tmp_path / "again")
    assert sorted(first) == ["manifest.json", "test.npy", "train.npy", "val.npy"]
    for split in COUNTS:
        assert first[f"{split}.npy"] == again[f"{split}.npy"]
    prepare_rooms(SPEC, COUNTS, tmp_path / "again")  # over what is there
    assert bytes_of(tmp_path / "again") == first


def test_scenes_do_not_depend_on_how_many_there_are(prepared: Path, tmp_path: Path) -> None:
    prepare_rooms(SPEC, {"train": 2}, tmp_path)
    few, many = PreparedSplit(tmp_path, "train").records, PreparedSplit(prepared, "train").records
    assert few.tobytes() == many[:2].tobytes()
    alone = render_scene(SPEC, "train", 4)
    np.testing.assert_array_equal(many["image"][4], alone.image)
    np.testing.assert_array_equal(many["depth"][4], alone.depth)


def test_splits_and_seeds_share_no_scene(prepared: Path, tmp_path: Path) -> None:
    prepare_rooms(RoomsSpec(height=20, width=28, seed=1), COUNTS, tmp_path)
    depths = [
        scene["depth"].tobytes()
        for folder in (prepared, tmp_path)
        for split in COUNTS
        for scene in PreparedSplit(folder, split).records
    ]
    assert len(set(depths)) == len(depths) == 2 * sum(COUNTS.values())


def test_the_manifest_describes_the_files(prepared: Path) -> None:
    manifest = read_manifest(prepared)
    assert manifest.name == "rooms"
    assert manifest.class_names == CLASSES
    assert manifest.palette == PALETTE
    assert manifest.spec["coupling"] == SPEC.coupling
    assert manifest.intrinsics == render_scene(SPEC, "train", 0).intrinsics
    for split, count in COUNTS.items():
        record, scenes = manifest.splits[split], np.load(prepared / f"{split}.npy")
        assert scenes.shape == (count,)
        assert scenes.dtype == record_dtype(20, 28)
        assert record.sha256 == sha256((prepared / f"{split}.npy").read_bytes()).hexdigest()
        pixels = [int((scenes["label"] == label).sum()) for label in range(len(CLASSES))]
        assert record.class_pixels == tuple(pixels)


def test_varied_cameras_have_no_common_intrinsics(tmp_path: Path) -> None:
    prepare_rooms(RoomsSpec(height=8, width=8, varied_intrinsics=True), {"val": 1}, tmp_path)
    assert read_manifest(tmp_path).intrinsics is None


def test_batches_hold_the_scenes_that_were_asked_for(prepared: Path) -> None:
    split = PreparedSplit(prepared, "train")
    sample = split.batch(torch.tensor([3, 0, 3]))
    assert len(split) == 5
    assert sample.image.shape == sample.normals.shape == (3, 3, 20, 28)
    assert sample.label.dtype == torch.int64
    for row, index in enumerate((3, 0, 3)):
        frame = render_scene(SPEC, "train", index)
        shown = denormalise(sample.image[row : row + 1])[0].permute(1, 2, 0)
        np.testing.assert_array_equal(shown.numpy(), frame.image)
        np.testing.assert_array_equal(sample.label[row].numpy(), frame.label)
        np.testing.assert_array_equal(sample.depth[row, 0].numpy(), frame.depth)
        np.testing.assert_array_equal(sample.normals[row].permute(1, 2, 0).numpy(), frame.normals)
        assert split.caption(index) == frame.caption
    for indices in (range(2), [0, 1], torch.arange(2)):
        assert torch.equal(split.batch(indices).depth, split.batch([0, 1]).depth)


@pytest.mark.parametrize("index", [5, -1])
def test_an_index_outside_the_split_is_refused(prepared: Path, index: int) -> None:
    with pytest.raises(IndexError, match=str(index)):
        PreparedSplit(prepared, "train").batch([0, index])


def test_batches_are_copies(prepared: Path) -> None:
    split = PreparedSplit(prepared, "val")
    split.batch([0]).depth.zero_()
    assert (split.batch([0]).depth > 0).all()


def test_progress_is_reported_scene_by_scene(tmp_path: Path) -> None:
    calls: list[tuple[int, int, str]] = []

    def progress(done: int, total: int, note: str = "") -> None:
        calls.append((done, total, note))

    prepare_rooms(RoomsSpec(height=8, width=8), {"val": 2, "test": 1}, tmp_path, progress)
    assert calls == [(1, 2, "val"), (2, 2, "val"), (1, 1, "test")]


@pytest.mark.parametrize("counts", [{"train": 0}, {"training": 3}])
def test_impossible_counts_are_refused(tmp_path: Path, counts: dict[str, int]) -> None:
    with pytest.raises(DataError, match="counts"):
        prepare_rooms(SPEC, counts, tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_an_interrupted_preparation_is_not_taken_for_a_finished_one(copy: Path) -> None:
    def interrupt(done: int, total: int, note: str = "") -> None:
        if note == "val":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prepare_rooms(SPEC, COUNTS, copy, interrupt)
    assert not [path for path in copy.iterdir() if path.name.startswith(".")]
    with pytest.raises(DataError, match=r"manifest\.json.*python -m dejavu rooms"):
        PreparedSplit(copy, "train")


def test_a_missing_file_is_named(copy: Path) -> None:
    (copy / "val.npy").unlink()
    with pytest.raises(DataError, match=r"val\.npy.*missing.*python -m dejavu rooms"):
        PreparedSplit(copy, "val")
    with pytest.raises(DataError, match=r"no split 'valid'.*train, val, test"):
        PreparedSplit(copy, "valid")


@pytest.mark.parametrize("keep", [0, 60, 4000])
def test_a_truncated_file_is_refused(copy: Path, keep: int) -> None:
    path = copy / "train.npy"
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(DataError, match=r"train\.npy.*python -m dejavu rooms"):
        PreparedSplit(copy, "train")


def test_a_file_of_another_size_is_refused(copy: Path) -> None:
    (copy / "train.npy").write_bytes((copy / "val.npy").read_bytes())
    with pytest.raises(DataError, match=r"train\.npy.*\(2,\).*\(5,\)"):
        PreparedSplit(copy, "train")
    np.save(copy / "train.npy", np.zeros(5, record_dtype(20, 27)))
    with pytest.raises(DataError, match=r"train\.npy"):
        PreparedSplit(copy, "train")


def test_one_changed_byte_fails_verification(copy: Path) -> None:
    PreparedSplit(copy, "test").verify()
    content = bytearray((copy / "test.npy").read_bytes())
    content[-200] ^= 1
    (copy / "test.npy").write_bytes(content)
    with pytest.raises(DataError, match=r"test\.npy.*SHA-256"):
        PreparedSplit(copy, "test").verify()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"version": 0}, "version 0"),
        ({"version": None}, "version None"),
        ({"splits": {"train": {"count": 5}}}, "not a manifest"),
        ({"surprise": 1}, "not a manifest"),
    ],
)
def test_a_foreign_manifest_is_refused(copy: Path, change: dict[str, object], message: str) -> None:
    path = copy / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(DataError, match=rf"manifest\.json.*{message}"):
        PreparedSplit(copy, "train")


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff\xfe"])
def test_a_damaged_manifest_is_refused(copy: Path, content: bytes) -> None:
    (copy / "manifest.json").write_bytes(content)
    with pytest.raises(DataError, match=r"manifest\.json"):
        PreparedSplit(copy, "train")


def test_the_contact_sheet_draws_each_scene(prepared: Path) -> None:
    figure = contact_sheet(prepared, 4)
    sheet = np.asarray(figure.axes[0].images[0].get_array())
    scene = PreparedSplit(prepared, "train").records[0]
    np.testing.assert_array_equal(sheet[2:22, 2:30], scene["image"])
    np.testing.assert_array_equal(sheet[2:22, 30:58], np.array(PALETTE)[scene["label"]])
    assert sheet.shape == (2 + 42, 4 * 58 + 2, 3)
