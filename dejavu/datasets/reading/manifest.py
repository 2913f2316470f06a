"""The manifest of prepared data: contents and checksums of its files."""

import hashlib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dejavu.runtime.errors import DataError
from dejavu.runtime.strict_json import read_json, write_json

VERSION = 2
"""Version of the generator and of the files; raise it when either changes what is stored."""

MANIFEST = "manifest.json"

CAPTION_BYTES = 160
"""Bytes of a stored caption; ASCII, padded with zeros."""

MEND = "prepare the data anew: python -m dejavu rooms (or data check NAME) --params FILE"
"""The fix for damaged or missing data, for error messages."""


@dataclass(frozen=True)
class SplitRecord:
    """One split's file: its scenes, or the index of images that are read in place.

    Attributes:
        count: number of scenes.
        file: name of the file, beside the manifest.
        sha256: checksum of the file; an index holds the checksums of its images.
        class_pixels: number of pixels of each class, by label.
        fingerprints: SHA-256 of the images with the ground truth of a task, by task.
    """

    count: int
    file: str
    sha256: str
    class_pixels: tuple[int, ...]
    fingerprints: dict[str, str]


@dataclass(frozen=True)
class Manifest:
    """The contents of a folder of prepared data.

    Attributes:
        name: name of the data set.
        version: version of the generator.
        height: height of the images in pixels; None if they differ.
        width: width of the images in pixels; None if they differ.
        spec: the generator's settings, or the variant that is read.
        class_names: names of the classes, by label.
        palette: one RGB colour (0 to 255) per class.
        intrinsics: fx, fy, cx and cy in pixels, with the top left pixel's centre at (0.5, 0.5);
            None if they are unknown or vary from scene to scene.
        truth: source of the ground truth, by task.
        files: size in bytes and SHA-256 of the files that images share, by path from the root.
        notes: caveats for readers of the results, such as images that were left out.
        splits: records of the splits, by name.
    """

    name: str
    version: int
    height: int | None
    width: int | None
    spec: dict[str, Any]
    class_names: tuple[str, ...]
    palette: tuple[tuple[int, int, int], ...]
    intrinsics: tuple[float, float, float, float] | None
    truth: dict[str, str]
    files: dict[str, tuple[int, str]]
    notes: tuple[str, ...]
    splits: dict[str, SplitRecord]

    def write(self, directory: Path) -> None:
        """Write ``manifest.json``, the same bytes for the same data."""
        write_json(directory / MANIFEST, asdict(self))


def read_manifest(directory: Path) -> Manifest:
    """Read the manifest of a folder.

    Raises:
        DataError: the manifest is missing, damaged, or of another version.
    """
    path = directory / MANIFEST
    try:
        tree = read_json(path)
    except FileNotFoundError:
        raise DataError(f"{path}: there is no prepared data here; {MEND}") from None
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read ({error}); {MEND}") from None
    if not isinstance(tree, dict) or tree.get("version") != VERSION:
        found = tree.get("version") if isinstance(tree, dict) else None
        raise DataError(f"{path}: has version {found}, not the needed version {VERSION}; {MEND}")
    try:
        return _parse(tree)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DataError(f"{path}: is not a manifest ({error!r}); {MEND}") from None


def _parse(tree: dict[str, Any]) -> Manifest:
    splits = {
        name: SplitRecord(**(record | {"class_pixels": tuple(record["class_pixels"])}))
        for name, record in tree["splits"].items()
    }
    palette = tuple((int(r), int(g), int(b)) for r, g, b in tree["palette"])
    intrinsics = tree["intrinsics"] and tuple(tree["intrinsics"])
    changes = {
        "class_names": tuple(tree["class_names"]),
        "palette": palette,
        "intrinsics": intrinsics,
        "files": {path: (int(size), str(sha)) for path, (size, sha) in tree["files"].items()},
        "notes": tuple(tree["notes"]),
        "splits": splits,
    }
    return Manifest(**(tree | changes))


def record_dtype(height: int, width: int) -> np.dtype[np.void]:
    """Return the layout of one stored scene.

    ``image`` is uint8 RGB, ``label`` a class index, ``depth`` metres along the optical axis,
    ``normals`` unit vectors in the camera frame, ``caption`` ASCII.

    Example:
        >>> record_dtype(2, 2).itemsize
        240
    """
    size = (height, width)
    return np.dtype(
        [
            ("image", "u1", (*size, 3)),
            ("label", "u1", size),
            ("depth", "<f4", size),
            ("normals", "<f4", (*size, 3)),
            ("caption", f"S{CAPTION_BYTES}"),
        ]
    )


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
