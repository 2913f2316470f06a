"""The training recipe: an example and a generator in, a varied example of the same kind out."""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Generator, Tensor

from dejavu.config.augmentation import AugmentationParams
from dejavu.data.sample import IMAGE_MEAN, Example
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
"""Type of each entry of an example."""

CHANNELS: dict[str, tuple[int, ...]] = {"image": (3,), "label": (), "depth": (1,), "normals": (3,)}
"""What precedes height and width in each entry's shape."""

GREY = [round(255 * mean) for mean in IMAGE_MEAN]
"""What an image is padded with: the RGB that normalises to 0."""


def augment(example: Example, params: AugmentationParams, generator: Generator) -> Example:
    """Vary an example: border, zoom, rotation and crop, then the image's colours.

    The image is resampled bilinearly and filled with ``GREY``, targets by the nearest pixel and
    with "unknown". Rotation is about the image's centre, which stands for the principal point.

    Args:
        example: is not changed.
        params: the recipe.
        generator: on the CPU; every draw comes from it.

    Raises:
        ValueError: the example is not one (see `Example`), or is smaller than the border.

    Example:
        >>> example = {"image": tv_tensors.Image(torch.zeros(3, 8, 9, dtype=torch.uint8))}
        >>> params = AugmentationParams(scale=(0.5, 2), crop=(4, 6))
        >>> augment(example, params, torch.Generator().manual_seed(0))["image"].shape
        torch.Size([3, 4, 6])
    """
    size = _checked_size(example)
    if params.border is not None:
        example = _keep(example, params.border, size)
    if params.scale is not None:
        factor = _uniform(*params.scale, generator)
        example = zoom(example, factor) if params.scale_depth else _resize(example, factor)
    if params.rotate:
        angle = _uniform(-params.rotate, params.rotate, generator)
        bilinear = InterpolationMode.BILINEAR
        example = _map(example, functional.rotate, angle, bilinear, fill=GREY)
    if params.crop is not None:
        example = _random_crop(example, *params.crop, generator)
    return example | {"image": _recolour(example["image"], params, generator)}


def zoom(example: Example, factor: float) -> Example:
    """Enlarge an example by ``factor`` as if the camera had come nearer: depth is divided by it.

    The usual augmentation of the multi-task literature on NYUv2, normals unchanged; exact for
    surfaces parallel to the image plane, an approximation for others.

    Args:
        example: see `Example`.
        factor: above 0, finite; the new size is rounded to whole pixels.

    Raises:
        ValueError: the factor is impossible, or the example is not one.

    Example:
        >>> image = tv_tensors.Image(torch.zeros(3, 2, 2, dtype=torch.uint8))
        >>> zoom({"image": image, "depth": DepthMap(torch.full((1, 2, 2), 3.0))}, 2)["depth"].max()
        tensor(1.5000)
    """
    if not 0 < factor < math.inf:
        raise ValueError(f"factor={factor}: must be above 0, and finite")
    example = _resize(example, factor)
    if "depth" in example:
        example["depth"] = DepthMap(example["depth"] / factor)
    return example


def centre_crop(example: Example, height: int, width: int) -> Example:
    """Crop an example about its centre; where it is smaller, it is padded below and on the right.

    Raises:
        ValueError: the example is not one (see `Example`).

    Example:
        >>> example = {"image": tv_tensors.Image(torch.zeros(3, 8, 3, dtype=torch.uint8))}
        >>> centre_crop(example, 4, 4)["image"][0, 0].tolist()
        [0, 0, 0, 128]
    """
    return _map(_pad_to(example, height, width), functional.center_crop, [height, width])


def _checked_size(example: Example) -> tuple[int, int]:
    """Return an example's height and width."""
    for name, value in example.items():
        if name not in KINDS:
            raise ValueError(f"example[{name!r}] is none of {', '.join(KINDS)}")
        if not isinstance(value, KINDS[name]):
            raise ValueError(
                f"example[{name!r}] must be of type {KINDS[name].__name__}, "
                f"not {type(value).__name__}"
            )
    if "image" not in example:
        raise ValueError(f"example has no 'image', only {', '.join(example) or 'nothing'}")
    image = example["image"]
    if image.dtype != torch.uint8:
        raise ValueError(f"example['image'] must be uint8, not {image.dtype}")
    height, width = image.shape[-2:]
    for name, value in example.items():
        expected = (*CHANNELS[name], height, width)
        if value.shape != expected:
            raise ValueError(f"example[{name!r}] is {tuple(value.shape)}, and must be {expected}")
    return height, width


def _map(example: Example, transform: Callable[..., Tensor], *args: Any, **image: Any) -> Example:
    """Apply a functional of v2 to every entry, with further settings for the image."""
    return {
        name: transform(value, *args, **(image if name == "image" else {}))
        for name, value in example.items()
    }


def _keep(example: Example, border: tuple[int, int, int, int], size: tuple[int, int]) -> Example:
    top, bottom, left, right = border
    if bottom > size[0] or right > size[1]:
        raise ValueError(f"image is {size[0]} x {size[1]}; it must hold border={border}")
    return _map(example, functional.crop, top, left, bottom - top, right - left)


def _resize(example: Example, factor: float) -> Example:
    size = [max(1, round(side * factor)) for side in _checked_size(example)]
    return _map(example, functional.resize, size)


def _pad_to(example: Example, height: int, width: int) -> Example:
    """Pad an example below and on the right to at least height x width."""
    rows, columns = _checked_size(example)
    missing = [0, 0, max(width - columns, 0), max(height - rows, 0)]
    return _map(example, functional.pad, missing, fill=GREY) if any(missing) else example


def _random_crop(example: Example, height: int, width: int, generator: Generator) -> Example:
    padded = _pad_to(example, height, width)
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
