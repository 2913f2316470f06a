"""Splits that are read in place: the same arrays from files, worker processes and the cache."""

import itertools
import pickle
from collections.abc import Callable
from pathlib import Path
from shutil import copytree

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from dejavu.config.tasks import roles_of
from dejavu.data.augmentation import KINDS
from dejavu.data.indexed import IndexedSplit
from dejavu.data.opening import open_split
from dejavu.data.sample import denormalise
from dejavu.datasets.reading.conventions import IGNORE_INDEX
from dejavu.datasets.reading.raw import Array, Entry, RawDataset
from dejavu.datasets.reading.registry import dataset_class
from dejavu.datasets.reading.roots import data_root, use_root
from dejavu.runtime.errors import DataError
from tests.support.indexed import QUICK, SPLITS, opened, truth
from tests.support.studies import ON_DISK, Downloads, disk_params, tiny_params


def as_array(tensor: Tensor) -> Array:
    """A sample's part in the layout of `RawDataset.read`: channels last, depth without channel."""
    array: Array = tensor.as_subclass(Tensor).numpy()
    return array if array.ndim == 2 else array.transpose(1, 2, 0).squeeze()


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("nyuv2", "classMapping40.mat"),
        ("cityscapes", "camera/train/*/*.json"),
        ("coco", "annotations/panoptic_train2017.json"),
    ],
)
def test_a_file_that_images_share_is_verified(
    name: str,
    file: str,
    manifest_copy: Downloads,
    copy_of: Downloads,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder, root = manifest_copy(name), copy_of(name)
    monkeypatch.setenv("DEJAVU_ROOT", str(root))
    split = opened(folder, name)
    split.verify()
    path = next(root.glob(file))
    path.write_bytes(path.read_bytes() + b" ")
    with pytest.raises(DataError, match=rf"{path.name}: .*prepare the data"):
        split.verify()


@pytest.mark.parametrize("name", ON_DISK)
def test_examples_are_what_the_data_set_reads(name: str, on_disk: Downloads) -> None:
    folder = on_disk(name)
    for part in SPLITS:
        split = opened(folder, name, part)
        for index in range(len(split)):
            sample = split.sample(index)
            assert [*sample] == roles_of(QUICK[name])
            assert split.size(index) == sample["image"].shape[-2:]
            for role, tensor in sample.items():
                expected = truth(name, split, index, role)
                assert type(tensor) is KINDS[role]
                assert tensor.numpy().dtype == expected.dtype
                np.testing.assert_array_equal(as_array(tensor), expected)


def test_computed_normals_are_read_too(on_disk: Downloads) -> None:
    split = opened(on_disk("nyuv2"), "nyuv2", "test", "normals")
    found = split.sample(1)["normals"]
    np.testing.assert_array_equal(as_array(found), truth("nyuv2", split, 1, "normals"))
    assert found.as_subclass(Tensor).square().sum(0).max() == pytest.approx(1, abs=1e-5)


def test_only_what_the_tasks_need_is_read(
    on_disk: Downloads, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []
    kind = dataset_class("cityscapes")
    reading = kind.read

    def noted(self: RawDataset, entry: Entry, role: str) -> Array:
        read.append(role)
        return reading(self, entry, role)

    monkeypatch.setattr(kind, "read", noted)
    folder = on_disk("cityscapes")
    for task, role in (("segmentation", "label"), ("depth", "depth")):
        read.clear()
        sample = opened(folder, "cityscapes", "train", task).batch([0, 2])
        assert read == ["image", role, "image", role]
        assert (sample.normals == 0).all()
        assert (sample.label != IGNORE_INDEX).any() == (role == "label")
        assert (sample.depth > 0).any() == (role == "depth")
        assert sample.image.shape == sample.normals.shape == (2, 3, 64, 96)
        assert sample.label.shape == (2, 64, 96)
        assert sample.depth.shape == (2, 1, 64, 96)


def test_a_batch_holds_the_images_that_were_asked_for(on_disk: Downloads) -> None:
    split = opened(on_disk("cityscapes"), "cityscapes", "test")
    sample = split.batch(torch.tensor([2, 0]))
    for row, index in enumerate((2, 0)):
        shown = denormalise(sample.image[row : row + 1])[0]
        np.testing.assert_array_equal(as_array(shown), truth("cityscapes", split, index, "image"))
        label = truth("cityscapes", split, index, "label")
        np.testing.assert_array_equal(sample.label[row].numpy(), label)
        depth = truth("cityscapes", split, index, "depth")
        np.testing.assert_array_equal(sample.depth[row, 0].numpy(), depth)
    for index in (-1, 3):
        with pytest.raises(IndexError, match=rf"\[0, 3\).*not {index}"):
            split.batch([0, index])


def test_a_crop_is_the_centre_of_images_of_all_sizes(on_disk: Downloads) -> None:
    split = opened(on_disk("ade20k"), "ade20k")
    assert {split.size(index) for index in range(len(split))} == {(64, 96), (96, 64)}
    with pytest.raises(DataError, match=r"64 x 96, 96 x 64"):
        split.batch(range(len(split)))
    sample = split.batch(range(len(split)), crop=(40, 50))
    for index in range(len(split)):
        height, width = split.size(index)
        rows, columns = (
            slice((n - c) // 2, (n - c) // 2 + c) for n, c in ((height, 40), (width, 50))
        )
        label = truth("ade20k", split, index, "label")[rows, columns]
        np.testing.assert_array_equal(sample.label[index].numpy(), label)
        image = truth("ade20k", split, index, "image")[rows, columns]
        shown = denormalise(sample.image[index : index + 1])[0]
        np.testing.assert_array_equal(as_array(shown), image)


def test_a_crop_that_is_larger_is_padded_with_the_unknown(on_disk: Downloads) -> None:
    split = opened(on_disk("cityscapes"), "cityscapes")
    sample, whole = split.batch([1], crop=(70, 100)), split.batch([1])
    for padded, plain in ((sample.image, whole.image), (sample.depth, whole.depth)):
        assert torch.equal(padded[..., :64, :96], plain)
    assert torch.equal(sample.label[..., :64, :96], whole.label)
    for outside in ((..., slice(64, None), slice(None)), (..., slice(None), slice(96, None))):
        assert (sample.label[outside] == IGNORE_INDEX).all()
        assert (sample.depth[outside] == 0).all()
        assert sample.image[outside].abs().max() < 0.02  # the grey nearest to the mean


@pytest.mark.parametrize("batch_size", [1, 2, 3, 7])
def test_runs_hold_images_of_one_size_in_order(batch_size: int, on_disk: Downloads) -> None:
    split = opened(on_disk("ade20k"), "ade20k")
    expected = []
    for _, group in itertools.groupby(range(len(split)), split.size):
        indices = [*group]
        expected += [indices[i : i + batch_size] for i in range(0, len(indices), batch_size)]
    assert [[*run] for run in split.batches(batch_size)] == expected
    assert max(map(len, expected)) == min(batch_size, 2)


def test_opening_takes_the_split_that_the_params_ask_for(on_disk: Downloads, data: Path) -> None:
    coco, rooms, folder = disk_params("coco").data, tiny_params().data, on_disk("coco")
    assert type(open_split(folder, coco, "val", ["segmentation"])) is IndexedSplit
    assert type(open_split(data, rooms, "val", ["segmentation"])).__name__ == "PreparedSplit"
    with pytest.raises(DataError, match=r"no split 'valid'.*train, val, test"):
        open_split(folder, coco, "valid", ["segmentation"])
    for changes in ({"val": coco.val + 1}, {"variant": "other"}):
        with pytest.raises(DataError, match=r"holds .*panoptic-133.* params say"):
            open_split(folder, coco.model_copy(update=changes), "val", ["segmentation"])
    for other, its in ((folder, rooms), (data, coco)):
        with pytest.raises(DataError, match="the params say"):
            open_split(other, its, "val", ["segmentation"])
    split = opened(on_disk("coco"), "coco", "val", "depth")
    with pytest.raises(DataError, match=r"val\.csv: 0+\d+ has no depth; prepare the data anew"):
        split.sample(0)


# ---- verification --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ON_DISK)
def test_data_that_has_not_changed_is_verified(name: str, on_disk: Downloads) -> None:
    for part in SPLITS:
        opened(on_disk(name), name, part).verify()


@pytest.mark.parametrize("role", ["image", "label", "depth"])
def test_a_file_that_was_changed_names_its_image(
    role: str,
    on_disk: Downloads,
    downloads: Downloads,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder = on_disk("cityscapes")
    root = copytree(downloads("cityscapes"), tmp_path / "root")
    monkeypatch.setenv("DEJAVU_ROOT", str(root))
    split = opened(folder, "cityscapes")
    split.verify()
    path = split.dataset.path(split.entry(1), role)
    image = split.dataset.path(split.entry(1), "image")
    path.write_bytes(path.read_bytes() + b"\0")
    with pytest.raises(DataError, match=rf"{image}: .* bytes.*; prepare the data"):
        opened(folder, "cityscapes").verify()
    path.unlink()
    with pytest.raises(DataError, match=rf"{path}: is missing"):
        opened(folder, "cityscapes").verify()


def cut_a_column(text: str) -> str:
    return "\n".join(line.rsplit(",", 1)[0] for line in text.splitlines()) + "\n"


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda text: "", r"lists 0 images, .* 3;|is not an index"),
        (lambda text: text[: len(text) // 2], "lists|is not an index"),
        (cut_a_column, "is not an index"),
        (lambda text: text.replace(",64,96,", ",64,wide,"), "is not an index"),
        (lambda text: text + text.splitlines()[-1] + "\n", "lists 4 images, .* 3;"),
        (lambda text: "\udcff", "cannot be read"),
    ],
)
def test_a_damaged_index_is_refused(
    damage: Callable[[str], str], message: str, manifest_copy: Downloads
) -> None:
    folder = manifest_copy("cityscapes")
    path = folder / "train.csv"
    path.write_bytes(damage(path.read_text()).encode(errors="surrogateescape"))
    with pytest.raises(DataError, match=rf"train\.csv: ({message}).*prepare the data anew"):
        opened(folder, "cityscapes")


def test_an_index_of_other_data_fails_verification(manifest_copy: Downloads) -> None:
    folder = manifest_copy("cityscapes")
    path = folder / "train.csv"
    text = path.read_text()
    path.write_text(text.replace(text[-10:], "0123456789"[: len(text[-10:]) - 1] + "\n"))
    with pytest.raises(DataError, match=r"train\.csv: its SHA-256 is"):
        opened(folder, "cityscapes").verify()
    path.unlink()
    with pytest.raises(DataError, match=r"train\.csv: .*missing; prepare the data anew"):
        opened(folder, "cityscapes")


def test_the_manifest_of_other_data_is_noticed(manifest_copy: Downloads) -> None:
    folder, other = manifest_copy("ade20k"), manifest_copy("coco")  # of as many images
    (folder / "manifest.json").write_bytes((other / "manifest.json").read_bytes())
    with pytest.raises(DataError, match=r"train\.csv: its SHA-256 is"):
        opened(folder, "ade20k").verify()


# ---- location of the data, and its readers -------------------------------------------------------


def test_the_folder_is_the_environments_or_the_default(
    on_disk: Downloads, downloads: Downloads, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = on_disk("coco")
    expected = opened(folder, "coco").read(0, "label")
    monkeypatch.delenv("DEJAVU_ROOT")
    monkeypatch.chdir(tmp_path)
    assert data_root("coco") == Path("data/raw/coco")
    with pytest.raises(DataError, match=r"data/raw/coco/annotations\S* is missing"):
        opened(folder, "coco").read(0, "label")
    (tmp_path / "data/raw").mkdir(parents=True)
    (tmp_path / "data/raw/coco").symlink_to(downloads("coco"))
    np.testing.assert_array_equal(opened(folder, "coco").read(0, "label"), expected)


def test_a_folder_that_is_given_goes_before_the_environments(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("DEJAVU_ROOT", "/first")
    use_root(None)
    assert data_root("kitti") == Path("/first")
    use_root("/second")
    assert data_root("kitti") == Path("/second")
    monkeypatch.setenv("DEJAVU_ROOT", "")
    assert data_root("kitti") == Path("data/raw/kitti")


class Examples(Dataset[list[Tensor]]):
    """Samples read by a worker process, as plain tensors."""

    def __init__(self, split: IndexedSplit) -> None:
        self.split = split

    def __getitem__(self, index: int) -> list[Tensor]:
        return [part.as_subclass(Tensor) for part in self.split.sample(index).values()]


@pytest.mark.parametrize("name", ["nyuv2", "coco"])
def test_worker_processes_read_what_this_one_reads(name: str, on_disk: Downloads) -> None:
    samples = Examples(opened(on_disk(name), name, "train"))
    here = [samples[index] for index in range(len(samples.split))]  # the file is open here, too
    order = [index for _ in range(4) for index in range(len(here))]
    loader = DataLoader(samples, None, sampler=order, num_workers=2, multiprocessing_context="fork")
    for index, parts in zip(order, loader, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(parts, here[index], strict=True))


@pytest.mark.parametrize("name", ON_DISK)
def test_a_split_can_be_sent_to_another_process(name: str, manifest_copy: Downloads) -> None:
    folder = manifest_copy(name)
    opened(folder, name).write_cache()
    for cached in (True, False):
        if not cached:
            (folder / "cache/train.json").unlink()
        split = opened(folder, name)
        expected = split.sample(0)
        split.dataset.read(split.entry(0), "image")
        sent = pickle.dumps(split)
        assert len(sent) < 20_000, "images go with it"
        again = pickle.loads(sent)
        assert again.name(0) == split.name(0)
        assert all(torch.equal(again.sample(0)[role], part) for role, part in expected.items())
