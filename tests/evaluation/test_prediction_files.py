"""Files of other programs: what is not metres, unit vectors or the data set's ids is named."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from dejavu.datasets.reading.raw import Array
from dejavu.datasets.reading.registry import dataset_class
from dejavu.evaluation.prediction_files import (
    axis_agreement,
    depth_ratios,
    read_labels,
    read_map,
    require_frame,
    require_metres,
)
from dejavu.runtime.errors import DataError

RNG = np.random.default_rng(0)
DEPTH = RNG.uniform(1, 9, (1, 6, 8)).astype(np.float32)
NORMALS = RNG.normal(size=(3, 6, 8)).astype(np.float32)
NORMALS /= np.linalg.norm(NORMALS, axis=0)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "0001.npy"


@pytest.mark.parametrize(("kind", "truth"), [("depth", DEPTH), ("normals", NORMALS)])
@pytest.mark.parametrize("dtype", ["<f4", ">f4", "f2", "f8"])
def test_floats_of_any_size_are_read(path: Path, kind: str, truth: Array, dtype: str) -> None:
    np.save(path, truth.astype(dtype))
    found = read_map(path, kind, truth)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, truth, rtol=0, atol=5e-3)


@pytest.mark.parametrize(
    ("stored", "message"),
    [
        ((1000 * DEPTH).astype(np.uint16), "uint16.*millimetres"),
        ((256 * DEPTH).astype(np.int32), r"int32.*256ths"),
        ((20 * DEPTH).astype(np.uint8), "uint8.*grey"),
        (DEPTH > 5, "bool"),
        (DEPTH + 1j, "complex64"),
        (DEPTH.astype(object), "cannot be read"),
        (DEPTH.astype("M8[s]"), "datetime64"),
        (-DEPTH, "-8.*below 0"),
        (np.log(DEPTH) - 1, "below 0.*logarithm"),
        (0 * DEPTH, "is 0 everywhere"),
        (DEPTH.astype(np.float64) * 1e300, "not finite"),
        (np.where(DEPTH > 8, np.inf, DEPTH), "not finite"),
        (DEPTH[0], r"shape \(6, 8\), .*\(1, 6, 8\)"),
        (DEPTH.transpose(1, 2, 0), r"shape \(6, 8, 1\), .*axes are in another order"),
        (DEPTH[..., :0], "cannot be read|shape"),
    ],
)
def test_what_is_no_depth_is_named(path: Path, stored: Any, message: str) -> None:
    np.save(path, stored, allow_pickle=True)
    with pytest.raises(DataError, match=rf"{path}: .*{message}"):
        read_map(path, "depth", DEPTH)


@pytest.mark.parametrize(
    ("stored", "message"),
    [
        (np.round(127.5 * (NORMALS + 1)).astype(np.uint8), "uint8.*Divide by 127.5"),
        (127.5 * (NORMALS + 1), "from 0 to 255.*Divide by 127.5"),
        ((NORMALS + 1) / 2, "from 0 to 1.*Double"),
        (3 * NORMALS, "length 3 to 3 .*divide each by its length"),
        (NORMALS * (DEPTH > 2), "length 0 to 0 .*no direction"),
        (np.moveaxis(NORMALS, 0, 2), "axes are in another order"),
        (NORMALS * 1j, "complex64"),
    ],
)
def test_what_are_no_normals_is_named(path: Path, stored: Array, message: str) -> None:
    np.save(path, stored)
    with pytest.raises(DataError, match=rf"{path}: .*{message}"):
        read_map(path, "normals", NORMALS)


def test_normals_may_be_unknown_where_they_are_not_scored(path: Path) -> None:
    known = DEPTH > 2
    np.save(path, NORMALS * known)
    np.testing.assert_array_equal(read_map(path, "normals", NORMALS * known), NORMALS * known)


def test_a_map_of_another_task_is_only_finite(path: Path) -> None:
    np.save(path, -DEPTH)
    np.testing.assert_array_equal(read_map(path, "albedo", DEPTH), -DEPTH)


def test_an_archive_of_arrays_is_named(path: Path) -> None:
    with path.open("wb") as file:
        np.savez(file, depth=DEPTH)
    with pytest.raises(DataError, match=rf"{path}: .*archive"):
        read_map(path, "depth", DEPTH)


def test_a_header_that_promises_more_than_the_file_holds_is_refused(path: Path) -> None:
    np.save(path, DEPTH)
    path.write_bytes(path.read_bytes().replace(b"(1, 6, 8)", b"(9**9, 6)", 1))
    with pytest.raises(DataError, match=rf"{path}: cannot be read"):
        read_map(path, "depth", DEPTH)


@pytest.mark.parametrize(
    ("factor", "unit"),
    [(1000, "millimetres"), (100, "centimetres"), (256, "256ths"), (0.001, "kilometres")],
)
def test_another_unit_of_a_whole_split_is_named(factor: float, unit: str, tmp_path: Path) -> None:
    unknown = np.zeros_like(DEPTH)
    truths = np.stack([DEPTH, 2 * DEPTH, unknown])
    predicted = np.stack([1.3 * DEPTH, 1.5 * DEPTH, DEPTH])
    ratios = depth_ratios(predicted, truths)
    assert ratios == pytest.approx([1.3, 0.75])
    require_metres(tmp_path, ratios)
    require_metres(tmp_path, [1.0, *(factor * ratio for ratio in ratios)])
    require_metres(tmp_path, depth_ratios(predicted, 0 * truths))
    with pytest.raises(DataError, match=rf"{tmp_path}: .*{unit}"):
        require_metres(tmp_path, depth_ratios(factor * predicted, truths))


@pytest.mark.parametrize(
    ("signs", "axes"),
    [((1, 1, -1), "z,"), ((1, -1, 1), "y,"), ((-1, 1, 1), "x,"), ((1, -1, -1), "y and z,")],
)
def test_another_frame_of_a_whole_split_is_named(
    signs: tuple[int, int, int], axes: str, tmp_path: Path
) -> None:
    truths = np.stack([NORMALS, NORMALS * (DEPTH > 3), 0 * NORMALS])
    noisy = NORMALS + RNG.normal(scale=0.2, size=NORMALS.shape)
    good = np.stack([noisy / np.linalg.norm(noisy, axis=0)] * 3)
    poor = RNG.normal(size=good.shape)
    poor /= np.linalg.norm(poor, axis=1, keepdims=True)
    reversing = np.array(signs)[:, None, None]
    for fine in (good, poor, poor * reversing, -abs(poor)):
        require_frame(tmp_path, [axis_agreement(fine, truths)])
    assert axis_agreement(truths[:2], truths[:2]).sum() == pytest.approx(1)
    with pytest.raises(DataError, match=rf"{tmp_path}: .* but for {axes}"):
        require_frame(tmp_path, [axis_agreement(good * reversing, truths)])


IDS = {
    "cityscapes": [7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33],
    "ade20k": [*range(1, 151)],
    "rooms": [*range(12)],
}


@pytest.mark.parametrize(
    ("name", "stored", "message"),
    [
        ("cityscapes", [0, 1, 13, 18], r"id 0,.*trainIds.*road has the id 7"),
        ("cityscapes", [7, 8, 255], "id 255,.*unlabelled"),
        ("cityscapes", [8, 9, 12, 34], "id 9,.*too high by 1"),
        ("cityscapes", [7, 9, 33], r"id 9,.*road has the id 7"),
        ("ade20k", [0, 3, 149], r"id 0,.*labels from 0.*wall has the id 1"),
        ("ade20k", [0, 3, 149, 255], r"id 0,.*labels from 0.*wall has the id 1"),
        ("ade20k", [2, 151], "id 151,.*too high by 1"),
        ("rooms", [1, 12], "id 12,.*too high by 1"),
    ],
)
def test_ids_of_another_kind_are_named(
    name: str, stored: list[int], message: str, tmp_path: Path
) -> None:
    path, ids = tmp_path / "a.png", np.array(IDS[name])
    names = (
        ["floor"] * 12
        if name == "rooms"
        else [*next(iter(dataset_class(name).variants.values())).class_names]
    )
    Image.fromarray(np.array([stored], np.uint8)).save(path)
    with pytest.raises(DataError, match=rf"{path}: .*{message}"):
        read_labels(path, ids, names)
    Image.fromarray(ids[None].astype(np.uint8)).save(path)
    np.testing.assert_array_equal(read_labels(path, ids, names), [np.arange(len(ids))])
