"""Worker processes that fail: a message, and no wait for what never comes."""

import errno
import multiprocessing
import multiprocessing.util
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils.data import Dataset

from dejavu.config import TrainParams
from dejavu.data.indexed import IndexedSplit
from dejavu.runtime.errors import DataError, DejaVuError, is_out_of_memory
from dejavu.training.batches import Batches
from dejavu.training.workers import prepared_by
from tests.support.studies import Downloads


class Numbers(Dataset[Tensor]):
    """Each item is its position, or the error that ``fail`` raises there."""

    def __init__(self, fail: Callable[[], None] = lambda: None) -> None:
        self._fail = fail

    def __getitem__(self, position: int) -> Tensor:
        if position == 3:
            self._fail()
        return torch.full((1000,), position)


def consume(items: Dataset[Tensor], count: int = 6) -> list[float]:
    with prepared_by(2, items, range(count)) as prepared:
        return [item.float().mean().item() for item in prepared]


def test_items_come_in_order() -> None:
    assert consume(Numbers()) == [0, 1, 2, 3, 4, 5]


def full(*_: Any) -> None:
    raise RuntimeError("unable to allocate shared memory(shm): No space left on device (28)")


def test_full_shared_memory_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Torch's own error, where a container has 64 MB in /dev/shm."""
    monkeypatch.setattr(torch.UntypedStorage, "_share_fd_cpu_", full)
    with pytest.raises(DejaVuError, match=r"train\.workers: .*No space left.*--shm-size.*\(0: "):
        consume(Numbers())


def test_a_folder_of_temporary_files_that_sockets_cannot_use_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The path of a socket has 107 characters at most."""
    long = tmp_path / ("a" * 120)
    long.mkdir()
    monkeypatch.setattr(multiprocessing.util, "get_temp_dir", lambda: str(long))
    with pytest.raises(DejaVuError, match=r"train\.workers: .*path too long"):
        consume(Numbers())


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGBUS])
def test_a_killed_worker_is_told(number: signal.Signals) -> None:
    def end() -> None:
        os.kill(os.getpid(), number)

    with pytest.raises(DejaVuError, match=r"train\.workers: lost .*--shm-size"):
        consume(Numbers(end))


def test_a_worker_that_is_killed_while_the_training_computes_is_told() -> None:
    def use(prepared: Iterator[Tensor]) -> None:
        next(prepared)
        for worker in multiprocessing.active_children():
            os.kill(worker.pid or 0, signal.SIGKILL)
        while True:  # torch says it wherever this process is
            next(prepared)

    lost = pytest.raises(DejaVuError, match=r"train\.workers: lost ")
    with lost, prepared_by(2, Numbers(), range(10**6)) as prepared:
        use(prepared)
    assert not multiprocessing.active_children()


def test_other_errors_of_a_block_are_its_own() -> None:
    with pytest.raises(RuntimeError, match="shapes"), prepared_by(1, Numbers(), range(2)):
        raise RuntimeError("shapes do not match")


def lack_memory() -> None:
    try:
        raise OSError(errno.ENOMEM, "Cannot allocate memory")
    except OSError:
        raise DataError("a.png: cannot be read") from None


def test_memory_that_ran_out_in_a_worker_blames_no_file() -> None:
    with pytest.raises(MemoryError) as raised:
        consume(Numbers(lack_memory))
    assert is_out_of_memory(raised.value)


@pytest.mark.parametrize("workers", [0, 2])
def test_an_image_that_was_damaged_after_the_check_is_named(
    workers: int, on_disk: Downloads, copy_of: Downloads, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, root = on_disk("ade20k"), copy_of("ade20k")
    monkeypatch.setenv("DEJAVU_ROOT", str(root))
    for path in (root / "images/training").rglob("*.jpg"):
        whole = path.read_bytes()
        path.write_bytes(whole[:100] + bytes(len(whole) - 100))
    params = TrainParams(
        batch_size=2, workers=workers, subset=None, augmentation={"crop": [32, 40]}
    )
    batches = Batches(IndexedSplit(folder, "train", ["segmentation"]), params, 0)
    damaged = pytest.raises(DataError, match=r"^\S+ADE_train_\d+\.jpg: [^\n]*$")
    with damaged, batches.steps(0, 2) as prepared:
        next(prepared)
