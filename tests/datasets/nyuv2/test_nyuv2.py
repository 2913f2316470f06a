import os
import pickle
import random
import shutil
from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from dejavu.data.check import check_dataset
from dejavu.datasets.nyuv2 import Dataset, classes
from dejavu.datasets.nyuv2.mat import LabelledMat
from dejavu.datasets.reading.raw import RawDataset
from dejavu.runtime.errors import DataError
from tests.support.builders import nyuv2
from tests.support.builders.scenes import scene

MAT = "nyu_depth_v2_labeled.mat"
MD5 = "520609c519fba3ba5ac58c8fefcc3530"


def tree(root: Path) -> dict[str, tuple[int, int]]:
    return {str(p): (p.stat().st_size, p.stat().st_mtime_ns) for p in root.rglob("*")}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A labelled data set and a bundle, both read-only."""
    root = tmp_path_factory.mktemp("nyuv2")
    nyuv2.build(root / "labelled", train=4, test=2)
    nyuv2.build_bundle(root / "bundle")
    nyuv2.build_bundle(root / "png", png=True)
    folders = [root, *(path for path in root.rglob("*") if path.is_dir())]
    for folder in folders:
        folder.chmod(0o555)
    before = tree(root)
    yield root
    assert tree(root) == before
    for folder in folders:
        folder.chmod(0o755)


@pytest.fixture
def labelled(built: Path, tmp_path: Path) -> Path:
    return _copied(built / "labelled", tmp_path)


@pytest.fixture
def bundle(built: Path, tmp_path: Path) -> Path:
    return _copied(built / "bundle", tmp_path)


def _copied(source: Path, folder: Path) -> Path:
    copy = shutil.copytree(source, folder / "copy")
    for path in (copy, *copy.rglob("*")):
        path.chmod(0o755)
    return copy


def is_as_rendered(dataset: RawDataset, split: str, index: int, label: list[int]) -> None:
    """Compare image ``index`` of the .mat, and its labels by class of 894, with what was built."""
    entry = next(entry for entry in dataset.entries(split) if entry.position == index)
    image, depth, classes = nyuv2.labelled(index)
    np.testing.assert_array_equal(dataset.read(entry, "image"), image)
    np.testing.assert_array_equal(dataset.read(entry, "depth"), depth)
    found = dataset.read(entry, "label")
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, np.array(label)[classes])


def test_labelled_images_are_what_was_rendered(built: Path) -> None:
    """Axes are turned back, classes are of 40 from 0, and depth is the one without holes."""
    dataset = Dataset(built / "labelled", "labelled-40")
    label = [255, *(int(k) - 1 for k in nyuv2.MAP_CLASS)]
    is_as_rendered(dataset, "test", 1, label)
    is_as_rendered(dataset, "train", 4, label)


def test_13_classes_are_merged_from_40(built: Path) -> None:
    dataset = Dataset(built / "labelled", "labelled-13")
    label = [255, *(int(nyuv2.MAP_13[k - 1]) - 1 for k in nyuv2.MAP_CLASS)]
    is_as_rendered(dataset, "train", 3, label)
    # The published table, by some names.
    of = dict(zip(classes.NAMES_40, classes.IDS_13, strict=True))
    merged = {
        "door": "wall",
        "floor mat": "floor",
        "bookshelf": "furniture",
        "desk": "table",
        "curtain": "window",
        "pillow": "objects",
        "television": "television",
        "other prop": "objects",
        "ceiling": "ceiling",
    }
    assert {name: classes.NAMES_13[of[name] - 1] for name in merged} == merged


def test_splits_count_from_1_and_scenes_are_groups(built: Path) -> None:
    dataset = Dataset(built / "labelled", "labelled-40")
    rows = {
        split: [(e.name, e.position, e.group) for e in dataset.entries(split)]
        for split in ("train", "test")
    }
    assert rows["test"] == [("0001", 0, "bedroom_0010"), ("0002", 1, "bedroom_0010")]
    assert rows["train"] == [
        ("0003", 2, "kitchen_0001"),
        ("0004", 3, "office_0002"),
        ("0005", 4, "kitchen_0001"),
        ("0006", 5, "office_0002"),
    ]


def test_without_scenes_each_image_is_its_own_group(labelled: Path) -> None:
    with h5py.File(labelled / MAT, "r+") as file:
        del file["scenes"]
    groups = [e.group for e in Dataset(labelled, "labelled-40").entries("train")]
    assert groups == ["0003", "0004", "0005", "0006"]


def test_normals_are_those_of_the_rgb_camera_in_matlab_pixels(labelled: Path) -> None:
    normal, distance = np.array([0.36, -0.48, -0.8]), -1.5  # n . P = distance
    columns, rows = np.meshgrid(np.arange(1, 641), np.arange(1, 481))  # as in MATLAB
    x = (columns - 3.2558244941119034e02) / 5.1885790117450188e02
    y = (rows - 2.5373616633400465e02) / 5.1946961112127485e02
    depth = distance / (normal[0] * x + normal[1] * y + normal[2])
    assert depth.min() > 0
    with h5py.File(labelled / MAT, "r+") as file:
        file["depths"][0] = depth.T
    dataset = Dataset(labelled, "labelled-40")
    found = dataset.read(dataset.entries("test")[0], "normals")
    np.testing.assert_allclose(found, np.broadcast_to(normal, found.shape), atol=2e-5)
    assert "normals" in dataset.computed


def test_ids_are_written_as_the_files_have_them(built: Path) -> None:
    labels = np.array([[0, 39, 255]], np.uint8)
    ids = Dataset(built / "labelled", "labelled-40").to_ids(labels)
    assert ids.dtype == np.uint8
    assert ids.tolist() == [[1, 40, 0]]


def test_each_process_opens_the_file_for_itself(
    built: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mat = LabelledMat(built / "labelled" / MAT)
    first = mat.read("depths", 2)
    handle = mat._file()
    assert mat._file() is handle
    sent = pickle.loads(pickle.dumps(mat))  # to a spawned process, while open
    np.testing.assert_array_equal(sent.read("depths", 2), first)
    monkeypatch.setattr(os, "getpid", lambda: -1)  # in a forked one
    assert mat._file() is not handle
    np.testing.assert_array_equal(mat.read("depths", 2), first)


@pytest.mark.parametrize("kept", [0, 300, 20_000, 0.5, 0.999])
def test_a_truncated_mat_is_named_with_its_md5(labelled: Path, kept: float) -> None:
    path = labelled / MAT
    content = path.read_bytes()
    path.write_bytes(content[: int(kept if kept > 1 else kept * len(content))])
    with pytest.raises(DataError, match=rf"{MAT}: cannot be read .*{MD5}"):
        Dataset(labelled, "labelled-40").entries("train")


def test_damage_inside_the_mat_is_named(labelled: Path) -> None:
    path = labelled / MAT
    with h5py.File(path) as file:
        chunk = file["depths"].id.get_chunk_info(2)
        start = chunk.byte_offset
    content = bytearray(path.read_bytes())
    content[start : start + chunk.size] = random.Random(0).randbytes(chunk.size)
    path.write_bytes(content)
    dataset = Dataset(labelled, "labelled-40")
    entries = dataset.entries("train")
    dataset.read(entries[1], "depth")
    with pytest.raises(DataError, match=rf"{MAT}: cannot be read .*{MD5}"):
        dataset.read(entries[0], "depth")


def test_variables_of_another_layout_are_refused(labelled: Path) -> None:
    with h5py.File(labelled / MAT, "r+") as file:
        for key in ("depths", "images", "labels"):
            values = file[key][()]
            del file[key]
            if key == "images":
                file[key] = values
            elif key == "depths":  # turned back already
                file[key] = values.transpose(0, 2, 1)
    dataset = Dataset(labelled, "labelled-40")
    entry = dataset.entries("train")[0]
    with pytest.raises(DataError, match=rf"{MAT}: depths is \(6, 480, 640\) float32; expected"):
        dataset.read(entry, "depth")
    with pytest.raises(DataError, match=rf"{MAT}: cannot be read .*labels"):
        dataset.read(entry, "label")


def test_a_class_beyond_894_is_refused(labelled: Path) -> None:
    with h5py.File(labelled / MAT, "r+") as file:
        file["labels"][2, 5, 7] = 895
    dataset = Dataset(labelled, "labelled-40")
    with pytest.raises(DataError, match=rf"{MAT}: labels of image 0003 hold the class 895"):
        dataset.read(dataset.entries("train")[0], "label")


@pytest.mark.parametrize("wrong", [0, 7, 2.5])
def test_splits_that_number_no_image_are_refused(labelled: Path, wrong: float) -> None:
    savemat(labelled / "splits.mat", {"trainNdxs": [[1], [wrong]], "testNdxs": [[2]]})
    dataset = Dataset(labelled, "labelled-40")
    with pytest.raises(DataError, match=rf"splits\.mat: trainNdxs lists image {wrong}"):
        dataset.entries("train")
    assert len(dataset.entries("test")) == 1


def test_scenes_of_another_number_of_images_are_refused(labelled: Path) -> None:
    with h5py.File(labelled / MAT, "r+") as file:
        references = file["scenes"][:, :5]
        del file["scenes"]
        file.create_dataset("scenes", data=references, dtype=h5py.ref_dtype)
    with pytest.raises(DataError, match=rf"{MAT}: .*\b6 images .*\b5 scene.*{MD5}"):
        Dataset(labelled, "labelled-40").entries("train")


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"other": 1}, "has no variable mapClass, .*other"),
        ({"mapClass": np.ones((1, 893))}, r"mapClass .*894 .*\b893\b"),
        ({"mapClass": np.full((1, 894), 41)}, r"mapClass .*1 to 40\b.* 41\b"),
        ({"mapClass": np.zeros((1, 894))}, r"mapClass .*1 to 40\b.* 0\b"),
    ],
)
def test_a_wrong_mapping_is_refused(
    labelled: Path, variables: dict[str, object], message: str
) -> None:
    savemat(labelled / "classMapping40.mat", variables)
    dataset = Dataset(labelled, "labelled-40")
    with pytest.raises(DataError, match=rf"classMapping40\.mat: {message}"):
        dataset.read(dataset.entries("train")[0], "label")


@pytest.mark.parametrize("content", [b"", b"MATLAB 5.0 MAT-file", bytes(400)])
def test_damaged_small_files_are_refused(labelled: Path, content: bytes) -> None:
    (labelled / "splits.mat").write_bytes(content)
    with pytest.raises(DataError, match=r"splits\.mat: .*MATLAB file.*; download it again"):
        Dataset(labelled, "labelled-40").entries("train")


def test_a_truncated_small_file_is_refused(labelled: Path) -> None:
    path = labelled / "splits.mat"
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(DataError, match=r"splits\.mat: "):
        Dataset(labelled, "labelled-40").entries("test")


def test_another_mapping_to_13_beside_the_data_is_refused(labelled: Path) -> None:
    def labels() -> None:
        dataset = Dataset(labelled, "labelled-13")
        dataset.read(dataset.entries("train")[0], "label")

    path = labelled / "class13Mapping.mat"
    savemat(path, {"classMapping13": {"labels13": nyuv2.MAP_13[None]}})
    labels()
    savemat(path, {"classMapping13": {"labels13": nyuv2.MAP_13[None, ::-1]}})
    with pytest.raises(DataError, match=r"class13Mapping\.mat: is not the published mapping"):
        labels()
    savemat(path, {"classMapping13": nyuv2.MAP_13[None]})
    with pytest.raises(DataError, match=r"class13Mapping\.mat: .*no field labels13"):
        labels()


def test_what_is_missing_is_named_with_where_to_get_it(built: Path, tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match=r"(?s)nyu_depth_v2_labeled.mat: is missing.*splits.mat.*//"
    ):
        Dataset(tmp_path, "labelled-40")
    with pytest.raises(DataError, match=r"(?s)images: is missing.*gt_sets.*NYUD_MT"):
        Dataset(tmp_path, "nyud-mt")
    with pytest.raises(DataError, match=r"one level too high.*labelled"):
        Dataset(built, "labelled-40")
    with pytest.raises(DataError, match=r"one level too low.*bundle"):
        Dataset(built / "bundle" / "images", "nyud-mt")


@pytest.mark.parametrize("variant", ["labelled-40", "labelled-13", "nyud-mt"])
def test_classes_have_different_colours(variant: str) -> None:
    described = Dataset.variants[variant]
    count = int(variant[-2:]) if variant != "nyud-mt" else 40
    assert len({*described.class_names}) == len({*described.palette}) == count
    assert (0, 0, 0) not in described.palette


def test_the_whole_data_set_is_found_in_order(built: Path, tmp_path: Path) -> None:
    tasks = ("segmentation", "depth", "normals")
    nyuv2.build(tmp_path, train=2, test=1)
    for root, variant, count in ((tmp_path, "labelled-13", 1), (built / "bundle", "nyud-mt", 3)):
        checked = check_dataset("nyuv2", variant, root, tasks, val=1)
        assert len(checked.splits["test"]) == count


@pytest.mark.parametrize("kind", ["bundle", "png"])
def test_bundles_are_what_was_rendered(built: Path, kind: str) -> None:
    dataset = Dataset(built / kind, "nyud-mt")
    train, test = dataset.entries("train"), dataset.entries("test")
    assert [entry.name for entry in test] == ["0000", "0001", "0002"]
    assert [entry.name for entry in train] == [f"{index:04d}" for index in range(3, 9)]
    frame = scene(4)
    read = {role: dataset.read(train[1], role) for role in ("image", "label", "depth", "normals")}
    error = np.abs(read["image"].astype(int) - frame.image)
    assert error.mean() < (6 if kind == "bundle" else 1e-9)  # JPEG loses some
    np.testing.assert_array_equal(read["label"][1:], nyuv2.bundle_ids(frame)[1:] - 1)
    np.testing.assert_array_equal(read["label"][0, :41], [255, *range(40)])
    np.testing.assert_array_equal(read["depth"][1:], frame.depth[1:])
    assert not read["depth"][0].any()
    rounding = 1e-6 if kind == "bundle" else np.sqrt(3) / 255  # half a step in each component
    off = np.linalg.norm(read["normals"] - frame.normals, axis=2)[1:]
    assert off.max() < rounding * 1.01
    assert {array.dtype for array in read.values()} == {np.dtype("u1"), np.dtype("f4")}
    lengths = np.linalg.norm(read["normals"], axis=2)[1:]
    np.testing.assert_allclose(lengths, 1, atol=1e-6)


def test_unknown_normals_of_either_bundle_are_zero(built: Path, tmp_path: Path) -> None:
    for kind in ("bundle", "png"):
        root = _copied(built / kind, tmp_path / kind)
        if kind == "png":  # grey, and black
            path = root / "normals" / "0003.png"
            stored = np.array(Image.open(path))
            stored[0], stored[0, 50:] = 127, 0
            Image.fromarray(stored).save(path)
        dataset = Dataset(root, "nyud-mt")
        normals = dataset.read(dataset.entries("train")[0], "normals")
        assert not normals[0].any()
        assert normals[1:].any(axis=2).all()


@pytest.mark.parametrize("axis", range(3))
def test_an_axis_of_the_other_sign_is_found(bundle: Path, axis: int) -> None:
    path = bundle / "normals" / "0003.npy"
    normals = np.load(path)
    normals[..., axis] *= -1
    np.save(path, normals)
    with pytest.raises(DataError, match=rf"0003\.npy: {'xyz'[axis]} of the normals .*sign"):
        Dataset(bundle, "nyud-mt").entries("train")


def test_normals_that_were_not_unpacked_stop_no_other_task(bundle: Path) -> None:
    shutil.rmtree(bundle / "normals")
    dataset = Dataset(bundle, "nyud-mt")
    entry = dataset.entries("train")[0]
    assert entry.files["normals"] == "normals/0003.npy"
    dataset.read(entry, "label")
    with pytest.raises(DataError, match=r"0003\.npy: is missing"):
        dataset.read(entry, "normals")


def test_wrong_files_of_a_bundle_are_named(bundle: Path) -> None:
    dataset = Dataset(bundle, "nyud-mt")
    first, second = dataset.entries("train")[:2]
    Image.fromarray(np.full((4, 4), 41, np.uint8)).save(dataset.path(first, "label"))
    with pytest.raises(DataError, match=r"0003\.png: holds the class 41"):
        dataset.read(first, "label")
    Image.fromarray(np.full((4, 4), 3, np.uint16)).save(dataset.path(second, "label"))
    with pytest.raises(DataError, match=r"0004\.png: is a PNG of 16-bit grey"):
        dataset.read(second, "label")
    for role, wrong, message in (
        ("depth", np.ones((4, 4), np.uint16), "expected 2 axes of floats"),
        ("depth", np.ones((1, 4, 4), np.float32), "expected 2 axes of floats"),
        ("normals", np.ones((3, 4, 5), np.float32), "expected H x W x 3"),
    ):
        np.save(dataset.path(first, role), wrong)
        with pytest.raises(DataError, match=rf"{role}/0003\.npy: is \(.*{message}"):
            dataset.read(first, role)
    path = dataset.path(second, "depth")
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(DataError, match=r"0004\.npy: cannot be read"):
        dataset.read(second, "depth")


def test_a_list_that_is_no_text_is_refused(bundle: Path) -> None:
    (bundle / "gt_sets" / "val.txt").write_bytes(b"\xff\xfe")
    dataset = Dataset(bundle, "nyud-mt")
    with pytest.raises(DataError, match=r"val\.txt: cannot be read"):
        dataset.entries("test")
    (bundle / "gt_sets" / "train.txt").write_text("")
    assert dataset.entries("train") == []
