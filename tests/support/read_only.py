"""Reading a data set that may not be written, and a look at what became of it."""

from collections.abc import Callable
from pathlib import Path

from dejavu.datasets.reading.raw import RawDataset


def read_all_without_writing(root: Path, opened: Callable[[Path], RawDataset]) -> None:
    """Read every part of every image below a read-only folder; all must be as it was."""
    paths = [root, *root.rglob("*")]
    state = {path: path.stat().st_mtime_ns for path in paths}
    for path in paths:
        path.chmod(0o555 if path.is_dir() else 0o444)
    try:
        dataset = opened(root)
        for split in ("train", "test"):
            for entry in dataset.entries(split):
                for role in entry.files:
                    dataset.read(entry, role)
        assert {path: path.stat().st_mtime_ns for path in [root, *root.rglob("*")]} == state
    finally:
        for path in paths:
            path.chmod(0o755)
