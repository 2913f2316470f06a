"""Training that does not fit in memory says what to lower: under a limit of address space."""

import re
import sys
from pathlib import Path

import pytest

from tests.support.pipeline import run, write_study
from tests.support.studies import TINY

pytestmark = pytest.mark.pipeline
BATCH = 4
HEADROOM = 600 << 20
"""Bytes beside what the imports take. One image needed 440 MB of them on one machine: this is some
150 MB more, and further below what ``BATCH`` images need."""

TRAIN = ("-m", "dejavu", "train", "--task", "depth", "--method", "baseline")


def python(folder: Path, *arguments: str, limit: int = 0, expect: int = 0) -> str:
    """Run Python on the CPU with so many bytes of address space; return what it said."""
    confined = ["prlimit", f"--as={limit}"] if limit else []
    settings = ("CUDA_VISIBLE_DEVICES=", "OMP_NUM_THREADS=1")
    command = ("env", *settings, *confined, sys.executable, *arguments)
    return run(folder, *command, expect=expect)


def prepare(folder: Path, batch_size: int, processes: int = 1) -> None:
    """Write a study of large images, in the place of the default one."""
    rooms = {"train": 2 * BATCH, "val": 1, "test": 1, "height": 384, "width": 384}
    (folder / "params").mkdir(exist_ok=True)
    write_study(
        folder,
        data={"rooms": rooms},
        networks={"fpn": {"architecture": "feature_pyramid", "width": 48}},
        train=TINY["train"]
        | {"steps": 3, "batch_size": batch_size, "subset": 2 * BATCH, "processes": processes},
        evaluation={"batch_size": 1},
    )


def fail(folder: Path, batch_size: int, processes: int = 1) -> int:
    """Train without enough memory, which a message says; return that memory, in bytes."""
    code = "import dejavu.training.loop; print(*open('/proc/self/status'), sep='')"
    taken = re.search(r"VmPeak:\s+(\d+) kB", python(folder, "-c", code))
    assert taken is not None
    limit = int(taken[1]) * 1024 + HEADROOM
    prepare(folder, batch_size, processes)
    python(folder, "-m", "dejavu", "rooms")
    said = python(folder, *TRAIN, limit=limit, expect=1)
    assert "Traceback" not in said
    assert f"params/default.yaml: train.batch_size: {batch_size} does not fit in memory (" in said
    assert not [*folder.rglob("seed0.safetensors")]
    return limit


def test_a_smaller_batch_trains_in_the_same_memory(tmp_path: Path) -> None:
    limit = fail(tmp_path, BATCH)
    prepare(tmp_path, batch_size=1)
    assert ": trained (run " in python(tmp_path, *TRAIN, limit=limit)


def test_of_several_processes_the_one_that_started_them_names_it(tmp_path: Path) -> None:
    fail(tmp_path, 2 * BATCH, processes=2)


EXHAUST = """
import os, random, resource, torch
from dejavu.runtime.errors import is_out_of_memory, what_was_said

def train(draw):  # convolutions of ever new shapes, as oneDNN compiles each
    kept = []
    for _ in range(5000):
        c, o, side = draw(1, 96), draw(1, 96), draw(8, 40)
        x, w = torch.ones(1, c, side, side), torch.ones(o, c, 3, 3)
        y = torch.nn.functional.conv2d(x.requires_grad_(), w.requires_grad_(), padding=1)
        y.sum().backward()
        kept.append(torch.ones(1 << 12))

torch.set_num_threads(1)
train(lambda low, high: low)  # what is set up once is there
for seed in range(40):
    if os.fork() == 0:
        size = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
        draw = random.Random(seed)
        limit = size + (draw.randrange(8) << 18)
        _, most = resource.getrlimit(resource.RLIMIT_AS)
        resource.setrlimit(resource.RLIMIT_AS, (limit, most))
        try:
            train(draw.randint)
        except Exception as error:
            resource.setrlimit(resource.RLIMIT_AS, (most, most))
            told = "memory" if is_out_of_memory(error) else "other"
            os.write(1, f"{told}: {what_was_said(error)}\\n".encode())
        finally:
            os._exit(0)
    os.wait()
"""


def test_whatever_torch_raises_when_memory_ends_is_recognised(tmp_path: Path) -> None:
    """The same lack ends in other words from time to time, and now and then in a crash."""
    said = python(tmp_path, "-c", EXHAUST).splitlines()
    assert [line for line in said if line.startswith("other: ")] == []
    assert sum(line.startswith("memory: ") for line in said) >= 20
