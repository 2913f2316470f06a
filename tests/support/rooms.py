"""Prepared rooms: those of a study, others, and damaged ones."""

import shutil
from pathlib import Path

from dejavu.config import Params
from dejavu.datasets.rooms import prepare_rooms
from dejavu.datasets.rooms.scenes import RoomsSpec


def render(params: Params, folder: Path, **changes: int) -> Path:
    """Prepare the study's rooms, with some settings changed, such as their seed."""
    assert params.data.rooms is not None
    settings = params.data.rooms.model_dump() | changes
    counts = {split: settings.pop(split) for split in ("train", "val", "test")}
    prepare_rooms(RoomsSpec(**settings), counts, folder)
    return folder


def other_rooms(params: Params, folder: Path) -> Path:
    """Data of the same params with other images, as a download may be another one."""
    return render(params, folder, seed=7)


def damaged(data: Path, folder: Path, split: str) -> Path:
    """A copy of the data with one byte of a split changed."""
    shutil.copytree(data, folder)
    content = bytearray((folder / f"{split}.npy").read_bytes())
    content[-10] ^= 1
    (folder / f"{split}.npy").write_bytes(content)
    return folder
