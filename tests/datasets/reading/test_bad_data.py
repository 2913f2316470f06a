"""Damaged downloads: one message that names the file and the fix, before any training."""

import re
from collections.abc import Callable
from pathlib import Path
from shutil import copytree, rmtree

import h5py
import numpy as np
import pytest
from PIL import Image
from scipy.io import loadmat, savemat

from dejavu.data.check import check_dataset
from dejavu.datasets.reading.manifest import read_manifest
from dejavu.datasets.reading.registry import dataset_class
from dejavu.runtime.errors import DataError
from tests.support.builders import nyuv2
from tests.support.checking import MAT, change_png, check, problem
from tests.support.studies import ON_DISK, Downloads, disk_params


def truncate(path: Path, kept: float = 0.7) -> str:
    content = path.read_bytes()
    path.write_bytes(content[: int(kept * len(content))])
    return path.name


def convert(path: Path, kind: type[np.generic], size: tuple[int, int] | None = None) -> str:
    image = Image.fromarray(np.asarray(Image.open(path)).astype(kind))
    (image.resize(size, Image.Resampling.NEAREST) if size else image).save(path)
    return path.name


def remove(path: Path) -> str:
    path.unlink()
    return path.name


def label_of_nyu(root: Path, value: int) -> str:
    with h5py.File(root / MAT, "r+") as file:
        file["labels"][2, 0, 0] = value
    return "0003"


def splits_of_nyu(root: Path, said: str, **changes: list[int]) -> str:
    """List other images, by their numbers, as train or test."""
    splits = {k: v for k, v in loadmat(root / "splits.mat").items() if not k.startswith("_")}
    for split, numbers in changes.items():
        splits[f"{split}Ndxs"] = np.array(numbers, np.uint16)[:, None]
    savemat(root / "splits.mat", splits)
    return said


def write_png(path: Path, value: int) -> str:
    change_png(path, (7, 9), value)
    return path.name


def label(root: Path, name: str) -> Path:
    """The label file of the first training image."""
    patterns = {
        "cityscapes": "gtFine/train/aachen/aachen_000000*_labelIds.png",
        "ade20k": "annotations/training/ADE_train_00000001.png",
        "coco": "annotations/panoptic_train2017/000000000009.png",
        "kitti": "data_depth_annotated/train/2011_09_26_drive_0001_sync/**/0000000005.png",
    }
    return next(root.glob(patterns[name]))


def share_a_drive(root: Path) -> str:
    """Move a test image to the training list: its neighbours in the drive are still scored."""
    train, test = (root / f"splits/eigen_{split}_files.txt" for split in ("train", "test"))
    moved, kept = test.read_text().split("\n", 1)
    test.write_text(kept)
    train.write_text(f"{train.read_text()}{moved}\n")
    return "train and test share 2011_09_26_drive_0002 (drive, city or scene)"


def share_a_city(root: Path) -> str:
    for package in ("leftImg8bit", "gtFine", "disparity", "camera"):
        copytree(root / package / "train/aachen", root / package / "val/aachen")
    return "train and test share aachen (drive, city or scene)"


NONE = "has no test image"


def empty(root: Path, *folders: str) -> str:
    for folder in folders:
        rmtree(root / folder)
        (root / folder).mkdir()
    return NONE


def empty_list(root: Path) -> str:
    (root / "splits/eigen_test_files.txt").write_text("\n")
    return NONE


Break = Callable[[Path], str]
AGAIN = "npack the download again|download it again"
BAD: dict[str, tuple[str, Break, str]] = {
    "nyuv2-truncated": ("nyuv2", lambda r: truncate(r / MAT), "download it again"),
    "nyuv2-half-splits": ("nyuv2", lambda r: truncate(r / "splits.mat"), AGAIN),
    "cityscapes-truncated": ("cityscapes", lambda r: truncate(label(r, "cityscapes")), AGAIN),
    "ade20k-truncated-image": (
        "ade20k",
        lambda r: truncate(r / "images/training/ADE_train_00000003.jpg"),
        AGAIN,
    ),
    "coco-truncated": ("coco", lambda r: truncate(label(r, "coco")), AGAIN),
    "coco-truncated-json": (
        "coco",
        lambda r: truncate(r / "annotations/panoptic_val2017.json"),
        AGAIN,
    ),
    "kitti-truncated": ("kitti", lambda r: truncate(label(r, "kitti")), AGAIN),
    "cityscapes-8-bit": (
        "cityscapes",
        lambda r: convert(next(r.glob("disparity/train/aachen/*.png")), np.uint8),
        "expected a 16-bit PNG",
    ),
    "kitti-8-bit": (
        "kitti",
        lambda r: convert(label(r, "kitti"), np.uint8),
        "expected a 16-bit PNG",
    ),
    "ade20k-16-bit": (
        "ade20k",
        lambda r: convert(label(r, "ade20k"), np.uint16),
        "expected an 8-bit PNG with one channel",
    ),
    "cityscapes-range": (
        "cityscapes",
        lambda r: write_png(label(r, "cityscapes"), 34),
        r"holds the id 34; .*0 to 33",
    ),
    "ade20k-range": (
        "ade20k",
        lambda r: write_png(label(r, "ade20k"), 151),
        r"holds the id 151; .*0 to 150",
    ),
    "nyuv2-range": ("nyuv2", lambda r: label_of_nyu(r, 895), r"labels .*895; there are 894"),
    "coco-range": (
        "coco",
        lambda r: write_png(label(r, "coco"), 200),
        "has a segment 13158600 that .* does not list",
    ),
    "cityscapes-no-label": ("cityscapes", lambda r: remove(label(r, "cityscapes")), "is missing"),
    "ade20k-no-label": ("ade20k", lambda r: remove(label(r, "ade20k")), "is missing"),
    "coco-no-label": ("coco", lambda r: remove(label(r, "coco")), "is missing"),
    "ade20k-no-image": (
        "ade20k",
        lambda r: remove(r / "images/training/ADE_train_00000001.jpg"),
        "is missing",
    ),
    "ade20k-size": (
        "ade20k",
        lambda r: convert(label(r, "ade20k"), np.uint8, (95, 64)),
        r"ADE_train_00000001.png: is 64 x 95, .*_00000001.jpg is 64 x 96",
    ),
    "kitti-size": (
        "kitti",
        lambda r: convert(label(r, "kitti"), np.uint16, (621, 187)),
        r"is 187 x 621, .*\.png is 375 x 1242",
    ),
    "ade20k-empty": (
        "ade20k",
        lambda r: empty(r, "images/validation", "annotations/validation"),
        r"Expected:\s+images/training/ADE_train_\*",
    ),
    "cityscapes-empty": (
        "cityscapes",
        lambda r: empty(r, "leftImg8bit/val", "gtFine/val"),
        r"Expected:\s+leftImg8bit",
    ),
    "nyuv2-empty": ("nyuv2", lambda r: splits_of_nyu(r, NONE, test=[]), r"Expected:\s+nyu_depth"),
    "kitti-empty": ("kitti", empty_list, r"Expected:\s+ROOT/"),
    "nyuv2-shared-images": (
        "nyuv2",
        lambda r: splits_of_nyu(r, "train and test share 2 images", test=[1, 3, 4]),
        rf"{MAT} \(2\), {MAT} \(3\); use the official lists",
    ),
    "kitti-shared-drive": ("kitti", share_a_drive, "use the official lists"),
    "cityscapes-shared-city": ("cityscapes", share_a_city, "use the official lists"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_message_with_the_file_and_the_fix(case: str, copy_of: Downloads) -> None:
    name, spoil, fix = BAD[case]
    root = copy_of(name)
    named = spoil(root)
    said = problem(root, disk_params(name))
    assert str(root) in said
    assert named in said
    assert re.search(fix, said), said


def test_every_problem_is_listed_and_many_are_counted(copy_of: Downloads) -> None:
    root, params = copy_of("ade20k"), disk_params("ade20k")
    folder = root / "annotations"
    broken = [truncate(folder / f"training/ADE_train_{n:08d}.png") for n in (1, 2)]
    broken += [convert(folder / f"training/ADE_train_{n:08d}.png", np.uint16) for n in (3,)]
    broken += [remove(folder / f"validation/ADE_val_{n:08d}.png") for n in (1, 3)]
    said = problem(root, params)
    assert said.startswith(f"{root}: 5 of 9 images ")
    assert len(said.splitlines()) == 6
    for name in broken:
        assert said.count(name) == 1


def test_of_many_problems_the_first_ten_are_shown(copy_of: Downloads) -> None:
    root = copy_of("ade20k")
    for path in root.glob("images/training/*"):
        truncate(path)
    for path in root.glob("annotations/training/*"):
        for extra in "abcd":
            (path.parent / f"{path.stem}{extra}.png").write_bytes(path.read_bytes())
    said = problem(root, disk_params("ade20k"))
    assert said.startswith(f"{root}: 30 of 33 images ")
    assert said.splitlines()[11:] == ["... and 20 more"]


@pytest.mark.parametrize(("value", "said"), [(-1.0, "at least 0"), (np.nan, "finite")])
def test_depth_that_cannot_be_is_refused(copy_of: Downloads, value: float, said: str) -> None:
    root = copy_of("nyuv2")
    with h5py.File(root / MAT, "r+") as file:
        file["depths"][4, 10, 10] = value
    for task in ("depth", "normals"):
        found = problem(root, disk_params("nyuv2", tasks=[task]))
        assert f"{MAT}: the depth of 0005 has values that are not" in found
        assert said in found


def test_normals_that_are_no_unit_vectors_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nyuv2.build_bundle(tmp_path, train=2, test=1)
    bundle = type(dataset_class("nyuv2")(tmp_path, "nyud-mt"))
    checked = check_dataset("nyuv2", "nyud-mt", tmp_path, ["normals"], 1)
    assert len(checked.splits["test"]) == 1
    read = bundle.read_normals
    monkeypatch.setattr(bundle, "read_normals", lambda self, entry: 1.05 * read(self, entry))
    with pytest.raises(DataError, match=r"normals/0000\.npy: the normals of 0000 .*unit or zero"):
        check_dataset("nyuv2", "nyud-mt", tmp_path, ["normals"], 1)


def inner_folder(root: Path) -> Path:
    """A subfolder of the data set's root."""
    folder = root / "inside"
    folder.mkdir(exist_ok=True)
    return folder


@pytest.mark.parametrize("name", ON_DISK)
def test_a_folder_one_level_off_names_the_right_one(name: str, copy_of: Downloads) -> None:
    root, params = copy_of(name), disk_params(name)
    title = dataset_class(name).title
    said = problem(inner_folder(root), params)
    assert said == f"{root}/inside: the folder is one level too low for {title}: give {root}"
    said = problem(root.parent, params)
    assert said == f"{root.parent}: the folder is one level too high for {title}: give {root}"


@pytest.mark.parametrize("name", ON_DISK)
def test_a_missing_folder_shows_the_tree_and_where_to_register(name: str, tmp_path: Path) -> None:
    kind = dataset_class(name)
    said = problem(tmp_path / "none" / "such", disk_params(name))
    variant = disk_params(name).data.variant_name
    assert f"{tmp_path}/none/such/" in said.splitlines()[0]
    assert "is missing" in said.splitlines()[0]
    assert kind.tree in said
    assert kind.source in said
    assert "https://" in kind.source
    assert variant in kind.variants


def test_images_that_val_has_under_another_name_are_left_out_of_train(copy_of: Downloads) -> None:
    root, params = copy_of("ade20k"), disk_params("ade20k")
    before = check(root, params).splits
    held, kept = before["val"][0].entry, before["train"][0].entry
    for role, path in held.files.items():
        (root / kept.files[role]).write_bytes((root / path).read_bytes())
    after = check(root, params)
    assert after.notes[-1] == f"left out of train: 1 images that val has too: {kept.name}"
    assert [one.entry.name for one in after.splits["val"]] == [
        one.entry.name for one in before["val"]
    ]
    assert kept.name not in [one.entry.name for one in after.splits["train"]]


def test_a_scene_on_both_sides_of_nyus_split_is_noted(copy_of: Downloads) -> None:
    """The official split may have such scenes, so they are not refused."""
    root, params = copy_of("nyuv2"), disk_params("nyuv2")
    splits_of_nyu(root, "", train=[1, 4], test=[2])
    assert "train and test share bedroom_0010 (drive, city or scene)" in check(root, params).notes


def test_images_that_test_has_under_another_name_are_left_out(
    copy_of: Downloads, tmp_path: Path
) -> None:
    root, params = copy_of("ade20k"), disk_params("ade20k")
    for folder, suffix in (("images", "jpg"), ("annotations", "png")):
        content = (root / folder / f"validation/ADE_val_00000001.{suffix}").read_bytes()
        for number in (1, 4):
            (root / folder / f"training/ADE_train_{number:08d}.{suffix}").write_bytes(content)
    checked = check(root, params)
    names = [one.entry.name for split in ("train", "val") for one in checked.splits[split]]
    assert sorted(names) == [f"ADE_train_{number:08d}" for number in (2, 3, 5, 6)]
    assert len(checked.splits["test"]) == 3
    note = "left out of train: 2 images that test has too: ADE_train_00000001, ADE_train_00000004"
    assert checked.notes[-1] == note
    checked.write(tmp_path / "study", params)
    assert read_manifest(tmp_path / "study").notes == tuple(checked.notes)
    assert read_manifest(tmp_path / "study").splits["train"].count == 3


def test_nothing_left_beside_the_test_images_is_an_error(copy_of: Downloads) -> None:
    root = copy_of("coco")
    content = (root / "val2017/000000000139.jpg").read_bytes()
    for path in (root / "train2017").iterdir():
        path.write_bytes(content)
    assert re.search(r"every image of val .*in test", problem(root, disk_params("coco")))
