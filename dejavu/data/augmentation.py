"""Training augmentation: from a sample and a generator to an augmented sample."""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Generator, Tensor

from dejavu.config.augmentation import AugmentationParams
from dejavu.data.sample import IMAGE_MEAN, Sample
from dejavu.data.targets import DepthMap, LabelMap, NormalMap
from dejavu.runtime.torchvision_import import import_torchvision

import_torchvision()  # before the imports below, which fail beside some builds of torch

from torchvision import tv_tensors  # noqa: E402
from torchvision.transforms.v2 import InterpolationMode, functional  # noqa: E402

KINDS: dict[str, type[Tensor]] = {
    "image": tv_tensors.Image,
    "label": LabelMap,
    "depth": DepthMap,
    "normals": NormalMap,
}
"""Type of each entry of a sample."""

CHANNELS: dict[str, tuple[int, ...]] = {"image": (3,), "label": (), "depth": (1,), "normals": (3,)}
"""Leading dimensions of each entry's shape, before height and width."""

GREY = [round(255 * mean) for mean in IMAGE_MEAN]
"""RGB padding of images, which normalises to 0."""


def augment(sample: Sample, params: AugmentationParams, generator: Generator) -> Sample:
    """Augment a sample: border, zoom, rotation and crop, then the image's colours.

    The image is resampled bilinearly and filled with ``GREY``, targets by the nearest pixel and
    with "unknown". Rotation is about the image's centre, which approximates the principal point.

    Args:
        sample: see `Sample`; not modified.
        params: which transforms, and how strong.
        generator: CPU generator of all random draws.

    Raises:
        ValueError: the sample is invalid (see `Sample`), or smaller than the border.

    Example:
        >>> sample = {"image": tv_tensors.Image(torch.zeros(3, 8, 9, dtype=torch.uint8))}
        >>> params = AugmentationParams(scale=(0.5, 2), crop=(4, 6))
        >>> augment(sample, params, torch.Generator().manual_seed(0))["image"].shape
        torch.Size([3, 4, 6])
    """
    size = _checked_size(sample)
    if params.border is not None:
        sample = _keep(sample, params.border, size)
    if params.scale is not None:
        factor = _uniform(*params.scale, generator)
        sample = zoom(sample, factor) if params.scale_depth else _resize(sample, factor)
    if params.rotate:
        angle = _uniform(-params.rotate, params.rotate, generator)
        bilinear = InterpolationMode.BILINEAR
        sample = _map(sample, functional.rotate, angle, bilinear, fill=GREY)
    if params.crop is not None:
        sample = _random_crop(sample, *params.crop, generator)
    return sample | {"image": _recolour(sample["image"], params, generator)}


def zoom(sample: Sample, factor: float) -> Sample:
    """Enlarge a sample by ``factor`` as if the camera were closer: depth is divided by it.

    The usual augmentation of the multi-task literature on NYUv2, normals unchanged; exact for
    surfaces parallel to the image plane, an approximation for others.

    Args:
        sample: see `Sample`.
        factor: above 0, finite; the new size is rounded to whole pixels.

    Raises:
        ValueError: the factor is out of range, or the sample is invalid.

    Example:
        >>> image = tv_tensors.Image(torch.zeros(3, 2, 2, dtype=torch.uint8))
        >>> zoom({"image": image, "depth": DepthMap(torch.full((1, 2, 2), 3.0))}, 2)["depth"].max()
        tensor(1.5000)
    """
    if not 0 < factor < math.inf:
        raise ValueError(f"factor={factor}: must be above 0, and finite")
    sample = _resize(sample, factor)
    if "depth" in sample:
        sample["depth"] = DepthMap(sample["depth"] / factor)
    return sample


def centre_crop(sample: Sample, height: int, width: int) -> Sample:
    """Crop a sample about its centre, padding it below and on the right if it is smaller.

    Raises:
        ValueError: the sample is invalid (see `Sample`).

    Example:
        >>> sample = {"image": tv_tensors.Image(torch.zeros(3, 8, 3, dtype=torch.uint8))}
        >>> centre_crop(sample, 4, 4)["image"][0, 0].tolist()
        [0, 0, 0, 128]
    """
    return _map(_pad_to(sample, height, width), functional.center_crop, [height, width])


def _checked_size(sample: Sample) -> tuple[int, int]:
    """Return a sample's height and width."""
    for name, value in sample.items():
        if name not in KINDS:
            raise ValueError(f"sample[{name!r}] must be one of {', '.join(KINDS)}")
        if not isinstance(value, KINDS[name]):
            raise ValueError(
                f"sample[{name!r}] must be of type {KINDS[name].__name__}, "
                f"not {type(value).__name__}"
            )
    if "image" not in sample:
        raise ValueError(f"sample has no 'image', only {', '.join(sample) or 'nothing'}")
    image = sample["image"]
    if image.dtype != torch.uint8:
        raise ValueError(f"sample['image'] must be uint8, not {image.dtype}")
    height, width = image.shape[-2:]
    for name, value in sample.items():
        expected = (*CHANNELS[name], height, width)
        if value.shape != expected:
            raise ValueError(f"sample[{name!r}] is {tuple(value.shape)}, but must be {expected}")
    return height, width


def _map(sample: Sample, transform: Callable[..., Tensor], *args: Any, **image: Any) -> Sample:
    """Apply a v2 functional to every entry, with further arguments for the image."""
    return {
        name: transform(value, *args, **(image if name == "image" else {}))
        for name, value in sample.items()
    }


def _keep(sample: Sample, border: tuple[int, int, int, int], size: tuple[int, int]) -> Sample:
    top, bottom, left, right = border
    if bottom > size[0] or right > size[1]:
        raise ValueError(f"image is {size[0]} x {size[1]}, too small for border={border}")
    return _map(sample, functional.crop, top, left, bottom - top, right - left)


def _resize(sample: Sample, factor: float) -> Sample:
    size = [max(1, round(side * factor)) for side in _checked_size(sample)]
    return _map(sample, functional.resize, size)


def _pad_to(sample: Sample, height: int, width: int) -> Sample:
    """Pad a sample below and on the right to at least height x width."""
    rows, columns = _checked_size(sample)
    missing = [0, 0, max(width - columns, 0), max(height - rows, 0)]
    return _map(sample, functional.pad, missing, fill=GREY) if any(missing) else sample


def _random_crop(sample: Sample, height: int, width: int, generator: Generator) -> Sample:
    padded = _pad_to(sample, height, width)
    rows, columns = padded["image"].shape[-2:]
    top = int(torch.randint(rows - height + 1, (), generator=generator))
    left = int(torch.randint(columns - width + 1, (), generator=generator))
    return _map(padded, functional.crop, top, left, height, width)


def _recolour(image: Tensor, params: AugmentationParams, generator: Generator) -> Tensor:
    for name in ("brightness", "contrast", "saturation"):
        strength = getattr(params, name)
        if strength:
            adjust = getattr(functional, f"adjust_{name}")
            image = adjust(image, _uniform(1 - strength, 1 + strength, generator))
    if params.hue:
        image = functional.adjust_hue(image, _uniform(-params.hue, params.hue, generator))
    if params.gamma is not None:
        image = functional.adjust_gamma(image, _uniform(*params.gamma, generator))
    return image


def _uniform(low: float, high: float, generator: Generator) -> float:
    return low + (high - low) * torch.rand((), generator=generator).item()
