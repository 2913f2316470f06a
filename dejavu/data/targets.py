"""Dense targets with their own rules for torchvision's v2 transforms.

In a dictionary with a `tv_tensors.Image`, they follow its flips, crops, padding, resizing and
rotation: resampled to the nearest pixel's centre, filled with "unknown", and with normals rotated
like the image. Photometric transforms and erasing do not change them.

Example:
    >>> from torchvision.transforms import v2
    >>> sample = {
    ...     "image": tv_tensors.Image(torch.zeros(3, 2, 2, dtype=torch.uint8)),
    ...     "normals": NormalMap(torch.tensor([0.6, 0.0, -0.8]).view(3, 1, 1).expand(3, 2, 2)),
    ... }
    >>> v2.RandomHorizontalFlip(p=1)(sample)["normals"][:, 0, 0].tolist()
    [-0.6000000238418579, 0.0, -0.800000011920929]
"""

import math
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Self

import torch
from torch import Tensor

from dejavu.data.sample import mirror_normals
from dejavu.datasets.reading.conventions import IGNORE_INDEX
from dejavu.runtime.torchvision_import import import_torchvision

import_torchvision()  # before the imports below, which fail beside some builds of torch

from torchvision import tv_tensors  # noqa: E402
from torchvision.transforms.v2 import InterpolationMode, functional  # noqa: E402


class DenseTarget(tv_tensors.Mask):  # type: ignore[misc]
    """Base of all targets: nearest-neighbour resampling, and a fill value that means "unknown".

    As masks, they must have the image's size, and transforms that mix images, draw from policies
    or return several crops refuse them.

    Attributes:
        fill: value of pixels that a transform brings in from outside the image.
        layout: the shape, for error messages.

    Raises:
        ValueError: the data has the wrong shape or dtype.
    """

    fill: ClassVar[int]
    layout: ClassVar[str]

    def __new__(cls, data: Any) -> Self:  # noqa: D102
        target: Self = super().__new__(cls, data)
        if not cls._fits(target):
            raise ValueError(
                f"{cls.__name__} must be {cls.layout}, not {tuple(target.shape)} {target.dtype}"
            )
        return target

    @classmethod
    def _fits(cls, target: Tensor) -> bool:
        raise NotImplementedError


_LABEL_TYPES = (torch.uint8, torch.int16, torch.int32, torch.int64)


class LabelMap(DenseTarget):
    """Class indices, ``IGNORE_INDEX`` where unlabelled.

    Shape:
        - ... x H x W, uint8, int16, int32 or int64.

    Example:
        >>> functional.pad(LabelMap(torch.tensor([[7]])), [1, 0]).tolist()
        [[255, 7, 255]]
    """

    fill = IGNORE_INDEX
    layout = "... x H x W of uint8, int16, int32 or int64"

    @classmethod
    def _fits(cls, target: Tensor) -> bool:
        return target.ndim >= 2 and target.dtype in _LABEL_TYPES


class DepthMap(DenseTarget):
    """Metres along the optical axis, 0 where unknown; resizing does not scale the values.

    Shape:
        - ... x 1 x H x W, floating point.

    Example:
        >>> functional.resize(DepthMap(torch.tensor([[[2.0, 4.0]]])), [1, 4]).tolist()
        [[[2.0, 2.0, 4.0, 4.0]]]
    """

    fill = 0
    layout = "... x 1 x H x W floating-point metres"

    @classmethod
    def _fits(cls, target: Tensor) -> bool:
        return target.ndim >= 3 and target.shape[-3] == 1 and target.is_floating_point()


class NormalMap(DenseTarget):
    """Unit vectors in the camera frame (x right, y down, z forward), zero where unknown.

    Shape:
        - ... x 3 x H x W, floating point.

    Example:
        >>> right = torch.tensor([1.0, 0.0, 0.0]).view(3, 1, 1)
        >>> functional.rotate(NormalMap(right), 90).flatten().round().tolist()  # now it points up
        [0.0, -1.0, 0.0]
    """

    fill = 0
    layout = "... x 3 x H x W floating-point vectors"

    @classmethod
    def _fits(cls, target: Tensor) -> bool:
        return target.ndim >= 3 and target.shape[-3] == 3 and target.is_floating_point()


Kernel = Callable[..., Tensor]


def _register(name: str, kind: type[DenseTarget], kernel: Kernel) -> None:
    """Register ``kernel`` as the implementation of a v2 functional for a kind of target."""

    def typed(target: DenseTarget, *args: Any, **settings: Any) -> Tensor:
        moved: Tensor = tv_tensors.wrap(kernel(target, *args, **settings), like=target)
        return moved

    functional.register_kernel(name, kind)(typed)


def _per_plane(kernel: Kernel) -> Kernel:
    """Make a kernel for targets from a kernel for C x H x W images that fills with zeros."""

    def apply(target: DenseTarget, *args: Any, **settings: Any) -> Tensor:
        # Shifted, because every kernel fills with 0; exact, since floating-point targets are
        # filled with 0 anyway, and uint8 wraps around.
        shifted = target.as_subclass(Tensor) - target.fill
        planes = shifted.reshape(-1, *shifted.shape[-2:])
        moved = kernel(planes, *args, **settings) + target.fill
        shape = (*shifted.shape[:-2], *moved.shape[-2:])
        return moved.reshape(shape)

    return apply


def _resize(
    planes: Tensor, size: Sequence[int] | None, max_size: int | None = None, **_: Any
) -> Tensor:
    # "Exact" measures from pixel centres, like the image's own resizing.
    nearest = InterpolationMode.NEAREST_EXACT
    resized: Tensor = functional.resize_image(planes, size, nearest, max_size)
    return resized


def _resized_crop(
    planes: Tensor, top: int, left: int, height: int, width: int, size: Sequence[int], **_: Any
) -> Tensor:
    cropped: Tensor = functional.crop_image(planes, top, left, height, width)
    return _resize(cropped, size)


def _pad(planes: Tensor, padding: Sequence[int], **_: Any) -> Tensor:
    # Unknown in every padding mode: padded pixels have no ground truth.
    padded: Tensor = functional.pad_image(planes, padding)
    return padded


def _rotate(
    planes: Tensor,
    angle: float,
    expand: bool = False,
    center: Sequence[float] | None = None,
    **_: Any,
) -> Tensor:
    nearest = InterpolationMode.NEAREST
    turned: Tensor = functional.rotate_image(planes, angle, nearest, expand, center)
    return turned


def _mirror_normals_vertically(target: DenseTarget) -> Tensor:
    normals: Tensor = target.as_subclass(Tensor)
    return normals.flip(-2) * normals.new_tensor([1.0, -1.0, 1.0]).view(3, 1, 1)


def _rotate_normals(target: DenseTarget, angle: float, **settings: Any) -> Tensor:
    """Rotate the pixels and their vectors: anticlockwise as seen, because y points down."""
    x, y, z = _per_plane(_rotate)(target, angle, **settings).unbind(-3)
    cosine, sine = math.cos(math.radians(angle)), math.sin(math.radians(angle))
    return torch.stack([cosine * x + sine * y, cosine * y - sine * x, z], dim=-3)


def _refuse(name: str) -> Kernel:
    def refuse(target: DenseTarget, *args: Any, **settings: Any) -> Tensor:
        raise ValueError(
            f"{name} has no rule for {type(target).__name__}: "
            "use flips, crop, pad, resize or rotate"
        )

    return refuse


_KERNELS: dict[str, Kernel] = {
    "horizontal_flip": functional.horizontal_flip_image,
    "vertical_flip": functional.vertical_flip_image,
    "crop": functional.crop_image,
    "center_crop": functional.center_crop_image,
    "resize": _resize,
    "resized_crop": _resized_crop,
    "pad": _pad,
    "rotate": _rotate,
}

for _name, _kernel in _KERNELS.items():
    _register(_name, DenseTarget, _per_plane(_kernel))
_register("horizontal_flip", NormalMap, lambda target: mirror_normals(target.as_subclass(Tensor)))
_register("vertical_flip", NormalMap, _mirror_normals_vertically)
_register("rotate", NormalMap, _rotate_normals)

# Else torchvision's rules for masks would apply: filled with class 0, and normals not rotated.
for _name in ("affine", "perspective", "elastic"):
    _register(_name, DenseTarget, _refuse(_name))
