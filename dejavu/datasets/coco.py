"""COCO panoptic, read as semantic segmentation: a pixel's label is its segment's category.

Labels follow the official converter to semantic segmentation (cocodataset/panopticapi,
panoptic2semantic_segmentation.py): crowds count as their category, and pixels without a segment
are ignored.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from dejavu.datasets.fetching.download import Download
from dejavu.datasets.reading.conventions import IGNORE_INDEX
from dejavu.datasets.reading.decoding import read_colours
from dejavu.datasets.reading.raw import Array, Entry, RawDataset, Variant
from dejavu.runtime.errors import DataError
from dejavu.runtime.strict_json import read_json

CATEGORIES: tuple[tuple[int, str, tuple[int, int, int]], ...] = (
    (1, "person", (220, 20, 60)),
    (2, "bicycle", (119, 11, 32)),
    (3, "car", (0, 0, 142)),
    (4, "motorcycle", (0, 0, 230)),
    (5, "airplane", (106, 0, 228)),
    (6, "bus", (0, 60, 100)),
    (7, "train", (0, 80, 100)),
    (8, "truck", (0, 0, 70)),
    (9, "boat", (0, 0, 192)),
    (10, "traffic light", (250, 170, 30)),
    (11, "fire hydrant", (100, 170, 30)),
    (13, "stop sign", (220, 220, 0)),
    (14, "parking meter", (175, 116, 175)),
    (15, "bench", (250, 0, 30)),
    (16, "bird", (165, 42, 42)),
    (17, "cat", (255, 77, 255)),
    (18, "dog", (0, 226, 252)),
    (19, "horse", (182, 182, 255)),
    (20, "sheep", (0, 82, 0)),
    (21, "cow", (120, 166, 157)),
    (22, "elephant", (110, 76, 0)),
    (23, "bear", (174, 57, 255)),
    (24, "zebra", (199, 100, 0)),
    (25, "giraffe", (72, 0, 118)),
    (27, "backpack", (255, 179, 240)),
    (28, "umbrella", (0, 125, 92)),
    (31, "handbag", (209, 0, 151)),
    (32, "tie", (188, 208, 182)),
    (33, "suitcase", (0, 220, 176)),
    (34, "frisbee", (255, 99, 164)),
    (35, "skis", (92, 0, 73)),
    (36, "snowboard", (133, 129, 255)),
    (37, "sports ball", (78, 180, 255)),
    (38, "kite", (0, 228, 0)),
    (39, "baseball bat", (174, 255, 243)),
    (40, "baseball glove", (45, 89, 255)),
    (41, "skateboard", (134, 134, 103)),
    (42, "surfboard", (145, 148, 174)),
    (43, "tennis racket", (255, 208, 186)),
    (44, "bottle", (197, 226, 255)),
    (46, "wine glass", (171, 134, 1)),
    (47, "cup", (109, 63, 54)),
    (48, "fork", (207, 138, 255)),
    (49, "knife", (151, 0, 95)),
    (50, "spoon", (9, 80, 61)),
    (51, "bowl", (84, 105, 51)),
    (52, "banana", (74, 65, 105)),
    (53, "apple", (166, 196, 102)),
    (54, "sandwich", (208, 195, 210)),
    (55, "orange", (255, 109, 65)),
    (56, "broccoli", (0, 143, 149)),
    (57, "carrot", (179, 0, 194)),
    (58, "hot dog", (209, 99, 106)),
    (59, "pizza", (5, 121, 0)),
    (60, "donut", (227, 255, 205)),
    (61, "cake", (147, 186, 208)),
    (62, "chair", (153, 69, 1)),
    (63, "couch", (3, 95, 161)),
    (64, "potted plant", (163, 255, 0)),
    (65, "bed", (119, 0, 170)),
    (67, "dining table", (0, 182, 199)),
    (70, "toilet", (0, 165, 120)),
    (72, "tv", (183, 130, 88)),
    (73, "laptop", (95, 32, 0)),
    (74, "mouse", (130, 114, 135)),
    (75, "remote", (110, 129, 133)),
    (76, "keyboard", (166, 74, 118)),
    (77, "cell phone", (219, 142, 185)),
    (78, "microwave", (79, 210, 114)),
    (79, "oven", (178, 90, 62)),
    (80, "toaster", (65, 70, 15)),
    (81, "sink", (127, 167, 115)),
    (82, "refrigerator", (59, 105, 106)),
    (84, "book", (142, 108, 45)),
    (85, "clock", (196, 172, 0)),
    (86, "vase", (95, 54, 80)),
    (87, "scissors", (128, 76, 255)),
    (88, "teddy bear", (201, 57, 1)),
    (89, "hair drier", (246, 0, 122)),
    (90, "toothbrush", (191, 162, 208)),
    (92, "banner", (255, 255, 128)),
    (93, "blanket", (147, 211, 203)),
    (95, "bridge", (150, 100, 100)),
    (100, "cardboard", (168, 171, 172)),
    (107, "counter", (146, 112, 198)),
    (109, "curtain", (210, 170, 100)),
    (112, "door-stuff", (92, 136, 89)),
    (118, "floor-wood", (218, 88, 184)),
    (119, "flower", (241, 129, 0)),
    (122, "fruit", (217, 17, 255)),
    (125, "gravel", (124, 74, 181)),
    (128, "house", (70, 70, 70)),
    (130, "light", (255, 228, 255)),
    (133, "mirror-stuff", (154, 208, 0)),
    (138, "net", (193, 0, 92)),
    (141, "pillow", (76, 91, 113)),
    (144, "platform", (255, 180, 195)),
    (145, "playingfield", (106, 154, 176)),
    (147, "railroad", (230, 150, 140)),
    (148, "river", (60, 143, 255)),
    (149, "road", (128, 64, 128)),
    (151, "roof", (92, 82, 55)),
    (154, "sand", (254, 212, 124)),
    (155, "sea", (73, 77, 174)),
    (156, "shelf", (255, 160, 98)),
    (159, "snow", (255, 255, 255)),
    (161, "stairs", (104, 84, 109)),
    (166, "tent", (169, 164, 131)),
    (168, "towel", (225, 199, 255)),
    (171, "wall-brick", (137, 54, 74)),
    (175, "wall-stone", (135, 158, 223)),
    (176, "wall-tile", (7, 246, 231)),
    (177, "wall-wood", (107, 255, 200)),
    (178, "water-other", (58, 41, 149)),
    (180, "window-blind", (183, 121, 142)),
    (181, "window-other", (255, 73, 97)),
    (184, "tree-merged", (107, 142, 35)),
    (185, "fence-merged", (190, 153, 153)),
    (186, "ceiling-merged", (146, 139, 141)),
    (187, "sky-other-merged", (70, 130, 180)),
    (188, "cabinet-merged", (134, 199, 156)),
    (189, "table-merged", (209, 226, 140)),
    (190, "floor-other-merged", (96, 36, 108)),
    (191, "pavement-merged", (96, 96, 96)),
    (192, "mountain-merged", (64, 170, 64)),
    (193, "grass-merged", (152, 251, 152)),
    (194, "dirt-merged", (208, 229, 228)),
    (195, "paper-merged", (206, 186, 171)),
    (196, "food-other-merged", (152, 161, 64)),
    (197, "building-other-merged", (116, 112, 0)),
    (198, "rock-merged", (0, 114, 143)),
    (199, "wall-other-merged", (102, 102, 156)),
    (200, "rug-merged", (250, 141, 255)),
)
"""Id, name and colour of each category, by label.

Source: panoptic_coco_categories.json (cocodataset/panopticapi).
"""

_FOLDERS = {"train": "train2017", "test": "val2017"}
_LABEL_OF = {category: label for label, (category, _, _) in enumerate(CATEGORIES)}
_IDS = np.zeros(256, np.uint8)
_IDS[list(_LABEL_OF.values())] = list(_LABEL_OF)


_COCO = "http://images.cocodataset.org"


class Dataset(RawDataset):
    """COCO 2017 with panoptic annotations, 118,287 training and 5,000 validation images.

    The validation images are the test split. Each image is its own group.
    """

    title = "COCO panoptic"
    variants: ClassVar = {
        "panoptic-133": Variant(
            "the 80 kinds of things and 53 of stuff, instances merged",
            {"segmentation": "COCO panoptic 2017 annotations, segments merged by category"},
            tuple(name for _, name, _ in CATEGORIES),
            tuple(colour for _, _, colour in CATEGORIES),
            counts={"train": 118_287, "test": 5_000},
        )
    }
    markers: ClassVar = (
        "annotations/panoptic_train2017.json",
        "annotations/panoptic_val2017.json",
    )
    # Sizes and checksums: TensorFlow Datasets, tensorflow_datasets/url_checksums/coco.txt.
    downloads: ClassVar = (
        Download(
            f"{_COCO}/zips/train2017.zip",
            "train2017.zip",
            checksum="sha256:69a8bb58ea5f8f99d24875f21416de2e9ded3178e903f1f7603e283b9e06d929",
            bytes=19_336_861_798,
        ),
        Download(
            f"{_COCO}/zips/val2017.zip",
            "val2017.zip",
            checksum="sha256:4f7e2ccb2866ec5041993c9cf2a952bbed69647b115d0f74da7ce8f4bef82f05",
            bytes=815_585_330,
        ),
        Download(
            f"{_COCO}/annotations/panoptic_annotations_trainval2017.zip",
            "panoptic_annotations_trainval2017.zip",
            checksum="sha256:c05f76d2129b6b561eb70efe16e7006df62f73fb92889132d373b9d90e31a370",
            bytes=860_725_834,
        ),
    )
    tree = """\
ROOT/
  annotations/
    panoptic_train2017.json
    panoptic_train2017/000000000009.png ...  (unpack panoptic_train2017.zip here)
    panoptic_val2017.json
    panoptic_val2017/000000000139.png ...    (unpack panoptic_val2017.zip here)
  train2017/000000000009.jpg ...
  val2017/000000000139.jpg ..."""
    source = (
        "https://cocodataset.org/#download, without registration: train2017.zip, val2017.zip and "
        "panoptic_annotations_trainval2017.zip; annotations under CC BY 4.0, images under the "
        "terms of Flickr"
    )

    def __init__(self, root: Path, variant: str) -> None:
        super().__init__(root, variant)
        self._segments: dict[Path, Array] = {}

    def entries(self, split: str) -> list[Entry]:
        """List the images that have an annotation; see `RawDataset.entries`."""
        images, labels = _FOLDERS[split], f"annotations/panoptic_{_FOLDERS[split]}"
        self._require_unpacked(labels)
        names = [f"{image:012d}" for image in np.unique(self._segments_of(self.root / labels)[0])]
        return [
            Entry(n, n, {"image": f"{images}/{n}.jpg", "label": f"{labels}/{n}.png"}) for n in names
        ]

    def shared_files(self, roles: Sequence[str]) -> list[str]:  # noqa: D102
        return [*self.markers]

    def read_label(self, entry: Entry) -> Array:  # noqa: D102
        path = self.path(entry, "label")
        image, ids, labels = self._segments_of(path.parent)
        rows = slice(*np.searchsorted(image, [int(entry.name), int(entry.name) + 1]))
        known, found = ids[rows], read_colours(path) @ np.array([1, 256, 65536])
        if not known.size:
            raise DataError(
                f"{path}: {path.parent}.json has no annotation of this image; unpack both from the "
                "same archive"
            )
        nearest = np.searchsorted(known, found).clip(max=len(known) - 1)
        strange = found[known[nearest] != found]
        if strange.size:
            raise DataError(
                f"{path}: has a segment {strange[0]} that {path.parent}.json does not list; unpack "
                "both from the same archive"
            )
        label: Array = labels[rows][nearest].astype(np.uint8)
        return label

    def to_ids(self, labels: Array) -> Array:
        """Return H x W uint8 category ids, 0 where unlabelled, like the official converter."""
        ids: Array = _IDS[labels]
        return ids

    def _require_unpacked(self, folder: str) -> None:
        if (self.root / folder).is_dir():
            return
        if (self.root / f"{folder}.zip").exists():
            raise DataError(
                f"{self.root / folder}.zip: is still packed: unpack it to {folder}/ beside it"
            )
        raise self.missing(folder)

    def _segments_of(self, folder: Path) -> Array:
        """Return the segments of the PNGs in a folder; their JSON is parsed once per process."""
        if folder not in self._segments:
            self._segments[folder] = _read_segments(folder.with_name(f"{folder.name}.json"))
        return self._segments[folder]


def _read_segments(path: Path) -> Array:
    """Read image ids, segment ids and labels, 3 x N int32, sorted by image and segment.

    Every image has a segment 0 for the pixels without a segment.
    """
    try:
        tree = read_json(path)
        _check_categories(path, tree["categories"])
        rows = np.array(list(_rows(path, tree["annotations"])), np.int32).reshape(-1, 3).T
    except FileNotFoundError:
        raise DataError(f"{path}: is missing; unpack the download again") from None
    except (OSError, ValueError, KeyError, TypeError, OverflowError) as error:
        raise DataError(
            f"{path}: is not a COCO panoptic annotation ({error!r}): truncated or damaged; unpack "
            "the download again"
        ) from None
    return np.ascontiguousarray(rows[:, np.lexsort((rows[1], rows[0]))])


def _check_categories(path: Path, categories: list[dict[str, Any]]) -> None:
    found = sorted((category["id"], category["name"]) for category in categories)
    expected = [(category, name) for category, name, _ in CATEGORIES]
    if found != expected:
        odd = sorted({*found} ^ {*expected}) or found
        raise DataError(
            f"{path}: its categories are not the {len(CATEGORIES)} of COCO panoptic 2017 (first "
            f"difference: {odd[0]}): is it the right annotation file?"
        )


def _rows(path: Path, annotations: list[dict[str, Any]]) -> Iterator[tuple[int, int, int]]:
    for annotation in annotations:
        image, name = annotation["image_id"], annotation["file_name"]
        if name != f"{image:012d}.png":
            raise DataError(
                f"{path}: the annotation of image {image} is named {name!r}, not "
                f"{image:012d}.png: is it the right annotation file?"
            )
        yield image, 0, IGNORE_INDEX
        for segment in annotation["segments_info"]:
            if segment["category_id"] not in _LABEL_OF:
                raise DataError(
                    f"{path}: segment {segment['id']} of {name} has the category "
                    f"{segment['category_id']}, which COCO panoptic 2017 does not define"
                )
            yield image, segment["id"], _LABEL_OF[segment["category_id"]]
