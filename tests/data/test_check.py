"""Checks of downloads: every problem is found before anything is trained."""

import json
import os
import re
import signal
from collections.abc import Callable
from dataclasses import replace
from hashlib import md5, sha256
from pathlib import Path
from shutil import rmtree
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from PIL import Image

from dejavu.data.check import check_dataset
from dejavu.datasets.reading.conventions import ROLES
from dejavu.datasets.reading.index import read_index
from dejavu.datasets.reading.manifest import read_manifest
from dejavu.datasets.reading.raw import Entry, hold_out
from dejavu.datasets.reading.registry import dataset_class
from dejavu.runtime.errors import DejaVuError, ParamsError
from tests.support.checking import MAT, change_png, check, problem
from tests.support.studies import ON_DISK, TINY, Downloads, disk_params


@pytest.mark.parametrize("name", ON_DISK)
def test_every_image_is_in_one_split(name: str, downloads: Downloads) -> None:
    checked = check(downloads(name), disk_params(name))
    found = {split: [one.entry for one in listed] for split, listed in checked.splits.items()}
    train, test, *_ = ON_DISK[name].values()
    assert [*found] == ["train", "val", "test"]
    assert len(found["train"]) + len(found["val"]) == train
    assert len(found["test"]) == test
    assert found["train"]
    assert found["val"]
    names, groups = (
        [{getattr(entry, field) for entry in listed} for listed in found.values()]
        for field in ("name", "group")
    )
    assert len(set.union(*names)) == train + test
    assert len(set.union(*groups)) == sum(map(len, groups)), "splits share a group"
    assert all(listed == sorted(listed, key=lambda e: e.name) for listed in found.values())


def test_a_file_that_is_not_the_published_one_is_noted(downloads: Downloads) -> None:
    root = downloads("nyuv2")
    digest = md5((root / MAT).read_bytes()).hexdigest()
    note = f"{MAT} is not the published file: its md5 is {digest}"
    assert check(root, disk_params("nyuv2")).notes[-1] == note


def test_photographs_that_viewers_turn_are_noted(copy_of: Downloads) -> None:
    """Labels may belong to either view; where only the size tells, it is the stored one."""
    root, params = copy_of("ade20k"), disk_params("ade20k")
    path = root / "images/training/ADE_train_00000002.jpg"
    stored = Image.open(path)
    exif = Image.Exif()
    exif[0x0112] = 3
    stored.save(path, exif=exif)
    assert (
        check(root, params)
        .notes[-1]
        .startswith("1 images have an EXIF orientation, which is not applied (ADE_train_00000002)")
    )
    exif[0x0112] = 8
    stored.transpose(Image.Transpose.ROTATE_270).save(path, exif=exif)
    assert "ADE_train_00000002.jpg is 96 x 64 as it is stored" in problem(root, params)


def test_fewer_images_than_the_publisher_has_are_noted(
    downloads: Downloads, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An image that is lost with its label leaves no other trace."""
    root, params = downloads("coco"), disk_params("coco")
    assert check(root, params).notes == [
        "train has 6 images, not the official 118287: is the download complete?",
        "test has 3 images, not the official 5000: is the download complete?",
    ]
    counts = dataset_class("coco").variants["panoptic-133"].counts
    monkeypatch.setitem(counts, "train", 6)  # type: ignore[arg-type]
    monkeypatch.setitem(counts, "test", 3)  # type: ignore[arg-type]
    assert check(root, params).notes == []


@pytest.mark.parametrize("name", ON_DISK)
def test_the_index_says_what_the_files_hold(
    name: str, downloads: Downloads, tmp_path: Path
) -> None:
    root, params = downloads(name), disk_params(name)
    checked = check(root, params)
    checked.write(tmp_path, params)
    manifest = read_manifest(tmp_path)
    variant = dataset_class(name).variants[params.data.variant_name]
    assert manifest.name == name
    assert manifest.truth == variant.truth
    assert manifest.class_names == tuple(variant.class_names)
    assert manifest.intrinsics == variant.intrinsics
    assert manifest.notes == tuple(checked.notes)
    dataset = dataset_class(name)(root, params.data.variant_name)
    for split, record in manifest.splits.items():
        columns = read_index(tmp_path / record.file)
        entries = [one.entry for one in checked.splits[split]]
        assert record.count == len(entries)
        assert record.sha256 == sha256((tmp_path / record.file).read_bytes()).hexdigest()
        assert columns["name"].tolist() == [entry.name for entry in entries]
        images = [dataset.read(entry, "image") for entry in entries]
        sizes = [list(image.shape[:2]) for image in images]
        assert np.stack([columns["height"], columns["width"]], axis=1).tolist() == sizes
        for entry, stored in zip(entries, columns["bytes"], strict=True):
            files = {root / file for file in entry.files.values()}
            assert stored == sum(len(file.read_bytes()) for file in files)
        if "segmentation" in params.tasks:
            labels = np.concatenate([dataset.read(e, "label").ravel() for e in entries])
            counts = [int((labels == label).sum()) for label in range(len(variant.class_names))]
            assert record.class_pixels == tuple(counts)


@pytest.mark.parametrize("name", ON_DISK)
def test_the_files_are_the_same_wherever_the_data_lies(
    name: str, downloads: Downloads, copy_of: Downloads, tmp_path: Path
) -> None:
    params, roots = disk_params(name), (downloads(name), copy_of(name))
    for turn, root in enumerate(roots):
        check(root, params, jobs=1 + turn).write(tmp_path / str(turn), params)
    first, second = (
        {path.name: path.read_bytes() for path in (tmp_path / str(turn)).iterdir()}
        for turn in range(2)
    )
    assert sorted(first) == ["manifest.json", "test.csv", "train.csv", "val.csv"]
    assert first == second
    for content in first.values():
        assert not re.search(rf'{roots[0]}|{tmp_path}|(^|[,"])/'.encode(), content)


def change_mat(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        file["labels"][3, 300, 200] = 1 + file["labels"][3, 300, 200] % 894


CHANGES: dict[str, Callable[[Path], None]] = {
    "nyuv2": lambda root: change_mat(root / MAT),
    "cityscapes": lambda root: change_png(
        next(root.glob("gtFine/train/aachen/*_labelIds.png")), (0, 0), 26
    ),
    "ade20k": lambda root: change_png(
        root / "annotations/training/ADE_train_00000002.png", (30, 30), 150
    ),
    "kitti": lambda root: change_png(
        next(root.glob("data_depth_annotated/train/*0001_sync/**/*.png")), (200, 200), 9999
    ),
    "coco": lambda root: change_png(
        root / "annotations/panoptic_train2017/000000000009.png", (30, 30), 0
    ),
}


@pytest.mark.parametrize("name", ON_DISK)
def test_a_changed_label_changes_the_checksum_of_its_split_alone(
    name: str, downloads: Downloads, copy_of: Downloads, tmp_path: Path
) -> None:
    params, root = disk_params(name, tasks=[*disk_params(name).tasks][:1]), copy_of(name)
    check(downloads(name), params).write(tmp_path / "before", params)
    CHANGES[name](root)
    check(root, params).write(tmp_path / "after", params)
    before, after = (
        {split: record.sha256 for split, record in read_manifest(tmp_path / when).splits.items()}
        for when in ("before", "after")
    )
    changed = [split for split in before if before[split] != after[split]]
    if name == "nyuv2":  # one file holds every image, and its bytes are in every row
        column = f"{ROLES[params.tasks[0]]}_sha256"
        rows = [read_index(tmp_path / when / "test.csv")[column] for when in ("before", "after")]
        assert rows[0].tolist() == rows[1].tolist()
        assert {*changed} & {"train", "val"}
    else:
        assert changed in (["train"], ["val"])


def test_the_order_of_the_tasks_changes_no_checksum(downloads: Downloads) -> None:
    root = downloads("cityscapes")
    one, other = (
        check(root, disk_params("cityscapes", tasks=tasks)).splits
        for tasks in (["segmentation", "depth"], ["depth", "segmentation"])
    )
    assert one == other


def test_packages_that_no_task_needs_may_be_absent(copy_of: Downloads) -> None:
    root = copy_of("cityscapes")
    params = disk_params("cityscapes", tasks=["segmentation"])
    complete = check(root, params)
    rmtree(root / "disparity")
    rmtree(root / "camera")
    assert check(root, params).splits == complete.splits
    said = problem(root, disk_params("cityscapes", tasks=["depth"]))
    assert f"{root}/disparity: is missing" in said
    assert "disparity_trainvaltest.zip" in said


def test_two_processes_find_what_one_finds(copy_of: Downloads) -> None:
    root, params = copy_of("ade20k"), disk_params("ade20k")
    assert check(root, params, jobs=2).splits == check(root, params).splits
    for number in (2, 5):
        (root / f"images/training/ADE_train_{number:08d}.jpg").unlink()
    assert problem(root, params, jobs=2) == problem(root, params)


def test_a_process_that_is_killed_is_told(
    downloads: Downloads, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the system does where memory ends."""
    monkeypatch.setattr(
        "dejavu.data.check.inspect", lambda *_: os.kill(os.getpid(), signal.SIGKILL)
    )
    root, params = downloads("ade20k"), disk_params("ade20k")
    with pytest.raises(DejaVuError, match=rf"^{root}: .*--jobs"):
        check(root, params, jobs=2)


def test_progress_is_reported_image_by_image(downloads: Downloads) -> None:
    calls: list[tuple[int, int, str]] = []

    def progress(done: int, total: int, note: str = "") -> None:
        calls.append((done, total, note))

    check_dataset("coco", "panoptic-133", downloads("coco"), ["segmentation"], 1, 1, progress)
    splits = ["train"] * 5 + ["val"] + ["test"] * 3
    assert calls == [(done, 9, split) for done, split in enumerate(splits, start=1)]


@pytest.mark.parametrize("name", ["coco", "nyuv2"])
def test_a_second_check_sees_what_has_changed(name: str, copy_of: Downloads) -> None:
    root, params = copy_of(name), disk_params(name, tasks=["segmentation"])
    before = check(root, params).splits
    if name == "coco":
        path = root / "annotations/panoptic_train2017.json"
        annotations = json.loads(path.read_text())
        segments = annotations["annotations"][-1]["segments_info"]
        segments[0]["category_id"] = 1 + segments[0]["category_id"] % 2  # person, or bicycle
        path.write_text(json.dumps(annotations))
    else:
        (root / MAT).rename(root / "first.mat")
        (root / MAT).write_bytes((root / "first.mat").read_bytes())
        change_mat(root / MAT)
    assert check(root, params).splits != before


# ---- held-out images -----------------------------------------------------------------------------

entries = st.lists(st.integers(0, 5), min_size=2, max_size=12).map(
    lambda groups: [Entry(f"{i:02d}", f"g{group}", {}) for i, group in enumerate(groups)]
)
quick = settings(max_examples=30)


@quick
@given(entries, st.integers(1, 4), st.randoms(use_true_random=False))
def test_whole_groups_are_held_out_in_any_order(
    listed: list[Entry], count: int, shuffler: Any
) -> None:
    groups = [entry.group for entry in listed]
    assume(count <= len(listed) - max(map(groups.count, groups)))  # then some group is left
    kept, held = hold_out(listed, count)
    assert sorted([*kept, *held], key=lambda e: e.name) == listed
    assert kept == [entry for entry in listed if entry in kept], "the order changed"
    assert len(held) >= count
    assert not {entry.group for entry in kept} & {entry.group for entry in held}
    shuffled = shuffler.sample(listed, len(listed))
    assert {entry.name for entry in hold_out(shuffled, count)[1]} == {e.name for e in held}
    # No group is held out in vain: without the last one there are too few.
    sizes = sorted(sum(entry.group == g for entry in held) for g in {e.group for e in held})
    assert len(held) - sizes[-1] < count


def test_groups_stay_held_out_when_images_are_added() -> None:
    few = [Entry(f"{i}", f"g{i}", {}) for i in range(8)]
    more = [*few, *(Entry(f"{i}b", f"g{i}", {}) for i in range(8))]
    held = {entry.group for entry in hold_out(few, 2)[1]}
    assert {entry.group for entry in hold_out(more, 4)[1]} == held
    assert held != {"g0", "g1"}, "the first groups of the list"


def test_nothing_left_to_train_on_is_an_error(downloads: Downloads) -> None:
    params = disk_params("cityscapes", data={"name": "cityscapes", "val": 4})
    said = problem(downloads("cityscapes"), params)
    assert "data.val: 4 images cannot be held out of 6 training images in 2 groups" in said
    assert "lower data.val" in said


# ---- needs of a study ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("train", "message"),
    [
        ({"subset": 4}, r"train\.subset: 4 is more than the 3 images to draw from"),
        ({"subset": None, "batch_size": 4}, r"train\.batch_size: 4 is more than the 3 images"),
        (
            {"subset": None, "batch_size": 2, "augmentation": {"border": [0, 65, 0, 96]}},
            r"border: needs images of at least 65 x 96, and \w+ is 64 x 96",
        ),
        (
            {"subset": None, "batch_size": 2, "augmentation": {"border": [0, 64, 1, 97]}},
            r"border: needs images of at least 64 x 97, and \w+ is 64 x 96",
        ),
    ],
)
def test_a_study_that_asks_for_more_than_there_is_is_refused(
    train: dict[str, Any], message: str, downloads: Downloads, tmp_path: Path
) -> None:
    recipe = {"crop": [32, 48]} | train.get("augmentation", {})
    params = disk_params("cityscapes", train=TINY["train"] | train | {"augmentation": recipe})
    with pytest.raises(ParamsError, match=message):
        check(downloads("cityscapes"), params).write(tmp_path / "study", params)
    assert not (tmp_path / "study").exists()


@pytest.mark.parametrize("size", [(480, 640), (479, 640), (480, 641), (375, 1242)])
@pytest.mark.parametrize("split", ["val", "test"])
def test_eigens_crop_is_given_for_one_size(
    size: tuple[int, int], split: str, downloads: Downloads, tmp_path: Path
) -> None:
    params = disk_params("cityscapes", evaluation={"depth_crop": "eigen"})
    checked = check(downloads("cityscapes"), params)
    for found in (checked.splits["val"], checked.splits["test"]):
        found[:] = [replace(one, size=(480, 640)) for one in found]
    checked.splits[split][-1] = replace(checked.splits[split][-1], size=size)
    if size == (480, 640):
        checked.write(tmp_path / "study", params)
        return
    height, width = size
    with pytest.raises(
        ParamsError,
        match=rf"depth_crop: needs images of 480 x 640, but they are {height} x {width}",
    ):
        checked.write(tmp_path / "study", params)
    without = disk_params("cityscapes", tasks=["segmentation"], evaluation=params.evaluation)
    checked.write(tmp_path / "study", without)
