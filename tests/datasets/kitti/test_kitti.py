"""KITTI as downloaded: what is read is what was rendered, on the images of the Eigen split."""

import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dejavu.datasets.kitti import TEST_DRIVES, Dataset
from dejavu.datasets.reading.raw import Array, Entry
from dejavu.datasets.reading.registry import dataset_class
from dejavu.runtime.errors import DataError
from tests.support.builders import kitti as builder
from tests.support.listings import read_all_without_writing, shuffle_listings
from tests.support.studies import Downloads

TEST_LIST = "splits/eigen_test_files.txt"
TRAIN_LIST = "splits/eigen_train_files.txt"
TEST_FOLDER = f"2011_09_26/{builder.TEST_DRIVE}_sync"


@pytest.fixture
def root(downloads: Downloads) -> Path:
    return downloads("kitti")


@pytest.fixture
def copy(copy_of: Downloads) -> Path:
    return copy_of("kitti")


def opened(root: Path, variant: str = "improved") -> Dataset:
    return Dataset(root, variant)


def index_of(entry: Entry) -> int:
    """The index of the rendered scene."""
    number = int(entry.name.split("_image_")[1])
    if entry.group == builder.TEST_DRIVE:
        return 6 if number == 0 else 7 + number - builder.FIRST_FRAME
    return 2 * (number - builder.FIRST_FRAME) + builder.TRAIN_DRIVES.index(entry.group)


def both(dataset: Dataset) -> list[Entry]:
    return [*dataset.entries("train"), *dataset.entries("test")]


def ahead(drive: str, index: int, camera: str = "02") -> Array:
    """The distance ahead of the scanner at each measured pixel, else 0."""
    _, depth = builder.pixels(drive, index)
    rows, columns = np.nonzero(builder.measured(depth.shape))
    expected = np.zeros(depth.shape, np.float32)
    expected[rows, columns] = builder.points_at(rows, columns, depth[rows, columns], camera)[:, 0]
    return expected


def test_images_and_improved_depth_are_those_that_were_rendered(root: Path) -> None:
    dataset = opened(root)
    for entry in both(dataset):
        image, depth = builder.pixels(entry.group, index_of(entry))
        np.testing.assert_array_equal(dataset.read(entry, "image"), image)
        found, known = dataset.read(entry, "depth"), builder.measured(depth.shape)
        assert found.dtype == np.float32
        np.testing.assert_array_equal(found > 0, known)
        np.testing.assert_allclose(found[known], depth[known], rtol=0, atol=0.5001 / 256)


def test_raw_depth_is_the_distance_ahead_of_the_scanner(root: Path) -> None:
    dataset = opened(root, "raw")
    for entry in both(dataset):
        found = dataset.read(entry, "depth")
        np.testing.assert_array_equal(found, ahead(entry.group, index_of(entry)))
        _, depth = builder.pixels(entry.group, index_of(entry))
        beyond = (found - depth)[found > 0]  # distance ahead of the scanner, beyond the depth
        assert 0.2 < np.median(beyond) < 0.35


def test_the_right_camera_has_its_own_projection(copy: Path) -> None:
    builder.write_frame(copy, builder.TEST_DRIVE, 40, 3, camera="03", part="val")
    (copy / TEST_LIST).write_text(f"{TEST_FOLDER} 40 r\n")
    for variant in ("raw", "improved"):
        (entry,) = opened(copy, variant).entries("test")
        assert entry.name == f"{builder.TEST_DRIVE}_sync_image_0000000040_image_03"
        assert entry.files["image"] == f"raw/{TEST_FOLDER}/image_03/data/0000000040.png"
    found = opened(copy, "raw").read(opened(copy, "raw").entries("test")[0], "depth")
    np.testing.assert_array_equal(found, ahead(builder.TEST_DRIVE, 3, "03"))


def test_the_splits_are_those_of_the_lists(root: Path) -> None:
    train, test = (opened(root).entries(split) for split in ("train", "test"))
    assert [index_of(entry) for entry in train] == [0, 2, 4, 1, 3, 5]  # drive by drive
    assert {entry.group for entry in train} == set(builder.TRAIN_DRIVES)
    assert [entry.name for entry in test] == [
        f"{builder.TEST_DRIVE}_sync_image_{number:010d}_image_02" for number in (5, 6, 7)
    ]
    assert {entry.group for entry in test} == {builder.TEST_DRIVE}
    for name, _, files, _ in (vars(entry).values() for entry in test):
        frame = name.split("_image_")[1]
        assert files["image"] == f"raw/{TEST_FOLDER}/image_02/data/{frame}.png"
        assert files["depth"] == (
            f"data_depth_annotated/val/{builder.TEST_DRIVE}_sync/proj_depth/groundtruth/image_02/"
            f"{frame}.png"
        )


def test_only_the_improved_ground_truth_leaves_the_first_frame_out(root: Path) -> None:
    numbers = {
        variant: [index_of(entry) for entry in opened(root, variant).entries("test")]
        for variant in Dataset.variants
    }
    assert numbers == {"improved": [7, 8, 9], "raw": [6, 7, 8, 9]}


def test_both_forms_of_a_list_are_the_same(copy: Path) -> None:
    before = opened(copy, "raw").entries("test")
    lines = [f"{TEST_FOLDER}/image_02/data/{number:010d}" for number in (7, 0, 5, 6)]
    for tail in (".png", ".jpg", ".png depth/0000000007.png 721.5377", f".jpg {TEST_FOLDER}"):
        (copy / TEST_LIST).write_text("\n".join(line + tail for line in lines))
        assert opened(copy, "raw").entries("test") == before
    (copy / TEST_LIST).write_text("".join(f"{TEST_FOLDER} {n} l\r\n\n" for n in (5, 0, 7, 6)))
    assert opened(copy, "raw").entries("test") == before


def test_without_a_train_list_all_drives_without_test_images_are_trained_on(copy: Path) -> None:
    before = opened(copy).entries("train")
    (copy / TRAIN_LIST).unlink()
    builder.write_frame(copy, "2011_09_26_drive_0117", 9, 1)  # another of the 28
    shutil.copytree(
        copy / "raw/2011_09_26" / f"{builder.TRAIN_DRIVES[0]}_sync",
        copy / "raw/2011_09_26" / f"{builder.TRAIN_DRIVES[0]}_extract",
    )
    builder.write_frame(copy, builder.TRAIN_DRIVES[1], 2, 1)  # without improved ground truth
    assert opened(copy).entries("train") == before
    assert len(opened(copy, "raw").entries("train")) == len(before) + 1


@pytest.mark.parametrize("listed", [True, False])
def test_images_may_have_been_converted_to_jpeg(copy: Path, listed: bool) -> None:
    if not listed:
        (copy / TRAIN_LIST).unlink()
    before = {e.name: e for e in both(opened(copy, "raw"))}
    image = opened(copy, "raw").read(next(iter(before.values())), "image")
    assert not any("JPEG" in note for note in opened(copy).notes())
    for path in copy.glob("raw/*/*/image_02/data/*.png"):
        Image.open(path).save(path.with_suffix(".jpg"), quality=95)
        path.unlink()
    dataset = opened(copy, "raw")
    found = {e.name: e for e in both(dataset)}
    assert [*found] == [*before]
    for name, entry in found.items():
        published = before[name].files
        assert entry.files == published | {"image": published["image"].replace(".png", ".jpg")}
    converted = dataset.read(next(iter(found.values())), "image")
    assert 0 < abs(converted.astype(int) - image).mean() < 5
    assert any("JPEG" in note for note in dataset.notes())


def test_there_are_28_test_drives() -> None:
    assert len(TEST_DRIVES) == 28
    assert builder.TEST_DRIVE in TEST_DRIVES
    assert not TEST_DRIVES & {*builder.TRAIN_DRIVES}


def test_the_days_may_lie_in_the_root_itself(root: Path, tmp_path: Path) -> None:
    builder.build(tmp_path, raw="")
    for variant in Dataset.variants:
        below, here = (both(opened(folder, variant)) for folder in (root, tmp_path))
        assert [e.files["image"] for e in below] == [f"raw/{e.files['image']}" for e in here]
        first, second = (
            opened(folder, variant).read(entries[-1], "depth")
            for folder, entries in ((root, below), (tmp_path, here))
        )
        np.testing.assert_array_equal(first, second)


def test_the_root_may_be_a_folder_of_links(copy: Path, tmp_path: Path) -> None:
    (linked := tmp_path / "linked").mkdir()
    shutil.copytree(copy / "splits", linked / "splits")
    (copy / TRAIN_LIST).unlink()
    (linked / TRAIN_LIST).unlink()
    (linked / "data_depth_annotated").symlink_to(copy / "data_depth_annotated")
    (linked / "raw").mkdir()
    for day in (copy / "raw").iterdir():
        (linked / "raw" / day.name).symlink_to(day)
    assert both(opened(linked)) == both(opened(copy))
    entry = opened(linked, "raw").entries("train")[0]
    assert opened(linked, "raw").read(entry, "depth").any()


def test_the_order_of_a_directory_does_not_matter(
    copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (copy / TRAIN_LIST).unlink()
    before = both(opened(copy))
    shuffle_listings(monkeypatch)
    assert both(opened(copy)) == before


def line_of(text: str) -> Callable[[Path], None]:
    """Append a line to the list of test images."""

    def append(root: Path) -> None:
        path = root / TEST_LIST
        path.write_text(path.read_text() + text + "\n")

    return append


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("0000000069 l", "line 5: '0000000069 l' .*DATE/DRIVE_sync FRAME l"),
        (f"2011_09_28/{builder.TEST_DRIVE}_sync 5 l", "line 5: .*DATE/DRIVE_sync FRAME l"),
        (f"{TEST_FOLDER} 5 left", "line 5: .*DATE/DRIVE_sync FRAME l"),
        (f"{TEST_FOLDER}/image_02/data/5.png", "line 5: .*DATE/DRIVE_sync FRAME l"),
        (f"{TEST_FOLDER} 5 l", r"line 5: .*image of line 3\b"),
        (f"{TEST_FOLDER}/image_02/data/0000000005.jpg", r"line 5: .*image of line 3\b"),
        (f"{TEST_FOLDER} 99 l", "line 5: names .*0000000099.png, which is missing: unpack"),
        ("2011_09_26/2011_09_26_drive_0001_sync 5 l", "line 5: 2011_09_26_drive_0001 .*28 drives"),
    ],
)
def test_a_line_that_is_no_test_image_is_refused(copy: Path, line: str, message: str) -> None:
    line_of(line)(copy)
    with pytest.raises(DataError, match=rf"eigen_test_files\.txt, {message}"):
        opened(copy).entries("test")


def test_a_missing_list_says_what_to_do(copy: Path) -> None:
    dataset = opened(copy)
    (copy / TEST_LIST).unlink()
    with pytest.raises(
        DataError, match=r"(?s)eigen_test_files\.txt: is missing.*splits/.*monodepth"
    ):
        dataset.entries("test")
    with pytest.raises(DataError, match=r"eigen_test_files\.txt: is missing"):
        opened(copy)


def test_a_list_that_is_no_text_is_refused(copy: Path) -> None:
    (copy / TEST_LIST).write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match=r"eigen_test_files\.txt: cannot be read"):
        opened(copy).entries("test")


def test_a_listed_drive_without_any_improved_ground_truth_is_refused(copy: Path) -> None:
    shutil.rmtree(copy / "data_depth_annotated/val")
    with pytest.raises(DataError, match=rf"(?s)annotated/\*/{builder.TEST_DRIVE}_sync: is missing"):
        opened(copy).entries("test")
    assert len(opened(copy, "raw").entries("test")) == 4
    assert len(opened(copy).entries("train")) == 6


def test_improved_depth_of_8_bits_is_refused(copy: Path) -> None:
    entry = opened(copy).entries("test")[0]
    path = copy / entry.files["depth"]
    Image.fromarray(np.asarray(Image.open(path)).astype(np.uint8)).save(path)
    with pytest.raises(
        DataError, match=r"0000000005\.png: is a PNG of 8-bit grey; expected a 16-bit"
    ):
        opened(copy).read(entry, "depth")


def test_a_truncated_scan_is_refused(copy: Path) -> None:
    entry = opened(copy, "raw").entries("test")[0]
    path = copy / entry.files["depth"]
    path.write_bytes(path.read_bytes()[:-6])
    with pytest.raises(DataError, match=r"0000000000\.bin: has \d+ bytes"):
        opened(copy, "raw").read(entry, "depth")


def test_a_day_without_calibration_is_refused(copy: Path) -> None:
    (copy / "raw/2011_09_26/calib_velo_to_cam.txt").unlink()
    dataset = opened(copy, "raw")
    with pytest.raises(DataError, match=r"calib_velo_to_cam\.txt: is missing.*2011_09_26_calib"):
        dataset.read(dataset.entries("test")[0], "depth")


@pytest.mark.parametrize(("folder", "level"), [("splits", "too low"), ("..", "too high")])
def test_a_folder_one_level_off_is_refused(copy: Path, folder: str, level: str) -> None:
    with pytest.raises(DataError, match=f"one level {level} for KITTI: give .*/copies/kitti$"):
        opened((copy / folder).resolve())


def test_a_read_only_folder_is_read_and_left_as_it_was(copy: Path) -> None:
    for variant in Dataset.variants:
        read_all_without_writing(copy, partial(opened, variant=variant))


def test_each_variant_names_its_ground_truth() -> None:
    assert dataset_class("kitti") is Dataset
    truths = [variant.truth for variant in Dataset.variants.values()]
    assert [sorted(truth) for truth in truths] == [["depth"], ["depth"]]
    assert "improved" in truths[0]["depth"]
    assert "ahead of the scanner" in truths[1]["depth"]
