"""Training augmentation: its random draws, and entries that stay aligned."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from torch import Tensor

from dejavu.config.augmentation import AugmentationParams
from dejavu.data.augmentation import Sample, augment, centre_crop, zoom
from dejavu.data.sample import normalise
from dejavu.data.targets import DepthMap, LabelMap, NormalMap
from dejavu.datasets.reading.conventions import IGNORE_INDEX
from dejavu.runtime.torchvision_import import import_torchvision
from tests.support.alignment import check_alignment, positions

import_torchvision()

from torchvision import tv_tensors  # noqa: E402

few = settings(max_examples=15)

ALL = AugmentationParams(
    border=(1, 31, 2, 39),
    scale=(0.5, 2.0),
    rotate=10.0,
    crop=(24, 28),
    brightness=0.4,
    contrast=0.4,
    saturation=0.4,
    hue=0.1,
    gamma=(0.9, 1.1),
)


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def equal(one: Sample, other: Sample) -> bool:
    return set(one) == set(other) and all(torch.equal(one[name], other[name]) for name in one)


def picture(values: Any) -> Sample:
    return {"image": tv_tensors.Image(torch.as_tensor(values, dtype=torch.uint8))}


def grey(values: list[int]) -> Sample:
    return picture([[values]] * 3)


def test_the_generator_decides_and_nothing_else() -> None:
    sample, before = positions(), positions()
    state = torch.get_rng_state()
    torch.manual_seed(1)
    first = augment(sample, ALL, seeded(0))
    torch.manual_seed(2)
    assert equal(first, augment(sample, ALL, seeded(0)))
    assert not equal(first, augment(sample, ALL, seeded(1)))
    assert equal(sample, before)
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    augment(sample, ALL, seeded(0))
    assert torch.equal(torch.rand(1), expected)  # no draw from the global generator
    torch.set_rng_state(state)


@few
@given(
    seed=st.integers(0, 10**6),
    border=st.sampled_from([None, (2, 31, 1, 38)]),
    scale=st.sampled_from([None, (0.5, 2.0), (1.3, 1.3), (0.7, 0.7)]),
    rotate=st.sampled_from([0.0, 2.5, 30.0]),
    crop=st.sampled_from([None, (20, 24), (70, 60)]),
)
def test_entries_stay_aligned_and_labels_stay_labels(
    seed: int, border: Any, scale: Any, rotate: float, crop: Any
) -> None:
    params = AugmentationParams(
        border=border, scale=scale, scale_depth=False, rotate=rotate, crop=crop
    )
    sample = positions()
    varied = augment(sample, params, seeded(seed))
    zoom_error = 0.5 if scale else 0.0
    rotation_error = 0.5 / min(scale or [1]) if rotate else 0.0
    check_alignment(varied, error=zoom_error + rotation_error)
    allowed = {*sample["label"].unique().tolist(), IGNORE_INDEX}
    assert set(varied["label"].unique().tolist()) <= allowed
    if crop is not None:
        assert varied["image"].shape == (3, *crop)


def test_the_default_recipe_changes_nothing() -> None:
    params = AugmentationParams()
    assert params.changes_nothing
    assert equal(augment(positions(), params, seeded(0)), positions())


@pytest.mark.parametrize("name", sorted({*AugmentationParams.model_fields} - {"scale_depth"}))
def test_every_key_changes_the_sample(name: str) -> None:
    params = AugmentationParams(**{name: getattr(ALL, name)})
    assert not params.changes_nothing
    assert not equal(augment(positions(), params, seeded(3)), positions())


def test_the_border_of_nyu_is_cropped_first() -> None:
    label = torch.arange(480 * 640, dtype=torch.int32).view(480, 640)
    sample = picture(torch.zeros(3, 480, 640)) | {"label": LabelMap(label)}
    kept = augment(sample, AugmentationParams(border=(45, 472, 43, 608)), seeded(0))["label"]
    assert kept.shape == (427, 565)
    assert kept[0, 0] == 45 * 640 + 43
    assert kept[-1, -1] == 471 * 640 + 607


def test_a_border_beyond_the_image_is_refused() -> None:
    params = AugmentationParams(border=(45, 472, 43, 608))
    with pytest.raises(ValueError, match=r"image is 32 x 40.* border=\(45, 472"):
        augment(positions(), params, seeded(0))


def test_zooming_by_two_halves_the_depth_and_keeps_the_normals() -> None:
    depth = torch.tensor([[[4.0, 0.0], [6.0, 8.0]]])
    normals = torch.tensor([0.6, 0.0, -0.8]).view(3, 1, 1).expand(3, 2, 2)
    sample = picture(torch.zeros(3, 2, 2)) | {
        "depth": DepthMap(depth),
        "normals": NormalMap(normals),
    }
    near = zoom(sample, 2)
    assert type(near["depth"]) is DepthMap
    assert torch.equal(near["depth"], torch.from_numpy(np.kron(depth / 2, np.ones((1, 2, 2)))))
    assert torch.equal(near["normals"], normals[:, :1, :1].expand(3, 4, 4))
    assert torch.equal(sample["depth"], DepthMap(depth))


def test_depth_is_divided_by_the_zoom_that_was_drawn() -> None:
    for seed in range(5):
        varied = augment(positions(), AugmentationParams(scale=(0.5, 2.0)), seeded(seed))
        factor = varied["image"].shape[-1] / 40
        ratio = (varied["label"] - 999) / varied["depth"][0]
        assert ratio.min().item() == pytest.approx(factor, abs=0.5 / 40 + 1e-4)
        assert ratio.max().item() == pytest.approx(ratio.min().item(), rel=1e-5)
    params = AugmentationParams(scale=(0.5, 0.5), scale_depth=False)
    kept = augment(positions(), params, seeded(0))
    assert torch.equal(kept["depth"][0], kept["label"] - 999.0)


def test_zooms_fill_their_range() -> None:
    params = AugmentationParams(scale=(0.5, 2.0))
    widths = [
        augment(picture(torch.zeros(3, 1, 100)), params, seeded(seed))["image"].shape[-1]
        for seed in range(60)
    ]
    assert 50 <= min(widths) < 65
    assert 185 < max(widths) <= 200
    assert abs(np.mean(widths) - 125) < 15  # uniform in the factor


def test_rotations_go_both_ways_and_no_farther_than_asked() -> None:
    right = torch.tensor([1.0, 0.0, 0.0]).view(3, 1, 1).expand(3, 3, 3)
    sample = picture(torch.zeros(3, 3, 3)) | {"normals": NormalMap(right)}
    angles = []
    for seed in range(60):
        turned = augment(sample, AugmentationParams(rotate=20), seeded(seed))["normals"]
        x, y = turned[:2, 1, 1].tolist()
        angles.append(math.degrees(math.atan2(-y, x)))
    assert -20 <= min(angles) < -15
    assert 15 < max(angles) <= 20
    assert abs(np.mean(angles)) < 5


def test_crops_take_every_place_and_no_other() -> None:
    sample = picture(torch.arange(20).view(4, 5).expand(3, 4, 5))
    params = AugmentationParams(crop=(3, 3))
    starts = {augment(sample, params, seeded(seed))["image"][0, 0, 0].item() for seed in range(100)}
    assert starts == {0, 1, 2, 5, 6, 7}


def test_a_crop_beyond_the_image_is_padded_below_and_on_the_right() -> None:
    sample = positions()
    padded = augment(sample, AugmentationParams(crop=(40, 50)), seeded(0))
    outside = torch.ones(40, 50, dtype=torch.bool)
    outside[:32, :40] = False
    assert torch.equal(padded["label"][:32, :40], sample["label"].as_subclass(Tensor))
    assert (padded["label"][outside] == IGNORE_INDEX).all()
    assert (padded["depth"][0, outside] == 0).all()
    assert (padded["normals"][:, outside] == 0).all()
    assert normalise(padded["image"][None])[0, :, outside].abs().max() < 0.01


def test_corners_that_a_rotation_uncovers_are_grey() -> None:
    white = picture(torch.full((3, 20, 20), 255))
    turned = augment(white, AugmentationParams(rotate=30), seeded(3))["image"]
    assert turned[:, 0, 0].tolist() == [128, 128, 128]
    assert turned[:, 10, 10].tolist() == [255, 255, 255]


def test_colours_change_the_image_and_no_target() -> None:
    params = AugmentationParams(
        brightness=0.4, contrast=0.4, saturation=0.4, hue=0.1, gamma=(0.5, 0.6)
    )
    sample = positions()
    varied = augment(sample, params, seeded(0))
    assert not torch.equal(varied["image"], sample["image"])
    assert type(varied["image"]) is tv_tensors.Image
    assert varied["image"].dtype == torch.uint8
    for name in ("label", "depth", "normals"):
        assert torch.equal(varied[name], sample[name])


def repeated(sample: Sample, count: int = 40, **strengths: Any) -> np.ndarray:
    """The sample's pixels under ``count`` draws: count x 3 x W."""
    params = AugmentationParams(**strengths)
    draws = [augment(sample, params, seeded(seed))["image"][:, 0] for seed in range(count)]
    return torch.stack(draws).numpy().astype(float)


def test_brightness_multiplies() -> None:
    values = repeated(grey([50, 100]), brightness=0.5)
    assert 25 <= values[..., 0].min() < 30
    assert 70 < values[..., 0].max() <= 75
    assert np.abs(values[..., 1] - 2 * values[..., 0]).max() <= 2


def test_contrast_moves_colours_from_their_mean() -> None:
    values = repeated(grey([100, 140]), contrast=0.5)
    spread = values[:, 0, 1] - values[:, 0, 0]
    assert 19 <= spread.min() < 25
    assert 55 < spread.max() <= 61
    assert np.abs(values.mean((1, 2)) - 120).max() <= 1


def test_saturation_moves_colours_from_their_grey() -> None:
    sample = picture(torch.tensor([[160, 90], [100, 90], [100, 90]])[:, None])
    values = repeated(sample, saturation=0.5)
    assert (np.abs(values[..., 1] - 90) <= 1).all()  # already grey
    spread = values[:, 0, 0] - values[:, 1, 0]
    assert 29 <= spread.min() < 36
    assert 84 < spread.max() <= 91


def test_hue_turns_the_colour_and_keeps_its_value() -> None:
    sample = picture(torch.tensor([[200, 90], [100, 90], [100, 90]])[:, None])
    values = repeated(sample, hue=0.1)
    assert (np.abs(values[..., 1] - 90) <= 1).all()
    red = values[..., 0]
    assert (np.abs(red.max(1) - 200) <= 1).all()
    assert (np.abs(red.min(1) - 100) <= 1).all()
    turned = (red[:, 1] - red[:, 2]) / 100 / 6  # of the circle, towards green
    assert -0.1 - 2e-3 <= turned.min() < -0.07
    assert 0.07 < turned.max() <= 0.1 + 2e-3


@few
@given(gamma=st.floats(0.2, 4.0))
def test_gamma_is_a_power(gamma: float) -> None:
    before = [0, 30, 128, 200, 255]
    params = AugmentationParams(gamma=(gamma, gamma))
    after = augment(grey(before), params, seeded(0))["image"][0, 0].numpy().astype(float)
    assert np.abs(after - 255 * (np.array(before) / 255) ** gamma).max() <= 1


@few
@given(height=st.integers(1, 45), width=st.integers(1, 55))
def test_the_centre_crop_is_the_centre(height: int, width: int) -> None:
    sample = positions()
    cropped = centre_crop(sample, height, width)
    label = np.full((max(32, height), max(40, width)), IGNORE_INDEX)
    label[:32, :40] = sample["label"].numpy()
    rows = (label.shape[0] - height) / 2, (label.shape[1] - width) / 2
    top, left = (int(np.rint(start)) for start in rows)
    expected = label[top : top + height, left : left + width]
    assert np.array_equal(cropped["label"].numpy(), expected)
    known = expected != IGNORE_INDEX
    assert np.array_equal(cropped["depth"].numpy()[0], (expected - 999) * known)
    assert np.array_equal(cropped["image"].numpy()[0, ~known], np.full((~known).sum(), 128))


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"image": torch.zeros(3, 32, 40, dtype=torch.uint8)}, "'image'.*type Image, not Tensor"),
        ({"image": tv_tensors.Image(torch.zeros(3, 32, 40))}, "'image'.*uint8, not torch.float32"),
        (
            {"image": tv_tensors.Image(torch.zeros(1, 32, 40).byte())},
            r"'image'\] is \(1, 32, 40\), .*\(3, 32, 40\)",
        ),
        (
            {"label": LabelMap(torch.zeros(1, 32, 40).byte())},
            r"'label'\] is \(1, 32, 40\), .*\(32, 40\)",
        ),
        ({"label": torch.zeros(32, 40, dtype=torch.int64)}, "'label'.*type LabelMap, not Tensor"),
        ({"label": DepthMap(torch.zeros(1, 32, 40))}, "'label'.*LabelMap, not DepthMap"),
        (
            {"depth": DepthMap(torch.zeros(1, 30, 40))},
            r"'depth'\] is \(1, 30, 40\), .*\(1, 32, 40\)",
        ),
        ({"normal": NormalMap(torch.zeros(3, 32, 40))}, "'normal'.*of image, label"),
    ],
)
def test_an_invalid_sample_is_refused(change: dict[str, Tensor], expected: str) -> None:
    sample = positions() | change
    with pytest.raises(ValueError, match=expected):
        augment(sample, AugmentationParams(), seeded(0))
    with pytest.raises(ValueError, match=expected):
        zoom(sample, 2)
    with pytest.raises(ValueError, match=expected):
        centre_crop(sample, 4, 4)


def test_a_sample_has_an_image() -> None:
    with pytest.raises(ValueError, match="no 'image', only label"):
        centre_crop({"label": positions()["label"]}, 4, 4)


@pytest.mark.parametrize("factor", [0, -1, math.nan, math.inf])
def test_an_impossible_zoom_is_refused(factor: float) -> None:
    with pytest.raises(ValueError, match=f"factor={factor}: must be above 0"):
        zoom(positions(), factor)


@pytest.mark.parametrize(
    "values",
    [
        {"border": (5, 5, 0, 4)},
        {"border": (0, 5, 4, 4)},
        {"border": (-1, 5, 0, 4)},
        {"border": (0, 5, 4)},
        {"scale": (2.0, 0.5)},
        {"scale": (0.0, 1.0)},
        {"scale": (1.0, math.inf)},
        {"gamma": (1.1, 0.9)},
        {"gamma": (math.nan, 1.0)},
        {"rotate": -1},
        {"rotate": 181},
        {"rotate": math.nan},
        {"crop": (0, 4)},
        {"brightness": -0.1},
        {"contrast": 1.1},
        {"saturation": math.nan},
        {"hue": 0.6},
        {"crops": (4, 4)},
    ],
)
def test_impossible_recipes_are_refused(values: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match=next(iter(values))):
        AugmentationParams(**values)


def test_a_recipe_is_read_back_from_its_rendered_lists() -> None:
    tree = ALL.model_dump(mode="json")
    assert tree["border"] == [1, 31, 2, 39]
    assert AugmentationParams.model_validate(tree) == ALL
