"""NYUv2: indoor images with labels and depth, as published and as the multi-task bundle."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar, Self

import numpy as np

from dejavu.datasets.fetching.download import Download
from dejavu.datasets.nyuv2.classes import IDS_13, NAMES_13, NAMES_40, palette
from dejavu.datasets.nyuv2.mat import MD5, LabelledMat, read_variable
from dejavu.datasets.reading.conventions import IGNORE_INDEX
from dejavu.datasets.reading.decoding import read_colours, read_indices
from dejavu.datasets.reading.normals_from_depth import normals_from_depth
from dejavu.datasets.reading.raw import Array, Entry, RawDataset, Variant
from dejavu.datasets.reading.text import read_text
from dejavu.runtime.errors import DataError

MAT = "nyu_depth_v2_labeled.mat"
SPLITS = "splits.mat"
MAPPING_40 = "classMapping40.mat"
MAPPING_13 = "class13Mapping.mat"

RAW_CLASSES = 894
"""Classes of the labels in the .mat; their ids are 1 to 894."""

INTRINSICS = (518.857901, 519.469611, 325.582449 - 0.5, 253.736166 - 0.5)
"""fx, fy, cx and cy of the RGB camera, pixels: camera_params.m of the toolbox, where the top left
pixel's centre is at (1, 1)."""

MEASURED = {
    "depth": f"{MAT}, depths (Kinect, in-painted; not rawDepths), metres",
    "normals": "computed from the in-painted depths by the RGB camera's known intrinsics: planes "
    "fitted in 11 x 11 pixels",
}
"""Source of the labelled variants' depth and normals, by task."""

SUFFIXES = {
    "image": (".jpg", ".png"),
    "label": (".png",),
    "depth": (".npy",),
    "normals": (".npy", ".png"),
}
"""Known suffixes of the bundles, by role; NYUD_MT.tgz has the first, NYUDv2.tar.gz the last."""

FOLDERS = {"image": "images", "label": "segmentation", "depth": "depth", "normals": "normals"}
"""Folders of the bundles, by role."""


COUNTS = {"train": 795, "test": 654}
"""Images of the official split."""

_NYU = "http://horatio.cs.nyu.edu/mit/silberman"
_NYU_CLASSES = "https://github.com/ankurhanda/nyuv2-meta-data/raw/master"


class Dataset(RawDataset):
    """NYU Depth v2 (Silberman et al., 2012): 795 training and 654 test images.

    The constructor returns a `Labelled` or a `Bundle`, depending on the variant.

    Example:
        >>> Dataset.variants["labelled-13"].class_names[0]
        'bed'
    """

    title = "NYUv2"
    variants: ClassVar[Mapping[str, Variant]] = {
        "labelled-40": Variant(
            description="795 training and 654 test images of the labelled .mat, 40 classes",
            truth={
                "segmentation": f"{MAT}, 40 classes by {MAPPING_40} (Gupta et al., 2013)",
                **MEASURED,
            },
            class_names=NAMES_40,
            palette=palette(len(NAMES_40)),
            counts=COUNTS,
            intrinsics=INTRINSICS,
        ),
        "labelled-13": Variant(
            description="795 training and 654 test images of the labelled .mat, 13 classes",
            truth={
                "segmentation": f"{MAT}, 13 classes (Couprie et al., 2013) of 40 by {MAPPING_40}",
                **MEASURED,
            },
            class_names=NAMES_13,
            palette=palette(len(NAMES_13)),
            counts=COUNTS,
            intrinsics=INTRINSICS,
        ),
        "nyud-mt": Variant(
            description="795 training and 654 test images of the multi-task bundle, 425 x 560",
            truth={
                "segmentation": "NYUD-MT bundle, 40 classes",
                "depth": "NYUD-MT bundle, metres",
                "normals": "NYUD-MT bundle, read as x right, y down, z towards the camera",
            },
            class_names=NAMES_40,
            palette=palette(len(NAMES_40)),
            counts=COUNTS,
        ),
    }
    markers: ClassVar[Sequence[str]] = (MAT, SPLITS, MAPPING_40)
    # The official split is by scene, but it was not verified on the real file that train and test
    # share no scene name: shared scenes are noted, not refused.
    groups_are_apart: ClassVar[bool] = False
    # Sizes and checksums are as recorded by users of the files: the MD5 by several loaders, the
    # SHA-256 of the split by several benchmarks. For the mappings nobody records one: theirs are of
    # the copies in github.com/markshih91/refinenet_pytorch, whose split has the recorded checksum.
    downloads: ClassVar[Sequence[Download]] = (
        Download(
            f"{_NYU}/nyu_depth_v2/nyu_depth_v2_labeled.mat",
            "nyu_depth_v2_labeled.mat",
            checksum=f"md5:{MD5}",
            bytes=2_972_037_809,
        ),
        Download(
            f"{_NYU}/indoor_seg_sup/splits.mat",
            "splits.mat",
            checksum="sha256:6e081404491a8bfba2f066beaa9713ef6046f9007aa5f799f2a350506a580cee",
            bytes=2_626,
        ),
        Download(
            f"{_NYU_CLASSES}/classMapping40.mat",
            "classMapping40.mat",
            checksum="sha256:ff177194cce9a2163517f1e1e6f1c64c50987162f542dedddc04bbf6ebe6d851",
            bytes=10_474,
        ),
        Download(
            f"{_NYU_CLASSES}/class13Mapping.mat",
            "class13Mapping.mat",
            checksum="sha256:4e79ab24c345896c19abc62476b2c3520f3e2db00f71f868c5027208af48a3de",
            bytes=408,
        ),
    )
    tree = f"""\
{MAT}      1449 images with labels and depth
{SPLITS}                    the official training and test images
{MAPPING_40}            894 classes to 40"""
    source = (
        f"{MAT} and {SPLITS}: https://cs.nyu.edu/~fergus/datasets/nyu_depth_v2.html (md5 of the "
        f"first: {MD5}); {MAPPING_40}: https://github.com/ankurhanda/nyuv2-meta-data"
    )

    def __new__(cls, root: Path, variant: str) -> Self:  # noqa: D102
        kind = Bundle if variant == "nyud-mt" else Labelled
        made: Self = object.__new__(kind)  # type: ignore[assignment]
        return made

    def to_ids(self, labels: Array) -> Array:  # noqa: D102
        return np.where(labels == IGNORE_INDEX, 0, labels + 1).astype(np.uint8)


class Labelled(Dataset):
    """The labelled images as published: one HDF5 file, with small files beside it."""

    published: ClassVar[Mapping[str, str]] = {MAT: f"md5:{MD5}"}
    computed: ClassVar[Mapping[str, str]] = {"normals": "depth"}

    def __init__(self, root: Path, variant: str) -> None:
        super().__init__(root, variant)
        self._mat = LabelledMat(root / MAT)
        self._labels: Array | None = None

    def shared_files(self, roles: Sequence[str]) -> list[str]:  # noqa: D102
        return [MAPPING_40] if "label" in roles else []

    def entries(self, split: str) -> list[Entry]:  # noqa: D102
        count, scenes = len(self._mat), self._mat.scenes()
        if scenes is not None and len(scenes) != count:
            raise DataError(
                f"{self._mat.path}: holds {count} images but {len(scenes)} scene names; its md5 "
                f"must be {MD5}: download it again"
            )
        listed = []
        for number in self._numbers(f"{split}Ndxs", count):
            name = f"{number:04d}"
            group = scenes[number - 1] if scenes else name
            files = dict.fromkeys(FOLDERS, MAT)
            listed.append(Entry(name, group, files, position=number - 1))
        return listed

    def read_image(self, entry: Entry) -> Array:  # noqa: D102
        return self._mat.read("images", entry.position)

    def read_label(self, entry: Entry) -> Array:  # noqa: D102
        raw = self._mat.read("labels", entry.position)
        if raw.max() > RAW_CLASSES:
            raise DataError(
                f"{self._mat.path}: labels of image {entry.name} hold the class {raw.max()}; there "
                f"are {RAW_CLASSES} classes"
            )
        if self._labels is None:
            self._labels = self._label_of_each_class()
        return self._labels[raw]

    def read_depth(self, entry: Entry) -> Array:  # noqa: D102
        return self._mat.read("depths", entry.position)

    def read_normals(self, entry: Entry) -> Array:  # noqa: D102
        return normals_from_depth(self.read_depth(entry), INTRINSICS)

    def _numbers(self, key: str, count: int) -> list[int]:
        """Read the image numbers of a split, from 1."""
        path = self.root / SPLITS
        numbers = read_variable(path, key).ravel()
        wrong = [n for n in numbers.tolist() if n != int(n) or not 1 <= n <= count]
        if wrong:
            raise DataError(
                f"{path}: {key} lists image {wrong[0]}; {MAT} has the images 1 to {count}"
            )
        return sorted(int(number) for number in numbers)

    def _label_of_each_class(self) -> Array:
        """Return the label (uint8) of each of the classes 0 to 894."""
        path = self.root / MAPPING_40
        ids = read_variable(path, "mapClass").ravel()
        if len(ids) != RAW_CLASSES or not np.isin(ids, range(1, 41)).all():
            raise DataError(
                f"{path}: mapClass must map {RAW_CLASSES} classes to 1 to 40, but maps {len(ids)} "
                f"to {ids.min(initial=40)} to {ids.max(initial=1)}"
            )
        if self.variant_name == "labelled-13":
            self._require_published_13()
            ids = IDS_13[ids.astype(np.int64) - 1]
        return np.concatenate([[IGNORE_INDEX], ids - 1]).astype(np.uint8)

    def _require_published_13(self) -> None:
        """Refuse a file beside the data with a mapping to 13 classes other than the published."""
        path = self.root / MAPPING_13
        if not path.exists():
            return
        mapping = read_variable(path, "classMapping13")
        if "labels13" not in (mapping.dtype.names or ()):
            raise DataError(f"{path}: classMapping13 has no field labels13; download it again")
        if not np.array_equal(mapping["labels13"].item().ravel(), IDS_13):
            raise DataError(
                f"{path}: is not the published mapping of 40 classes to 13, which is used; "
                "download it again, or move it away"
            )


class Bundle(Dataset):
    """The bundle for multi-task learning: cropped images in separate files.

    Its normals are read as x right, y down and z towards the camera. The bundle does not document
    this: x and y follow training code that rotates the normals, and z follows the colour code of
    NYU's normals. `entries` checks the signs against the bundle's own depth.
    """

    markers = ("images", "segmentation", "gt_sets/train.txt", "gt_sets/val.txt")
    tree = """\
images/NAME.jpg                 or .png
segmentation/NAME.png
depth/NAME.npy
normals/NAME.npy                or .png
gt_sets/{train,val}.txt         a NAME per line"""
    source = (
        "NYUD_MT.tgz, linked from github.com/SimonVandenhende/Multi-Task-Learning-PyTorch, or "
        "NYUDv2.tar.gz, linked from github.com/brdav/atrc"
    )

    def entries(self, split: str) -> list[Entry]:  # noqa: D102
        path = self.root / "gt_sets" / ("train.txt" if split == "train" else "val.txt")
        try:
            names = sorted(read_text(path).split())
        except (OSError, ValueError) as error:
            raise DataError(f"{path}: cannot be read ({error}); unpack the bundle again") from None
        if not names:
            return []
        suffixes = {role: self._suffix(role, names[0]) for role in FOLDERS}
        entries = [
            Entry(name, name, {r: f"{FOLDERS[r]}/{name}{suffixes[r]}" for r in FOLDERS})
            for name in names
        ]
        self._require_axes(entries[0])
        return entries

    def read_label(self, entry: Entry) -> Array:  # noqa: D102
        path = self.path(entry, "label")
        ids = read_indices(path)
        if ids.max() > len(NAMES_40):
            raise DataError(
                f"{path}: holds the class {ids.max()}; classes are 1 to {len(NAMES_40)}, and 0 "
                "marks unlabelled pixels"
            )
        return np.where(ids == 0, IGNORE_INDEX, ids - 1).astype(np.uint8)

    def read_depth(self, entry: Entry) -> Array:  # noqa: D102
        return _read_floats(self.path(entry, "depth"), dimensions=2)

    def read_normals(self, entry: Entry) -> Array:  # noqa: D102
        path = self.path(entry, "normals")
        if path.suffix == ".png":
            vectors = read_colours(path).astype(np.float32) * (2 / 255) - 1
        else:
            vectors = _read_floats(path, dimensions=3)
            if vectors.shape[2] != 3:
                raise DataError(f"{path}: is {vectors.shape}; expected H x W x 3")
        length = np.linalg.norm(vectors, axis=2, keepdims=True)
        # 8 bits cannot store a zero vector: unknown normals are grey (length near 0) or black
        # (length sqrt(3)).
        known = (length > 0.5) & (length < 1.5)
        ours: Array = vectors * np.array([1, 1, -1], np.float32)
        return np.where(known, ours / np.where(known, length, 1), 0).astype(np.float32)

    def _suffix(self, role: str, name: str) -> str:
        """Return the suffix of a role's files, judged by the files of one image."""
        suffixes = SUFFIXES[role]
        there = [s for s in suffixes if (self.root / FOLDERS[role] / f"{name}{s}").exists()]
        return (there or suffixes)[0]

    def _require_axes(self, entry: Entry) -> None:
        """Compare the signs of an image's normals with its depth, if it has both.

        The focal length is the camera's, and the principal point is assumed at the image centre:
        the crop is not documented, and an offset of some pixels changes no sign.
        """
        if not all(self.path(entry, role).exists() for role in ("depth", "normals")):
            return
        normals, depth = self.read_normals(entry), self.read_depth(entry)
        if normals.shape[:2] != depth.shape:
            return  # data check reports this, for every image
        height, width = depth.shape
        fitted = normals_from_depth(depth, (*INTRINSICS[:2], width / 2, height / 2))
        agreement = (normals * fitted).sum(axis=(0, 1))
        wrong = [axis for axis, total in zip("xyz", agreement, strict=True) if total < 0]
        if wrong:
            raise DataError(
                f"{self.path(entry, 'normals')}: {' and '.join(wrong)} of the normals has the "
                "wrong sign for this image's depth; expected x right, y down, z towards the camera"
            )


def _read_floats(path: Path, dimensions: int) -> Array:
    try:
        with path.open("rb") as file:
            values = np.lib.format.read_array(file, allow_pickle=False)
    except FileNotFoundError:
        raise DataError(f"{path}: is missing; unpack the bundle again") from None
    except (OSError, ValueError, EOFError) as error:
        raise DataError(f"{path}: cannot be read ({error}); unpack the bundle again") from None
    if values.ndim != dimensions or not np.issubdtype(values.dtype, np.floating):
        raise DataError(
            f"{path}: is {values.shape} {values.dtype}; expected {dimensions} axes of floats"
        )
    floats: Array = values.astype(np.float32)
    return floats
