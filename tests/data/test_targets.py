"""Targets under torchvision's v2 functionals and transforms, against rendered geometry."""

import math
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from dejavu.data.sample import Batch
from dejavu.data.targets import DenseTarget, DepthMap, LabelMap, NormalMap
from dejavu.datasets.reading.conventions import IGNORE_INDEX
from dejavu.datasets.rooms import render_scene
from dejavu.datasets.rooms.scenes import RoomsSpec
from dejavu.runtime.torchvision_import import import_torchvision
from tests.support.alignment import check_alignment, positions

import_torchvision()

from torchvision import tv_tensors  # noqa: E402
from torchvision.transforms import v2  # noqa: E402
from torchvision.transforms.v2 import functional as F  # noqa: E402

few = settings(max_examples=15)

FILLS = {LabelMap: IGNORE_INDEX, DepthMap: 0, NormalMap: 0}


def normal_of_depth(depth: Tensor, focal: float) -> Tensor:
    """Fit a plane to the known depths: 1 / z is n / d times the ray through a pixel's centre."""
    height, width = depth.shape
    row, column = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    rays = torch.stack(
        [(column + 0.5 - width / 2) / focal, (row + 0.5 - height / 2) / focal, 0 * row + 1.0]
    ).double()
    known = depth > 0
    inverse = 1 / depth[known].double()
    n = torch.linalg.lstsq(rays[:, known].T, inverse[:, None]).solution[:, 0]
    towards: Tensor = -n / n.norm()
    return towards


def rendered_plane(normal: Tensor, size: int, focal: float) -> tuple[DepthMap, NormalMap]:
    """Depth and normals of the plane through (0, 0, 3) by intersecting each pixel's ray."""
    centres = (torch.arange(size).double() + 0.5 - size / 2) / focal
    y, x = torch.meshgrid(centres, centres, indexing="ij")
    facing = normal[0] * x + normal[1] * y + normal[2]
    depth = (3 * normal[2] / facing).float()
    return DepthMap(depth[None]), NormalMap(normal.float().view(3, 1, 1).expand(3, size, size))


TURNS: dict[str, Callable[[Any], Any]] = {
    "horizontal_flip": F.horizontal_flip,
    "vertical_flip": F.vertical_flip,
    **{
        f"rotate {angle}": partial(F.rotate, angle=angle)
        for angle in (90, 180, 270, 25.0, -40.0, 133.0)
    },
    "rotate and expand": partial(F.rotate, angle=30.0, expand=True),
}


@pytest.mark.parametrize("turn", TURNS.values(), ids=TURNS)
@pytest.mark.parametrize("tilt", [(0.5, 0.0, -1.0), (0.0, 0.5, -1.0), (-0.3, 0.4, -1.0)])
def test_normals_stay_those_of_the_depth_that_moves_with_them(
    turn: Callable[[Any], Any], tilt: tuple[float, float, float]
) -> None:
    focal = 60.0
    normal = torch.tensor(tilt, dtype=torch.float64)
    depth, normals = rendered_plane(normal / normal.norm(), 64, focal)
    assert depth.min() > 0
    depth, normals = turn(depth), turn(normals)
    fitted = normal_of_depth(depth[0], focal)
    known = depth[0] > 0
    stored = normals.as_subclass(Tensor)[:, known].double()
    assert (stored - fitted[:, None]).norm(dim=0).max() < 0.01
    assert (normals.as_subclass(Tensor)[:, ~known] == 0).all()


@pytest.mark.parametrize("turn", list(TURNS.values())[:5], ids=list(TURNS)[:5])
def test_a_rendered_room_stays_consistent(turn: Callable[[Any], Any]) -> None:
    """Finite differences of back-projected depth are the normals, as they are before."""
    frame = render_scene(RoomsSpec(height=96, width=96), "train", 0)
    fx, fy, cx, cy = frame.intrinsics
    depth = turn(DepthMap(frame.depth[None]))[0].numpy()
    normals = turn(NormalMap(frame.normals.transpose(2, 0, 1).copy())).numpy()
    rows, columns = np.indices(depth.shape)
    rays = [(columns + 0.5 - cx) / fx, (rows + 0.5 - cy) / fy, np.ones(depth.shape)]
    down, right = np.gradient(np.stack(rays, -1) * depth[..., None], axis=(0, 1))
    slope = np.cross(down, right)
    slope /= np.linalg.norm(slope, axis=-1, keepdims=True)
    cosine = (slope * normals.transpose(1, 2, 0)).sum(-1)
    assert np.mean(cosine > math.cos(math.radians(1))) > 0.6


def test_a_positive_angle_turns_anticlockwise_as_it_turns_the_image() -> None:
    image = torch.zeros(3, 5, 5, dtype=torch.uint8)
    image[:, 2, 4] = 255  # right of the centre
    turned = F.rotate(tv_tensors.Image(image), 90)
    assert turned[0].nonzero().tolist() == [[0, 2]]  # above it
    right = NormalMap(torch.tensor([1.0, 0.0, 0.0]).view(3, 1, 1).expand(3, 5, 5))
    up = F.rotate(right, 90)[:, 2, 2]
    assert torch.allclose(up, torch.tensor([0.0, -1.0, 0.0]), atol=1e-6)


@few
@given(seed=st.integers(0, 10**6), angle=st.floats(-360, 360))
def test_turned_normals_keep_their_length_and_turn_back(seed: int, angle: float) -> None:
    draws = torch.Generator().manual_seed(seed)
    normals = NormalMap(torch.nn.functional.normalize(torch.randn(3, 1, 1, generator=draws), dim=0))
    turned = F.rotate(normals, angle)
    assert turned.square().sum().sqrt().item() == pytest.approx(1, abs=1e-5)
    assert torch.allclose(F.rotate(turned, -angle), normals, atol=1e-5)


@few
@given(
    size=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    mode=st.sampled_from([v2.InterpolationMode.BICUBIC, v2.InterpolationMode.BILINEAR]),
)
def test_resizing_takes_the_pixel_whose_area_holds_the_new_centre(
    size: tuple[int, int], mode: v2.InterpolationMode
) -> None:
    height, width = 7, 11
    numbers = torch.arange(height * width).view(height, width)
    rows = [math.floor((i + 0.5) * height / size[0]) for i in range(size[0])]
    columns = [math.floor((i + 0.5) * width / size[1]) for i in range(size[1])]
    expected = numbers.numpy()[np.ix_(rows, columns)]
    label = F.resize(LabelMap(numbers), list(size), mode)
    depth = F.resize(DepthMap(numbers[None].float()), list(size), mode)
    # A centre on the boundary of two pixels may fall to either, as float32 rounds.
    inside = np.ones(size, bool)
    for axis, (old, new) in enumerate(zip((height, width), size, strict=True)):
        place = (np.arange(new) + 0.5) * old / new
        near = np.abs(place - place.round()) < 1e-5
        inside &= ~(near[:, None] if axis == 0 else near[None, :])
    assert np.array_equal(label.numpy()[inside], expected[inside])
    assert np.array_equal(depth.numpy()[0][inside], expected[inside])


OPERATIONS: dict[str, Callable[[Any], Any]] = {
    **TURNS,
    "resize": lambda x: F.resize(x, [11, 5]),
    "resize the short side": lambda x: F.resize(x, 5),
    "crop": lambda x: F.crop(x, 2, 1, 4, 6),
    "crop beyond": lambda x: F.crop(x, -2, 3, 12, 9),
    "centre crop": lambda x: F.center_crop(x, [4, 5]),
    "centre crop beyond": lambda x: F.center_crop(x, [13, 14]),
    "resized crop": lambda x: F.resized_crop(x, 1, 2, 5, 4, [9, 9]),
    "pad": lambda x: F.pad(x, [1, 2, 3, 4], fill=9),
}


@pytest.mark.parametrize("operation", OPERATIONS.values(), ids=OPERATIONS)
def test_batches_are_treated_image_by_image(operation: Callable[[Any], Any]) -> None:
    draws = torch.Generator().manual_seed(0)
    batches = [
        LabelMap(torch.randint(0, 20, (2, 3, 8, 8), generator=draws, dtype=torch.uint8)),
        DepthMap(torch.rand(2, 3, 1, 8, 8, generator=draws)),
        NormalMap(torch.randn(2, 3, 3, 8, 8, generator=draws)),
    ]
    for batch in batches:
        changed = operation(batch)
        assert type(changed) is type(batch)
        assert changed.dtype == batch.dtype
        for i in range(2):
            for j in range(3):
                single = operation(type(batch)(batch[i, j]))
                assert torch.equal(changed[i, j], single.as_subclass(Tensor))


def constant(kind: type[DenseTarget], side: int = 6) -> DenseTarget:
    """A constant target that is nowhere unknown."""
    channels = {LabelMap: (), DepthMap: (1,), NormalMap: (3,)}[kind]
    dtype = torch.int64 if kind is LabelMap else torch.float32
    return kind(torch.full((*channels, side, side), 5, dtype=dtype))


@pytest.mark.parametrize("kind", FILLS)
@pytest.mark.parametrize(
    ("operation", "corner"),
    [
        (lambda x: F.pad(x, [1, 1], fill=7), (0, 0)),
        (lambda x: F.pad(x, [1, 1], padding_mode="reflect"), (0, 0)),
        (lambda x: F.crop(x, -2, -2, 9, 9), (-1, -1)),
        (lambda x: F.crop(x, 20, 20, 9, 9), (4, 4)),
        (lambda x: F.center_crop(x, [8, 8]), (0, 7)),
        (lambda x: F.resized_crop(x, -3, -3, 6, 6, [12, 12]), (5, 0)),
        (lambda x: F.rotate(x, 45, fill=7), (0, 0)),
        (lambda x: F.rotate(x, 45, v2.InterpolationMode.BILINEAR, expand=True), (0, 0)),
    ],
)
def test_what_comes_in_from_outside_is_unknown(
    kind: type[DenseTarget], operation: Callable[[Any], Any], corner: tuple[int, int]
) -> None:
    changed = operation(constant(kind)).as_subclass(Tensor)
    fill = FILLS[kind]
    assert (changed[..., corner[0], corner[1]] == fill).all()
    if kind is not NormalMap:
        assert set(changed.unique().tolist()) <= {5, fill}


def test_uint8_labels_are_those_of_int64() -> None:
    labels = torch.arange(256).view(16, 16)
    for operation in OPERATIONS.values():
        narrow, wide = operation(LabelMap(labels.byte())), operation(LabelMap(labels))
        assert narrow.dtype == torch.uint8
        assert torch.equal(narrow.long(), wide.as_subclass(Tensor))


@few
@given(seed=st.integers(0, 10**6))
def test_public_transforms_keep_the_entries_aligned(seed: int) -> None:
    transform = v2.Compose(
        [
            v2.RandomResizedCrop((30, 34), scale=(0.6, 1.0)),
            v2.RandomRotation(20, interpolation=v2.InterpolationMode.BILINEAR, fill=99),
            v2.RandomCrop((36, 28), pad_if_needed=True, fill=7),
            v2.Resize((41, 37)),
        ]
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        check_alignment(transform(positions()), error=1.5)  # nearest three times


def test_public_transforms_without_chance_keep_the_entries_aligned() -> None:
    transforms = (
        v2.RandomHorizontalFlip(p=1),
        v2.RandomVerticalFlip(p=1),
        v2.CenterCrop((20, 46)),
        v2.Pad([3, 1, 2, 5], padding_mode="reflect"),
        v2.Resize((27, 50)),
        v2.RandomRotation((30, 30), v2.InterpolationMode.BILINEAR, expand=True),
    )
    for transform in transforms:
        check_alignment(transform(positions()))


def test_photometric_transforms_and_erasing_leave_targets_alone() -> None:
    transform = v2.Compose(
        [
            v2.ColorJitter(0.9, 0.9, 0.9, 0.4),
            v2.GaussianBlur(3),
            v2.RandomErasing(p=1),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize([0.5] * 3, [0.25] * 3),
        ]
    )
    before = positions()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torchvision: erasing leaves masks alone
        after = transform(positions())
    assert after["image"].float().std() > 0
    for name in ("label", "depth", "normals"):
        assert type(after[name]) is type(before[name])
        assert torch.equal(after[name], before[name])


@pytest.mark.parametrize("kind", FILLS)
@pytest.mark.parametrize(
    "transform",
    [
        v2.RandomAffine(10),
        v2.RandomPerspective(p=1),
        v2.ElasticTransform(),
    ],
    ids=lambda t: type(t).__name__,
)
def test_transforms_without_a_rule_are_refused(kind: type[DenseTarget], transform: Any) -> None:
    sample = {"image": tv_tensors.Image(torch.zeros(3, 48, 48)), "target": constant(kind, 48)}
    with pytest.raises(ValueError, match=f"no rule for {kind.__name__}: use flips, crop"):
        transform(sample)


@pytest.mark.parametrize("kind", FILLS)
@pytest.mark.parametrize("transform", [v2.FiveCrop(4), v2.TenCrop(4), v2.TrivialAugmentWide()])
@pytest.mark.filterwarnings("ignore:.*currently passing through")
def test_transforms_that_do_not_take_masks_take_no_target(
    kind: type[DenseTarget], transform: Any
) -> None:
    sample = {"image": tv_tensors.Image(torch.zeros(3, 6, 6).byte()), "target": constant(kind)}
    with pytest.raises(TypeError, match="not supported"):
        transform(sample)


@pytest.mark.parametrize("kind", FILLS)
def test_a_target_of_another_size_than_its_image_is_refused(kind: type[DenseTarget]) -> None:
    sample = {"image": tv_tensors.Image(torch.zeros(3, 6, 7)), "target": constant(kind)}
    with pytest.raises(ValueError, match="multiple HxW"):
        v2.RandomCrop((3, 3))(sample)


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        (LabelMap, torch.zeros(4, 4)),
        (LabelMap, torch.zeros(4, 4, dtype=torch.bool)),
        (LabelMap, torch.zeros(4, 4, dtype=torch.int8)),  # cannot hold IGNORE_INDEX
        (LabelMap, torch.zeros(4, dtype=torch.int64)),
        (DepthMap, torch.zeros(4, 4)),
        (DepthMap, torch.zeros(1, 4, 4, dtype=torch.int32)),
        (DepthMap, torch.zeros(3, 4, 4)),
        (NormalMap, torch.zeros(4, 4, 3)),
        (NormalMap, torch.zeros(3, 4, 4, dtype=torch.uint8)),
    ],
)
def test_data_of_another_layout_are_refused(kind: type[DenseTarget], data: Tensor) -> None:
    with pytest.raises(ValueError, match=rf"{kind.__name__} must be \.\.\. x .*, not \("):
        kind(data)


def test_a_flipped_sample_has_the_normals_of_a_flipped_map() -> None:
    draws = torch.Generator().manual_seed(0)
    normals = torch.randn(4, 3, 5, 6, generator=draws)
    sample = Batch(
        image=torch.zeros(4, 3, 5, 6),
        label=torch.zeros(4, 5, 6, dtype=torch.int64),
        depth=torch.zeros(4, 1, 5, 6),
        normals=normals,
    )
    chosen = torch.tensor([True, False, True, False])
    expected = normals.numpy().copy()
    for index in (0, 2):
        for column in range(6):
            expected[index, 0, :, column] = -normals[index, 0, :, 5 - column].numpy()
            expected[index, 1:, :, column] = normals[index, 1:, :, 5 - column].numpy()
    assert np.array_equal(sample.flip(chosen).normals.numpy(), expected)
    flipped = F.horizontal_flip(NormalMap(normals))
    assert torch.equal(sample.flip(torch.ones(4, dtype=torch.bool)).normals, flipped)
    assert torch.equal(F.horizontal_flip(flipped), NormalMap(normals))
