"""Training that does not fit in memory says what does, for real: under a limit of address space."""

import os
import re
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from dejavu.reference import render_params
from tests.conftest import TINY, tiny_params

pytestmark = pytest.mark.pipeline
BATCH = 4
HEADROOM = 520 << 20
"""Bytes beside what the imports take: enough for 2 or 3 images, and not for ``BATCH``."""

ENVIRONMENT = os.environ | {"CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"}
TRAIN = ("-m", "dejavu", "train", "--task", "depth", "--method", "baseline")


def python(folder: Path, *arguments: str, limit: int = 0, expect: int = 0) -> str:
    """Run Python with so many bytes of address space; return what it said."""

    def confine() -> None:
        if limit:
            resource.setrlimit(resource.RLIMIT_AS, (limit, limit))

    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        preexec_fn=confine,
    )
    assert done.returncode == expect, done.stdout
    return done.stdout


def write_study(folder: Path, batch_size: int) -> None:
    rooms = {"train": BATCH, "val": 1, "test": 1, "height": 384, "width": 384}
    params = tiny_params(
        data={"rooms": rooms},
        networks={"fpn": {"architecture": "feature_pyramid", "width": 48}},
        train=TINY["train"] | {"steps": 3, "batch_size": batch_size, "subset": BATCH},
        evaluation={"batch_size": 1},
    )
    (folder / "params").mkdir(exist_ok=True)
    (folder / "params/default.yaml").write_text(render_params(params))


def test_the_batch_size_that_is_named_trains_in_the_same_memory(tmp_path: Path) -> None:
    code = "import dejavu.training; print(*open('/proc/self/status'), sep='')"
    taken = re.search(r"VmPeak:\s+(\d+) kB", python(tmp_path, "-c", code))
    assert taken is not None
    limit = int(taken[1]) * 1024 + HEADROOM
    write_study(tmp_path, BATCH)
    python(tmp_path, "-m", "dejavu", "rooms")

    said = python(tmp_path, *TRAIN, limit=limit, expect=1)
    assert "Traceback" not in said
    named = re.search(
        r"depth/fpn/baseline: train\.batch_size: 4 does not fit in the memory of the CPU "
        rf"\({limit / 2**30:.1f} GiB\); (\d+) was measured to fit",
        said,
    )
    assert named is not None, said
    assert not (tmp_path / "results/tiny/checkpoints/depth/fpn/baseline/seed0.safetensors").exists()

    write_study(tmp_path, int(named[1]))
    assert ": trained (run " in python(tmp_path, *TRAIN, limit=limit)
