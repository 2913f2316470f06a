"""Rendered rooms: the maps agree with each other and with the scene that they were made from."""

import re
from functools import cache

import numpy as np
import pytest
from scipy.spatial import cKDTree

from dejavu.datasets.rooms import Frame, render_scene
from dejavu.datasets.rooms.captions import MAX_LENGTH
from dejavu.datasets.rooms.classes import CLASSES, PALETTE
from dejavu.datasets.rooms.scenes import RoomsSpec, Scene, sample_scene

SCENES = range(8)
FLAT = [CLASSES.index(name) for name in ("window", "picture", "rug")]
SHELL = 3


@cache
def frame(index: int) -> Frame:
    return render_scene(RoomsSpec(height=96, width=96), "train", index)


@cache
def scene(index: int) -> Scene:
    return sample_scene(RoomsSpec(), "train", index)


def points(frame: Frame) -> np.ndarray:
    """Back-project depth: H x W x 3 in the camera frame."""
    fx, fy, cx, cy = frame.intrinsics
    rows, columns = np.indices(frame.depth.shape)
    rays = [(columns + 0.5 - cx) / fx, (rows + 0.5 - cy) / fy, np.ones(frame.depth.shape)]
    return np.stack(rays, -1) * frame.depth[..., None].astype(np.float64)


def alike(values: np.ndarray, tolerance: float) -> np.ndarray:
    """Tell where a map hardly changes among the 3 x 3 neighbours; False on the border."""
    values = values.reshape(*values.shape[:2], -1).astype(np.float64)
    height, width = values.shape[:2]
    same = np.zeros((height, width), bool)
    same[1:-1, 1:-1] = True
    for i in range(3):
        for j in range(3):
            shifted = values[i : height - 2 + i, j : width - 2 + j]
            same[1:-1, 1:-1] &= (np.abs(shifted - values[1:-1, 1:-1]) <= tolerance).all(-1)
    return same


def finite_difference_error(frame: Frame) -> np.ndarray:
    """Angle between stored normals and those of back-projected depth, degrees."""
    p = points(frame)
    down, right = np.gradient(p, axis=(0, 1))
    normal = np.cross(down, right)  # x right, y down: this one points to -z
    normal /= np.linalg.norm(normal, axis=-1, keepdims=True)
    return np.degrees(np.arccos(np.clip((normal * frame.normals).sum(-1), -1, 1)))


def test_normals_agree_with_the_slope_of_depth() -> None:
    shell, all_smooth = [], []
    for i in SCENES:
        error, is_plane = finite_difference_error(frame(i)), alike(frame(i).normals, 1e-5)
        same_label = alike(frame(i).label, 0)
        shell.append(error[is_plane & same_label & (frame(i).label < SHELL)])
        all_smooth.append(error[alike(frame(i).normals, 0.2) & same_label])
    assert np.concatenate(shell).max() < 0.2
    errors = np.concatenate(all_smooth)
    # What remains are steps between parallel faces of one thing, such as the boards of a shelf.
    assert (errors < 1.5).mean() > 0.97
    assert len(errors) > 0.5 * len(SCENES) * 96 * 96


def test_normals_are_unit_vectors_towards_the_camera() -> None:
    for i in SCENES:
        np.testing.assert_allclose(np.linalg.norm(frame(i).normals, axis=-1), 1, atol=1e-6)
        assert ((frame(i).normals * points(frame(i))).sum(-1) < 0).all()


def test_points_lie_on_what_their_label_says() -> None:
    for i in SCENES:
        camera, room, label = scene(i).camera, scene(i).room, frame(i).label
        world = points(frame(i)) @ camera.rotation.T + camera.position
        np.testing.assert_allclose(world[label == 0][:, 2], 0, atol=1e-5)
        np.testing.assert_allclose(world[label == 1][:, 2], room[2], atol=1e-5)
        walls = world[label == 2][:, :2]
        to_wall = np.minimum(np.abs(walls), np.abs(walls - room[:2])).min(1)
        np.testing.assert_allclose(to_wall, 0, atol=1e-5)
        for kind in set(label[label >= SHELL].tolist()):
            bounds = [t.bounds for t in scene(i).items if t.piece.kind == CLASSES[kind]]
            seen = world[label == kind]
            held = [((seen > low - 1e-4) & (seen < high + 1e-4)).all(1) for low, high in bounds]
            assert np.any(held, axis=0).all()


def test_shell_normals_are_those_of_the_room() -> None:
    for i in SCENES:
        rotation = scene(i).camera.rotation
        for label, up in ((0, 1.0), (1, -1.0)):
            normals = frame(i).normals[frame(i).label == label]
            expected = np.broadcast_to([0, 0, up], normals.shape)
            np.testing.assert_allclose(normals @ rotation.T, expected, atol=1e-6)


def test_labels_change_only_where_geometry_does() -> None:
    """Two neighbours with different labels are not on one plane, unless one is a flat thing."""
    for i in SCENES:
        p, n, label = points(frame(i)), frame(i).normals, frame(i).label
        for a, b in ((np.s_[:, 1:], np.s_[:, :-1]), (np.s_[1:], np.s_[:-1])):
            differ = (label[a] != label[b]) & ~np.isin(label[a], FLAT) & ~np.isin(label[b], FLAT)
            step = np.abs(((p[a] - p[b]) * n[a]).sum(-1)) > 5e-4
            turn = (n[a] * n[b]).sum(-1) < 0.9999
            assert (step | turn)[differ].all()


def test_geometry_of_the_shell_jumps_only_where_labels_change() -> None:
    """Within floor, ceiling or walls, neighbours that face alike are on one plane."""
    for i in SCENES:
        p, n, label = points(frame(i)), frame(i).normals, frame(i).label
        for a, b in ((np.s_[:, 1:], np.s_[:, :-1]), (np.s_[1:], np.s_[:-1])):
            same = (label[a] == label[b]) & (label[a] < SHELL) & ((n[a] * n[b]).sum(-1) > 0.9999)
            step = np.abs(((p[a] - p[b]) * n[a]).sum(-1))
            assert step[same].max() < 1e-4


def test_a_bigger_image_shows_the_same_scene() -> None:
    small = render_scene(RoomsSpec(height=33, width=51), "train", 2)
    large = render_scene(RoomsSpec(height=99, width=153), "train", 2)
    middle = np.s_[1::3, 1::3]  # with a factor of 3, every third pixel has the same centre
    assert small.image.shape == (33, 51, 3)
    np.testing.assert_array_equal(small.label, large.label[middle])
    np.testing.assert_allclose(small.depth, large.depth[middle], rtol=1e-6)
    np.testing.assert_allclose(small.normals, large.normals[middle], atol=1e-6)


@pytest.mark.parametrize("coupling", [0.0, 0.5])
def test_coupling_changes_materials_alone(coupling: float) -> None:
    for i in SCENES:
        other, one = sample_scene(RoomsSpec(coupling=coupling), "train", i), scene(i)
        assert [t.piece for t in other.items] == [t.piece for t in one.items]
        for a, b in zip(other.items, one.items, strict=True):
            np.testing.assert_array_equal(a.position, b.position)
        np.testing.assert_array_equal(other.camera.rotation, one.camera.rotation)
    assert any(
        sample_scene(RoomsSpec(coupling=coupling), "train", i).shell != scene(i).shell
        for i in SCENES
    )


def features(coupling: float, split: str, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Class and main colour of every object, and of floor, ceiling and wall."""
    rows = []
    for i in range(count):
        drawn = sample_scene(RoomsSpec(coupling=coupling), split, i)
        rows += [(label, *drawn.shell[label].colour) for label in range(SHELL)]
        rows += [(CLASSES.index(t.piece.kind), *t.materials[0].colour) for t in drawn.items]
    table = np.array(rows)
    return table[:, 0].astype(int), table[:, 1:] ** (1 / 2.2)


def balanced_accuracy(coupling: float) -> float:
    """Mean recall of guessing the class by its nearest colours in other scenes."""
    known, colour = features(coupling, "train", 150)
    tree = cKDTree(colour)
    label, colour = features(coupling, "val", 150)
    near = known[tree.query(colour, 15)[1]]
    votes = np.stack([(near == k).sum(1) / (known == k).sum() for k in range(len(CLASSES))], 1)
    guess = votes.argmax(1)
    return float(np.mean([(guess == k)[label == k].mean() for k in range(len(CLASSES))]))


def test_coupling_is_how_much_colour_says_about_class() -> None:
    none, half, full = (balanced_accuracy(coupling) for coupling in (0.0, 0.5, 1.0))
    chance = 1 / len(CLASSES)
    assert none < 1.4 * chance
    assert 3 * chance < half < 6 * chance
    assert full > 7 * chance


def test_noise_has_the_stated_strength_and_can_be_off() -> None:
    clean, noisy = (
        render_scene(RoomsSpec(noise=noise), "test", 4).image.astype(float) for noise in (0.0, 0.05)
    )
    again = render_scene(RoomsSpec(noise=0.0), "test", 4).image
    np.testing.assert_array_equal(clean, again)
    unclipped = (clean > 50) & (clean < 205)
    assert (noisy - clean)[unclipped].std() / 255 == pytest.approx(0.05, rel=0.05)


def test_varied_intrinsics_vary_and_the_default_does_not() -> None:
    fixed = {render_scene(RoomsSpec(height=16, width=16), "val", i).intrinsics for i in range(4)}
    spec = RoomsSpec(height=16, width=16, varied_intrinsics=True)
    varied = {render_scene(spec, "val", i).intrinsics for i in range(4)}
    assert len(fixed) == 1
    assert len(varied) == 4


def test_images_are_neither_dark_nor_washed_out() -> None:
    for i in SCENES:
        image = frame(i).image
        assert 60 < image.mean() < 215
        assert (image == 255).all(-1).mean() < 0.15
        assert (image < 5).all(-1).mean() < 0.1


def test_captions_name_only_what_is_seen() -> None:
    for i in range(40):
        shown = render_scene(RoomsSpec(), "val", i)
        assert len(shown.caption) <= MAX_LENGTH
        assert shown.caption.isascii()
        assert shown.caption.startswith("a room")
        for label, name in enumerate(CLASSES):
            if re.search(rf"\b{name}s?\b", shown.caption):
                assert (shown.label == label).mean() >= 0.003, shown.caption


def test_captions_count_the_objects() -> None:
    numbers = {"two": 2, "three": 3, "four": 4, "five": 5, "six": 6}
    pattern = rf"({'|'.join(numbers)}) (?:light )?(?:\w+ )?({'|'.join(CLASSES)})s"
    found = 0
    for i in range(40):
        items = [t.piece.kind for t in sample_scene(RoomsSpec(), "val", i).items]
        for number, name in re.findall(pattern, render_scene(RoomsSpec(), "val", i).caption):
            assert 2 <= numbers[number] <= items.count(name)
            found += 1
    assert found > 10


def test_every_class_is_seen_in_a_handful_of_scenes() -> None:
    seen = {int(k) for i in range(40) for k in np.unique(render_scene(RoomsSpec(), "val", i).label)}
    assert seen == set(range(len(CLASSES)))
    assert len(set(PALETTE)) == len(PALETTE) == len(CLASSES)


def test_a_spec_out_of_range_is_refused() -> None:
    for bad in ({"height": 0}, {"coupling": 1.5}, {"noise": -0.1}, {"seed": -1}):
        (name,) = bad
        with pytest.raises(ValueError, match=name):
            RoomsSpec(**bad)
