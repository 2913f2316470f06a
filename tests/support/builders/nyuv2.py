"""A tiny NYUv2: rooms as the labelled .mat with its small files, and as the multi-task bundle."""

from pathlib import Path

import h5py
import numpy as np
from PIL import Image
from scipy.io import savemat

from dejavu.datasets.reading.raw import Array
from dejavu.datasets.rooms import Frame
from tests.support.builders.scenes import scene

HEIGHT, WIDTH = 480, 640

TRAIN_SCENES = ("kitchen_0001", "office_0002")
TEST_SCENE = "bedroom_0010"

ROOM_CLASSES = np.array([1, 21, 894, 59, 64, 130, 19, 5, 83, 3, 144, 82], np.uint16)
"""The class, of 894, of each class of the rooms."""

MAP_CLASS = (7 * np.arange(894) % 40 + 1).astype(np.uint8)
"""The class, of 40, of each of the 894; the published table is another."""

MAP_13 = np.array(
    [
        [12, 5, 6, 1, 4, 9, 10, 12, 13, 6, 8, 6, 13, 10, 6, 13, 6, 7, 7, 5],
        [7, 3, 2, 6, 11, 7, 7, 7, 7, 7, 7, 6, 7, 7, 7, 7, 7, 7, 6, 7],
    ],
    np.uint8,
).ravel()
"""The published class, of 13, of each of the 40."""

BUNDLE_IDS = np.array([2, 22, 1, 9, 11, 20, 7, 5, 6, 3, 35, 40], np.uint8)
"""The id in the bundle of each class of the rooms."""


def build(
    root: Path, train: int = 6, test: int = 3, rendered: tuple[int, int] = (120, 160)
) -> None:
    """Write the labelled data set: image i, from 0, is scene i, and the first are the test images.

    Args:
        root: the folder.
        train: number of images.
        test: number of images.
        rendered: height and width of what is rendered, which is repeated to 480 x 640; it must
            divide that.
    """
    root.mkdir(parents=True, exist_ok=True)
    scenes = [TEST_SCENE] * test + [TRAIN_SCENES[i % 2] for i in range(train)]
    frames = [labelled(index, rendered) for index in range(train + test)]
    images, depths, labels = (np.stack(parts) for parts in zip(*frames, strict=True))
    raw_depths = depths.copy()
    raw_depths[:, :9] = 0  # holes that the published depths have no more
    _write_mat(
        root / "nyu_depth_v2_labeled.mat",
        {"images": images, "depths": depths, "rawDepths": raw_depths, "labels": labels},
        scenes,
    )
    numbers = np.arange(1, train + test + 1, dtype=np.uint16)[::-1, None]
    savemat(root / "splits.mat", {"trainNdxs": numbers[:train], "testNdxs": numbers[train:]})
    savemat(root / "classMapping40.mat", {"mapClass": MAP_CLASS[None]})


def labelled(index: int, rendered: tuple[int, int] = (120, 160)) -> tuple[Array, Array, Array]:
    """Return image ``index`` of `build`.

    Returns:
        480 x 640 x 3 uint8, 480 x 640 float32 metres, and 480 x 640 uint16 (of 894, 0 for none).
    """
    frame = scene(index, *rendered)
    image, depth, label = (_enlarged(m) for m in (frame.image, frame.depth, frame.label))
    classes = ROOM_CLASSES[label]
    classes[:2] = (np.arange(2 * WIDTH) % 895).reshape(2, WIDTH)  # every class, and none
    return image, depth, classes


def build_bundle(
    root: Path, train: int = 6, test: int = 3, height: int = 64, width: int = 96, png: bool = False
) -> None:
    """Write the multi-task bundle: image i, from 0, is called i, and the first are the test images.

    Args:
        root: the folder.
        train: number of images.
        test: number of images.
        height: in pixels.
        width: in pixels.
        png: write images and normals as PNG, as NYUDv2.tar.gz does, and not as NYUD_MT.tgz.
    """
    for folder in ("images", "segmentation", "depth", "normals", "gt_sets"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    names = [f"{index:04d}" for index in range(train + test)]
    for split, listed in (("val", names[:test]), ("train", names[test:])):
        (root / "gt_sets" / f"{split}.txt").write_text("".join(f"{n}\n" for n in listed[::-1]))
    for index, name in enumerate(names):
        frame = scene(index, height, width)
        Image.fromarray(frame.image).save(root / "images" / f"{name}.{'png' if png else 'jpg'}")
        Image.fromarray(bundle_ids(frame)).save(root / "segmentation" / f"{name}.png")
        depth = frame.depth.copy()
        depth[0] = 0
        np.save(root / "depth" / f"{name}.npy", depth)
        normals = frame.normals * np.array([1, 1, -1], np.float32)  # z towards the camera
        if png:
            stored = np.round((normals + 1) * 127.5).astype(np.uint8)
            Image.fromarray(stored).save(root / "normals" / f"{name}.png")
        else:
            normals[0] = 0
            np.save(root / "normals" / f"{name}.npy", normals)


def bundle_ids(frame: Frame) -> Array:
    """Return what the label file of a scene holds: 1 to 40, and 0 for none; H x W uint8."""
    ids = BUNDLE_IDS[frame.label]
    ids[0, :41] = np.arange(41)
    return ids


def _enlarged(part: Array) -> Array:
    times = HEIGHT // part.shape[0], WIDTH // part.shape[1]
    return part.repeat(times[0], axis=0).repeat(times[1], axis=1)


def _write_mat(path: Path, variables: dict[str, Array], scenes: list[str]) -> None:
    """Write a MATLAB 7.3 file: HDF5 behind a header, whose axes are those of MATLAB, reversed."""
    with h5py.File(path, "w", userblock_size=512) as file:
        for key, stack in variables.items():
            reversed_axes = np.moveaxis(stack, 0, -1).T
            file.create_dataset(
                key, data=reversed_axes, chunks=(1, *reversed_axes.shape[1:]), compression=1
            )
        cells = file.create_group("#refs#")
        references = file.create_dataset("scenes", (1, len(scenes)), h5py.ref_dtype)
        for index, name in enumerate(scenes):
            code_units = np.frombuffer(name.encode("utf-16-le"), np.uint16)
            references[0, index] = cells.create_dataset(f"{index}", data=code_units[:, None]).ref
    with path.open("r+b") as raw:
        raw.write(b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM")
