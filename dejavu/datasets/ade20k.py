"""ADE20K of the scene parsing challenge of 2016, with 150 classes."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np

from dejavu.datasets.fetching.download import Download
from dejavu.datasets.reading.conventions import IGNORE_INDEX
from dejavu.datasets.reading.decoding import read_indices
from dejavu.datasets.reading.raw import Array, Entry, RawDataset, Variant
from dejavu.datasets.reading.text import read_text
from dejavu.runtime.errors import DataError

NUM_CLASSES = 150

_NAMES = """
    wall, building, sky, floor, tree, ceiling, road, bed, windowpane, grass, cabinet, sidewalk,
    person, earth, door, table, mountain, plant, curtain, chair, car, water, painting, sofa,
    shelf, house, sea, mirror, rug, field, armchair, seat, fence, desk, rock, wardrobe, lamp,
    bathtub, railing, cushion, base, box, column, signboard, chest of drawers, counter, sand,
    sink, skyscraper, fireplace, refrigerator, grandstand, path, stairs, runway, case,
    pool table, pillow, screen door, stairway, river, bridge, bookcase, blind, coffee table,
    toilet, flower, book, hill, bench, countertop, stove, palm, kitchen island, computer,
    swivel chair, boat, bar, arcade machine, hovel, bus, towel, light, truck, tower, chandelier,
    awning, streetlight, booth, television, airplane, dirt track, apparel, pole, land, bannister,
    escalator, ottoman, bottle, buffet, poster, stage, van, ship, fountain, conveyer belt,
    canopy, washer, plaything, swimming pool, stool, barrel, basket, waterfall, tent, bag,
    minibike, cradle, oven, ball, food, step, tank, trade name, microwave, pot, animal, bicycle,
    lake, dishwasher, screen, blanket, sculpture, hood, sconce, vase, traffic light, tray, ashcan,
    fan, pier, crt screen, plate, monitor, bulletin board, shower, radiator, glass, clock, flag
"""

_COLOURS = """
    787878 b47878 06e6e6 503232 04c803 787850 8c8c8c cc05ff e6e6e6 04fa07 e005ff ebff07 96053d
    787846 08ff33 ff0652 8fff8c ccff04 ff3307 cc4603 0066c8 3de6fa ff0633 0b66ff ff0747 ff09e0
    0907e6 dcdcdc ff095c 7009ff 08ffd6 07ffe0 ffb806 0aff47 ff290a 07ffff e0ff08 6608ff ff3d06
    ffc207 ff7a08 00ff14 ff0829 ff0599 0633ff eb0cff a09614 00a3ff 8c8c8c fa0a0f 14ff00 1fff00
    ff1f00 ffe000 99ff00 0000ff ff4700 00ebff 00adff 1f00ff 0bc8c8 ff5200 00fff5 003dff 00ff70
    00ff85 ff0000 ffa300 ff6600 c2ff00 008fff 33ff00 0052ff 00ff29 00ffad 0a00ff adff00 00ff99
    ff5c00 ff00ff ff00f5 ff0066 ffad00 ff0014 ffb8b8 001fff 00ff3d 0047ff ff00cc 00ffc2 00ff52
    000aff 0070ff 3300ff 00c2ff 007aff 00ffa3 ff9900 00ff0a ff7000 8fff00 5200ff a3ff00 ffeb00
    08b8aa 8500ff 00ff5c b800ff ff001f 00b8ff 00d6ff ff0070 5cff00 00e0ff 70e0ff 46b8a0 a300ff
    9900ff 47ff00 ff00a3 ffcc00 ff008f 00ffeb 85ff00 ff00eb f500ff ff007a fff500 0abed4 d6ff00
    00ccff 1400ff ffff00 0099ff 0029ff 00ffcc 2900ff 29ff00 ad00ff 00f5ff 4700ff 7a00ff 00ffb8
    005cff b8ff00 0085ff ffd600 19c2c2 66ff00 5c00ff
"""

CLASSES: tuple[str, ...] = tuple(" ".join(name.split()) for name in _NAMES.split(","))
"""Class names by label: the first of the synonyms of objectInfo150.txt."""

PALETTE: tuple[tuple[int, int, int], ...] = tuple(
    (colour[0], colour[1], colour[2]) for colour in map(bytes.fromhex, _COLOURS.split())
)
"""The usual RGB colours; road and skyscraper share one."""

LABELS = np.array([IGNORE_INDEX, *range(NUM_CLASSES)], np.uint8)
"""The label of each stored id; 0, other objects, is ignored."""

IDS = np.zeros(256, np.uint8)
"""The stored id of each label; 0 where there is none."""
IDS[:NUM_CLASSES] = np.arange(1, NUM_CLASSES + 1)

FOLDERS = {"train": "training", "test": "validation"}
"""Folder of each split; the labels of the official testing split are not published."""

OBJECT_INFO = "objectInfo150.txt"


class Dataset(RawDataset):
    """The challenge's release of ADE20K (Zhou et al., 2017), as unpacked from its archive.

    The full ADE20K, with thousands of classes, is another download and is not read.

    Example:
        >>> variant = Dataset.variants["challenge"]
        >>> len(variant.class_names), variant.class_names[-1]
        (150, 'flag')
        >>> LABELS[[0, 1, 150]].tolist()
        [255, 0, 149]
    """

    title = "ADE20K"
    variants: ClassVar[Mapping[str, Variant]] = {
        "challenge": Variant(
            description="20210 training and 2000 validation images of varied sizes, 150 classes",
            truth={
                "segmentation": "ADEChallengeData2016 annotations, 150 classes; validation scored"
            },
            class_names=CLASSES,
            palette=PALETTE,
            counts={"train": 20210, "test": 2000},
        )
    }
    markers = (
        "images/training",
        "images/validation",
        "annotations/training",
        "annotations/validation",
        OBJECT_INFO,
    )
    # Checksum: GluonCV, scripts/datasets/ade20k.py; no source for the size in bytes was found.
    downloads: ClassVar[Sequence[Download]] = (
        Download(
            "http://data.csail.mit.edu/places/ADEchallenge/ADEChallengeData2016.zip",
            "ADEChallengeData2016.zip",
            checksum="sha1:219e1696abb36c8ba3a3afe7fb2f4b4606a897c7",
        ),
    )
    tree = """\
images/training/ADE_train_*.jpg             the folder ADEChallengeData2016
images/validation/ADE_val_*.jpg             of ADEChallengeData2016.zip
annotations/training/ADE_train_*.png
annotations/validation/ADE_val_*.png
objectInfo150.txt"""
    source = (
        "http://data.csail.mit.edu/places/ADEchallenge/ADEChallengeData2016.zip (about 1 GB, no "
        "registration); for non-commercial research and education, see "
        "https://groups.csail.mit.edu/vision/datasets/ADE20K/terms/"
    )

    def entries(self, split: str) -> list[Entry]:  # noqa: D102
        _check_classes(self.root / OBJECT_INFO)
        folder = FOLDERS[split]
        images = self.glob(f"images/{folder}/ADE_*.jpg")
        labels = self.glob(f"annotations/{folder}/ADE_*.png")
        # An image lost in unpacking is still listed by its label file.
        names = {path.stem for path in (*images, *labels)}
        return [_entry(folder, name) for name in sorted(names)]

    def read_label(self, entry: Entry) -> Array:  # noqa: D102
        path = self.path(entry, "label")
        ids = read_indices(path)
        if ids.max() > NUM_CLASSES:
            raise DataError(
                f"{path}: holds the id {ids.max()}; the challenge's ids are 0 to {NUM_CLASSES}: "
                "was the file converted? Unpack the download again"
            )
        return LABELS[ids]

    def to_ids(self, labels: Array) -> Array:  # noqa: D102
        return IDS[labels]


def _entry(folder: str, name: str) -> Entry:
    # The places that images show are not published, so each image is its own group.
    files = {"image": f"images/{folder}/{name}.jpg", "label": f"annotations/{folder}/{name}.png"}
    return Entry(name, name, files)


def _check_classes(path: Path) -> None:
    """Refuse a release with different classes, whose ids have other meanings."""
    try:
        rows = [line.split("\t") for line in read_text(path).splitlines()[1:]]
        synonyms = {int(row[0]): [name.strip() for name in row[-1].split(",")] for row in rows}
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read ({error}); unpack the download again") from None
    for index, name in enumerate(CLASSES, start=1):
        if name not in synonyms.get(index, []):
            raise DataError(
                f"{path}: class {index} is not {name}, as in the challenge of 2016; "
                "unpack ADEChallengeData2016.zip again"
            )
