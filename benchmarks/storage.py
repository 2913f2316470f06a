"""Cost of DVC for many files and for one archive of the same bytes; cost of a large index."""

import shutil
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

from benchmarks.processes import Cost, Growth, measure
from dejavu.datasets.reading.index import write_index
from dejavu.runtime.strict_json import from_json

ROOT = Path(__file__).parents[1]
FILE_BYTES = 4096
"""Size of each file in bytes."""

_DVC = (sys.executable, "-m", "dvc")
_READ = (
    "import json, sys; from pathlib import Path;"
    " from dejavu.datasets.reading.index import read_index;"
    " print(json.dumps(sum(c.nbytes for c in read_index(Path(sys.argv[1])).values())))"
)


def version_rows(files: int) -> Iterator[Growth]:
    """Measure DVC on a folder of ``files`` files, and on one archive of them."""
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "source")
        source.mkdir()
        for index in range(files):
            block = sha256(str(index).encode()).digest()
            (source / f"{index:08d}.bin").write_bytes(block * (FILE_BYTES // len(block)))
        archive = Path(folder, "source.tar")
        with tarfile.open(archive, "w") as tar:
            tar.add(source, "source")
        changed = next(source.iterdir())
        for subject, path in (("folder", source), ("archive", archive)):
            for verb, cost in _version(Path(folder, f"{subject}-repository"), path, changed.name):
                yield Growth("DVC, files of 4 KiB", f"{subject}: {verb}", files, cost)


def _version(repository: Path, source: Path, changed: str) -> Iterator[tuple[str, Cost]]:
    """Add, check, change, push and pull a file or folder in a new repository."""
    repository.mkdir()
    copy = repository / source.name
    shutil.copytree(source, copy) if source.is_dir() else shutil.copy(source, copy)
    for setting in (
        ("init", "--quiet", "--no-scm"),
        ("config", "core.site_cache_dir", str(repository / "site")),
        ("remote", "add", "--quiet", "--default", "store", str(repository / "remote")),
    ):
        measure(repository, *_DVC, *setting)

    def timed(*verb: str) -> tuple[str, Cost]:
        return f"`dvc {verb[0]}`", measure(repository, *_DVC, *verb)[1]

    yield timed("add", copy.name)
    yield timed("status")
    with (copy / changed if copy.is_dir() else copy).open("r+b") as file:
        file.write(b"changed")
    yield timed("commit", "--force")
    yield timed("push")
    shutil.rmtree(repository / ".dvc/cache")
    shutil.rmtree(copy) if copy.is_dir() else copy.unlink()
    yield timed("pull")


def index_rows(images: int) -> Iterator[Growth]:
    """Measure an index of ``images`` images in ADE20K's layout, on disk and in memory."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "train.csv")
        write_index(path, [_image(index) for index in range(images)])
        output, cost = measure(ROOT, sys.executable, "-c", _READ, str(path))
        size = path.stat().st_size / images
    yield Growth("Index", "read", images, cost)
    yield Growth("Index", "bytes a row on disk", images, amount=size)
    yield Growth("Index", "bytes a row held", images, amount=from_json(output) / images)


def _image(index: int) -> dict[str, object]:
    name = f"ADE_train_{index:08d}"
    return {
        "name": name,
        "group": name,
        "position": 0,
        "height": 512,
        "width": 683,
        "image": f"images/training/{name}.jpg",
        "label": f"annotations/training/{name}.png",
        "bytes": 60_000,
        "image_sha256": sha256(f"image {index}".encode()).hexdigest(),
        "label_sha256": sha256(f"label {index}".encode()).hexdigest(),
    }
