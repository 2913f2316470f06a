"""KITTI depth on the Eigen split, with the improved ground truth or the raw scans."""

import re
from collections.abc import Sequence
from typing import ClassVar, NamedTuple

import numpy as np

from dejavu.datasets.kitti.lidar import project, read_projection, read_scan
from dejavu.datasets.reading.decoding import read_uint16
from dejavu.datasets.reading.raw import Array, Entry, RawDataset, Variant
from dejavu.datasets.reading.text import read_text
from dejavu.runtime.errors import DataError

TEST_DRIVES = frozenset(
    f"{date}_drive_{number}"
    for date, numbers in {
        "2011_09_26": "0002 0009 0013 0020 0023 0027 0029 0036 0046 0048 0052 "
        "0056 0059 0064 0084 0086 0093 0096 0101 0106 0117",
        "2011_09_28": "0002",
        "2011_09_29": "0071",
        "2011_09_30": "0016 0018 0027",
        "2011_10_03": "0027 0047",
    }.items()
    for number in numbers.split()
)
"""The 28 drives with test images of Eigen et al. (2014)."""

_LISTS = {"train": "splits/eigen_train_files.txt", "test": "splits/eigen_test_files.txt"}
_ANNOTATED = "data_depth_annotated"
_DRIVE = r"(?P<date>\d{4}_\d\d_\d\d)/(?P<drive>(?P=date)_drive_\d{4})_sync"
_LINES = (
    re.compile(rf"{_DRIVE}/image_(?P<camera>0[23])/data/(?P<number>\d{{10}})\.(png|jpg)(\s.*)?"),
    re.compile(rf"{_DRIVE}\s+(?P<number>\d{{1,10}})\s+(?P<camera>[lr])"),
)
_SUFFIXES = (".png", ".jpg")
"""Suffix of an image as published, and as monodepth's and monodepth2's instructions convert it."""

_SIDES = {"l": "02", "r": "03"}


class _Frame(NamedTuple):
    drive: str
    number: str
    camera: str

    @property
    def folder(self) -> str:
        return f"{self.drive[:10]}/{self.drive}_sync"

    @property
    def image(self) -> str:
        """Path without its suffix."""
        return f"{self.folder}/image_{self.camera}/data/{self.number}"


class Dataset(RawDataset):
    """KITTI raw data, and the annotated depth of the KITTI depth benchmark.

    A list names the test images. Images of either split that have no improved ground truth, such
    as the first and last five frames of a drive, are left out. Without a list of training images,
    all left colour images of drives without Eigen's test images are training images.
    """

    title = "KITTI"
    variants: ClassVar = {
        "improved": Variant(
            "Eigen split, 652 test images that have the improved ground truth",
            {"depth": "KITTI improved ground truth (data_depth_annotated)"},
            counts={"test": 652},
        ),
        "raw": Variant(
            "Eigen split, 697 test images with the raw scans",
            {"depth": "KITTI raw LiDAR, projected; distance ahead of the scanner (as monodepth)"},
            counts={"test": 697},
        ),
    }
    markers: ClassVar = (_LISTS["test"],)
    tree = """\
ROOT/
  raw/                             (or its folders in ROOT itself)
    2011_09_26/
      calib_cam_to_cam.txt, calib_velo_to_cam.txt                        (variant raw)
      2011_09_26_drive_0001_sync/
        image_02/data/0000000000.png ...   (or .jpg; and image_03 if the lists name it)
        velodyne_points/data/0000000000.bin ...                          (variant raw)
  data_depth_annotated/            (variant improved)
    train/2011_09_26_drive_0001_sync/proj_depth/groundtruth/image_02/0000000005.png ...
    val/2011_09_26_drive_0002_sync/...
  splits/
    eigen_test_files.txt           (the 697 test images)
    eigen_train_files.txt          (may be left out: all drives without test images)
The lists have a line per image: its path, as monodepth's (what follows it is ignored, and .jpg
stands for .png), or drive, frame and side, as monodepth2's:
  2011_09_26/2011_09_26_drive_0002_sync/image_02/data/0000000069.png
  2011_09_26/2011_09_26_drive_0002_sync 0000000069 l
ROOT may be a folder of links to where the parts are."""
    source = (
        "https://www.cvlibs.net/datasets/kitti: raw data (synced and rectified, and calibration) "
        "and data_depth_annotated.zip, after registration; CC BY-NC-SA 3.0. The lists: "
        "utils/filenames of github.com/mrharicot/monodepth, or splits/eigen of "
        "github.com/nianticlabs/monodepth2"
    )

    def entries(self, split: str) -> list[Entry]:
        """List the images of the Eigen split that have a ground truth; see `RawDataset.entries`.

        Raises:
            DataError: a list is missing, has a malformed line, or names a missing image or one
                image twice; or a listed drive has no improved ground truth at all.
        """
        listed = split == "test" or (self.root / _LISTS[split]).exists()
        frames = self._listed(split) if listed else self._outside_test()
        depths = self._depths(frames, every_drive=listed)
        entries = [self._entry(frame, depth) for frame, depth in depths.items()]
        return sorted(entries, key=lambda entry: entry.name)

    def read_depth(self, entry: Entry) -> Array:  # noqa: D102
        path = self.path(entry, "depth")
        if self.variant_name == "improved":
            return read_uint16(path).astype(np.float32) / 256
        camera = self.path(entry, "image").parents[1].name.removeprefix("image_")
        return project(read_scan(path), read_projection(path.parents[3], camera))

    @property
    def _raw(self) -> str:
        return "raw/" if (self.root / "raw").is_dir() else ""

    def _entry(self, frame: _Frame, depth: str) -> Entry:
        # Named like the images of the depth benchmark's own selection.
        name = f"{frame.drive}_sync_image_{frame.number}_image_{frame.camera}"
        return Entry(name, frame.drive, {"image": self._image(frame), "depth": depth})

    def _image(self, frame: _Frame) -> str:
        """Return the path of an image: the published PNG file, or else a JPEG made of it."""
        png, jpg = (f"{self._raw}{frame.image}{suffix}" for suffix in _SUFFIXES)
        return jpg if (self.root / jpg).exists() and not (self.root / png).exists() else png

    def _listed(self, split: str) -> list[_Frame]:
        """Read the listed frames of a split."""
        path = self.root / _LISTS[split]
        try:
            lines = read_text(path).splitlines()
        except FileNotFoundError:
            raise self.missing(_LISTS[split]) from None
        except (OSError, ValueError) as error:
            raise DataError(f"{path}: cannot be read ({error}); copy the list again") from None
        lines_of: dict[_Frame, int] = {}
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            where = f"{path}, line {number}"
            frame = _parse(line.strip(), where)
            if frame in lines_of:
                raise DataError(f"{where}: repeats the image of line {lines_of[frame]}")
            self._check(frame, split, where)
            lines_of[frame] = number
        return list(lines_of)

    def _check(self, frame: _Frame, split: str, where: str) -> None:
        if split == "test" and frame.drive not in TEST_DRIVES:
            raise DataError(
                f"{where}: {frame.drive} is not one of the 28 drives with test images of the Eigen "
                "split: are the two lists swapped, or of another split?"
            )
        image = self.root / self._image(frame)
        if not image.exists():
            raise DataError(
                f"{where}: names {image}, which is missing: unpack {frame.drive}_sync.zip"
            )

    def shared_files(self, roles: Sequence[str]) -> list[str]:  # noqa: D102
        calibrations = self.glob(f"{self._raw}*/calib_*.txt")
        return [path.relative_to(self.root).as_posix() for path in calibrations]

    def notes(self) -> list[str]:  # noqa: D102
        notes = []
        if not (self.root / _LISTS["train"]).exists():
            notes.append(
                f"no {_LISTS['train']}: trained on every drive without test images, not Eigen's "
                "list"
            )
        if self.glob(f"{self._raw}*/*_sync/image_0[23]/data/*.jpg"):
            notes.append("images are JPEG files, which were made of the published PNG with a loss")
        return notes

    def _outside_test(self) -> list[_Frame]:
        """List the left colour images of all drives without test images."""
        drives = {
            path.name.removesuffix("_sync"): path.relative_to(self.root)
            for path in self.glob(f"{self._raw}*/*_drive_*_sync")
        }
        return [
            _Frame(drive, number, "02")
            for drive, path in drives.items()
            if drive not in TEST_DRIVES
            for number in sorted(
                {i.stem for s in _SUFFIXES for i in self.glob(f"{path}/image_02/data/*{s}")}
            )
        ]

    def _depths(self, frames: Sequence[_Frame], every_drive: bool) -> dict[_Frame, str]:
        """Return the ground-truth file of each frame that has one."""
        if self.variant_name == "raw":
            return {f: f"{self._raw}{f.folder}/velodyne_points/data/{f.number}.bin" for f in frames}
        drives = self.glob(f"{_ANNOTATED}/*/*_drive_*_sync")
        folders = {path.name: f"{_ANNOTATED}/{path.parent.name}/{path.name}" for path in drives}
        depths = {}
        for frame in frames:
            folder = folders.get(f"{frame.drive}_sync")
            if folder is None and every_drive:
                # In every drive of the Eigen split, all but the first and last frames have one.
                raise self.missing(f"{_ANNOTATED}/*/{frame.drive}_sync")
            path = f"{folder}/proj_depth/groundtruth/image_{frame.camera}/{frame.number}.png"
            if folder and (self.root / path).exists():
                depths[frame] = path
        return depths


def _parse(line: str, where: str) -> _Frame:
    for pattern in _LINES:
        if match := pattern.fullmatch(line):
            camera = _SIDES.get(match["camera"], match["camera"])
            return _Frame(match["drive"], match["number"].zfill(10), camera)
    raise DataError(
        f"{where}: {line!r} is not a KITTI image; expected DATE/DRIVE_sync/image_02/data/FRAME.png "
        "or DATE/DRIVE_sync FRAME l"
    )
