"""The index of a split that is read in place: files, sizes and checksums, one line per image."""

import csv
import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from dejavu.datasets.reading.conventions import ROLES
from dejavu.datasets.reading.manifest import MEND, file_sha256
from dejavu.datasets.reading.raw import Array
from dejavu.runtime.errors import DataError

COLUMNS = ("name", "group", "position", "height", "width", *("image", *ROLES.values()))
CHECKSUMS = ("bytes", *(f"{role}_sha256" for role in ("image", *ROLES.values())))


def pixel_digest(part: Array) -> str:
    """Return the SHA-256 of a decoded image or target, in hexadecimal."""
    return hashlib.sha256(part.tobytes()).hexdigest()


def shared_file(path: Path) -> tuple[int, str]:
    """Return size and SHA-256 of a file that many images share.

    Raises:
        DataError: the file is missing or cannot be read.
    """
    try:
        return path.stat().st_size, file_sha256(path)
    except OSError:
        raise DataError(
            f"{path}: is missing, or cannot be read; unpack the download again"
        ) from None


def write_index(path: Path, rows: Sequence[dict[str, object]]) -> None:
    """Write an index: one line per image, with ``COLUMNS`` and ``CHECKSUMS``."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, [*COLUMNS, *CHECKSUMS], lineterminator="\n", restval="")
        writer.writeheader()
        writer.writerows(rows)


def read_index(path: Path) -> dict[str, Array]:
    """Read an index as one array per column, with one value per image.

    Raises:
        DataError: the index is missing or damaged.
    """
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
    except FileNotFoundError:
        raise DataError(f"{path}: the manifest names it, but it is missing; {MEND}") from None
    except (OSError, ValueError, csv.Error) as error:
        raise DataError(f"{path}: cannot be read ({error}); {MEND}") from None
    numbers = {"position", "height", "width", "bytes"}
    try:
        return {
            key: np.array([row[key] for row in rows], np.int64 if key in numbers else np.str_)
            for key in (*COLUMNS, *CHECKSUMS)
        }
    except (KeyError, ValueError, TypeError) as error:
        raise DataError(f"{path}: is not an index ({error!r}); {MEND}") from None
