"""Cityscapes: street scenes of many cities, with fine labels and stereo disparity."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np

from dejavu.datasets.reading.conventions import IGNORE_INDEX
from dejavu.datasets.reading.decoding import read_indices, read_uint16
from dejavu.datasets.reading.raw import Array, Entry, RawDataset, Variant
from dejavu.runtime.errors import DataError
from dejavu.runtime.strict_json import read_json

CLASSES: tuple[tuple[int, str, tuple[int, int, int]], ...] = (
    (7, "road", (128, 64, 128)),
    (8, "sidewalk", (244, 35, 232)),
    (11, "building", (70, 70, 70)),
    (12, "wall", (102, 102, 156)),
    (13, "fence", (190, 153, 153)),
    (17, "pole", (153, 153, 153)),
    (19, "traffic light", (250, 170, 30)),
    (20, "traffic sign", (220, 220, 0)),
    (21, "vegetation", (107, 142, 35)),
    (22, "terrain", (152, 251, 152)),
    (23, "sky", (70, 130, 180)),
    (24, "person", (220, 20, 60)),
    (25, "rider", (255, 0, 0)),
    (26, "car", (0, 0, 142)),
    (27, "truck", (0, 0, 70)),
    (28, "bus", (0, 60, 100)),
    (31, "train", (0, 80, 100)),
    (32, "motorcycle", (0, 0, 230)),
    (33, "bicycle", (119, 11, 32)),
)
"""The official labelId, name and colour of each evaluated class, by label (the trainId)."""

IDS = np.zeros(256, np.uint8)
"""The labelId of each label; 0, unlabelled, where there is none."""
IDS[: len(CLASSES)] = [identity for identity, _, _ in CLASSES]

LABELS = np.full(256, IGNORE_INDEX, np.uint8)
"""The label of each labelId; ids that are not evaluated are ignored."""
LABELS[IDS[: len(CLASSES)]] = np.arange(len(CLASSES))

LAST_ID = 33
"""The highest labelId that the data set defines."""

FOLDERS = {"train": "train", "test": "val"}
"""Folder of each split; the labels of the official test split are not published."""

SUFFIXES = {
    "leftImg8bit": "_leftImg8bit.png",
    "gtFine": "_gtFine_labelIds.png",
    "disparity": "_disparity.png",
    "camera": "_camera.json",
}
"""Suffix of the file names, by package."""


class Dataset(RawDataset):
    """Cityscapes (Cordts et al., 2016), with its packages unpacked into one folder.

    Depth is metres along the optical axis, baseline * fx / d, with the disparity d = (p - 1) / 256
    pixels of a stored value p. It is unknown where p is 0 (not measured) or 1 (infinitely far).
    Baseline and fx are read from each image's own file of the camera package. There are no
    default values: baseline * fx is 0.209313 m * 2262.52 px in one car and 0.222126 m * 2268.36 px
    in another, 6 % more, and a wrong scale would not show in the depth map.

    Example:
        >>> Dataset.variants["fine"].class_names[:2]
        ('road', 'sidewalk')
        >>> LABELS[[7, 33, 0]].tolist()
        [0, 18, 255]
    """

    title = "Cityscapes"
    variants: ClassVar[Mapping[str, Variant]] = {
        "fine": Variant(
            description="2975 training and 500 validation images of 1024 x 2048, fine labels",
            truth={
                "segmentation": "gtFine labelIds, the 19 evaluated classes; scored on val",
                "depth": "stereo disparity (SGM), baseline * fx / disparity in metres; no LiDAR",
            },
            class_names=tuple(name for _, name, _ in CLASSES),
            palette=tuple(colour for _, _, colour in CLASSES),
            counts={"train": 2975, "test": 500},
        )
    }
    markers = ("leftImg8bit/train", "leftImg8bit/val")
    tree = """\
leftImg8bit/{train,val}/CITY/*_leftImg8bit.png      leftImg8bit_trainvaltest.zip
gtFine/{train,val}/CITY/*_gtFine_labelIds.png       gtFine_trainvaltest.zip, for segmentation
disparity/{train,val}/CITY/*_disparity.png          disparity_trainvaltest.zip, for depth
camera/{train,val}/CITY/*_camera.json               camera_trainvaltest.zip, for depth"""
    source = (
        "https://www.cityscapes-dataset.com/downloads/ after registration (or the csDownload "
        "command of cityscapesscripts); for non-commercial use, not to be passed on"
    )

    def entries(self, split: str) -> list[Entry]:  # noqa: D102
        folder = FOLDERS[split]
        # An image missing from an incomplete package is still listed by its label file.
        frames = self._frames("leftImg8bit", folder) | self._frames("gtFine", folder)
        return [self._entry(folder, city, name) for name, city in sorted(frames)]

    def shared_files(self, roles: Sequence[str]) -> list[str]:  # noqa: D102
        cameras = self.glob(f"camera/*/*/*{SUFFIXES['camera']}") if "depth" in roles else ()
        return [path.relative_to(self.root).as_posix() for path in cameras]

    def read_label(self, entry: Entry) -> Array:  # noqa: D102
        self._require_package("gtFine")
        path = self.path(entry, "label")
        ids = read_indices(path)
        if ids.max() > LAST_ID:
            raise DataError(
                f"{path}: holds the id {ids.max()}; the labelIds of Cityscapes are 0 to "
                f"{LAST_ID}: are these trainIds, or was the file converted? Unpack "
                "gtFine_trainvaltest.zip again"
            )
        return LABELS[ids]

    def read_depth(self, entry: Entry) -> Array:  # noqa: D102
        self._require_package("disparity")
        self._require_package("camera")
        stored = read_uint16(self.path(entry, "depth"))
        disparity = (stored.astype(np.float32) - 1) / 256
        scale = _baseline_times_fx(self._camera(entry), *stored.shape)
        return np.divide(scale, disparity, out=np.zeros_like(disparity), where=stored > 1)

    def to_ids(self, labels: Array) -> Array:  # noqa: D102
        return IDS[labels]

    def _frames(self, package: str, folder: str) -> set[tuple[str, str]]:
        """Return the names of the images of one package, with their cities."""
        suffix = SUFFIXES[package]
        found = self.glob(f"{package}/{folder}/*/*{suffix}")
        return {(path.name.removesuffix(suffix), path.parent.name) for path in found}

    def _entry(self, folder: str, city: str, name: str) -> Entry:
        roles = {"image": "leftImg8bit", "label": "gtFine", "depth": "disparity"}
        files = {
            role: f"{package}/{folder}/{city}/{name}{SUFFIXES[package]}"
            for role, package in roles.items()
        }
        return Entry(name, city, files)

    def _camera(self, entry: Entry) -> Path:
        folder = Path(entry.files["depth"]).parent.relative_to("disparity")
        return self.root / "camera" / folder / f"{entry.name}{SUFFIXES['camera']}"

    def _require_package(self, package: str) -> None:
        if not (self.root / package).is_dir():
            raise self.missing(package)


def _baseline_times_fx(path: Path, height: int, width: int) -> float:
    """Return baseline times fx (metres times pixels) from the calibration of an H x W map."""
    mend = "unpack camera_trainvaltest.zip again"
    try:
        camera = read_json(path)
        baseline, fx = float(camera["extrinsic"]["baseline"]), float(camera["intrinsic"]["fx"])
        centre = float(camera["intrinsic"]["u0"]), float(camera["intrinsic"]["v0"])
    except FileNotFoundError:
        raise DataError(f"{path}: is missing, but depth needs it; {mend}") from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path}: is not a calibration file ({error!r}); {mend}") from None
    if not (0 < baseline < math.inf and 0 < fx < math.inf):
        raise DataError(
            f"{path}: baseline {baseline} and fx {fx} must be above 0 and finite; {mend}"
        )
    # A calibration does not state its image size, but its principal point is near the image
    # centre. Elsewhere, the disparity map was resized, and its depths would be wrong.
    if not all(abs(c / n - 0.5) < 1 / 6 for c, n in zip(centre, (width, height), strict=True)):
        raise DataError(
            f"{path}: the principal point {centre} is not near the centre of the {height} x "
            f"{width} disparity map: was it resized? Unpack disparity_trainvaltest.zip again"
        )
    return baseline * fx
