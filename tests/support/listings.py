"""Folders of a data set that may not be written, or are listed in another order."""

import random
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

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


def shuffle_listings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let ``Path.glob`` find the same files in another order."""
    ordered = Path.glob

    def shuffled(path: Path, pattern: str) -> Iterator[Path]:
        found = list(ordered(path, pattern))
        random.Random(1).shuffle(found)
        return iter(found)

    monkeypatch.setattr(Path, "glob", shuffled)
