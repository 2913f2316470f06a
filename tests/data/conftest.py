from pathlib import Path
from shutil import copytree

import pytest

from tests.conftest import Downloads


@pytest.fixture
def copy_of(downloads: Downloads, tmp_path: Path) -> Downloads:
    """Copies that a test may damage."""
    return lambda name: copytree(downloads(name), tmp_path / "copies" / name)


@pytest.fixture
def manifest_copy(on_disk: Downloads, tmp_path: Path) -> Downloads:
    """Copies of manifests and indices that a test may damage, and beside which it may cache."""
    return lambda name: copytree(on_disk(name), tmp_path / "manifests" / name)
