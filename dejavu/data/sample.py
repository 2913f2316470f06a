"""Images with their targets, for all data sets and tasks: a sample has one, a batch several."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Self

import torch
from torch import Tensor

from dejavu.datasets.reading.conventions import IGNORE_INDEX as IGNORE_INDEX
from dejavu.runtime.errors import DataError

Sample = dict[str, Tensor]
"""One image at its own size: an "image" (`tv_tensors.Image`, 3 x H x W uint8 RGB) and any of
"label" (`LabelMap`), "depth" (`DepthMap`) and "normals" (`NormalMap`) of `dejavu.data.targets`."""

IMAGE_MEAN = (0.5, 0.5, 0.5)
IMAGE_STD = (0.25, 0.25, 0.25)


@dataclass(frozen=True)
class Batch:
    """A batch of images with all known ground truth.

    Attributes:
        image: B x 3 x H x W float32, ``(rgb - IMAGE_MEAN) / IMAGE_STD`` with rgb in [0, 1].
        label: B x H x W int64 class indices; ``IGNORE_INDEX`` where unlabelled.
        depth: B x 1 x H x W float32, metres along the optical axis (z); 0 where unknown.
        normals: B x 3 x H x W float32 unit vectors in the camera frame (x right, y down,
            z forward), pointing towards the camera; the zero vector where unknown.
    """

    image: Tensor
    label: Tensor
    depth: Tensor
    normals: Tensor

    def to(self, device: torch.device | str) -> Self:
        """Return the batch with every tensor on ``device``."""
        parts = {field.name: getattr(self, field.name) for field in fields(self)}
        return replace(self, **{name: _moved(part, device) for name, part in parts.items()})

    def hide_labels(self, known: Tensor) -> Self:
        """Return the batch with labels, depth and normals unknown where ``known`` is False.

        Args:
            known: B x H x W bool.
        """
        pixels = known.unsqueeze(1)
        return replace(
            self,
            label=self.label.where(known, IGNORE_INDEX),
            depth=self.depth * pixels,
            normals=self.normals * pixels,
        )

    def flip(self, chosen: Tensor) -> Self:
        """Mirror the ``chosen`` images (B, bool) left to right; mirrored normals negate n_x."""
        mirrored = {}
        for name, mirror in _MIRRORS.items():
            part = getattr(self, name)
            if not _is_unknown(part):
                pick = chosen.view(-1, *[1] * (part.ndim - 1))
                mirrored[name] = torch.where(pick, mirror(part), part)
        return replace(self, **mirrored)


def collate(samples: Sequence[Mapping[str, Tensor]]) -> Batch:
    """Stack samples of one size into a batch; missing targets are unknown everywhere.

    Args:
        samples: each with "image", 3 x H x W uint8 RGB, and any of "label", "depth", "normals".

    Raises:
        DataError: the images differ in size.
    """
    sizes = {tuple(sample["image"].shape[-2:]) for sample in samples}
    if len(sizes) > 1:
        listed = ", ".join(f"{height} x {width}" for height, width in sorted(sizes))
        raise DataError(
            f"the images of one batch differ in size ({listed}): set train.augmentation.crop"
        )
    unknown = {"label": torch.tensor(IGNORE_INDEX), "depth": torch.zeros(1, 1, 1)}
    unknown["normals"] = torch.zeros(3, 1, 1)

    def stacked(role: str) -> Tensor:
        if all(role in sample for sample in samples):
            return torch.stack([sample[role].as_subclass(Tensor) for sample in samples])
        # Expanded, not copied: an unknown part takes no memory.
        shape = unknown[role].shape[:-2]
        return unknown[role].expand(len(samples), *shape, *next(iter(sizes)))

    images = torch.stack([sample["image"].as_subclass(Tensor) for sample in samples])
    return Batch(normalise(images), stacked("label").long(), stacked("depth"), stacked("normals"))


def normalise(rgb: Tensor) -> Tensor:
    """Map B x 3 x H x W uint8 RGB to normalised float32 network input.

    Example:
        >>> normalise(torch.full((1, 3, 1, 1), 255, dtype=torch.uint8)).flatten().tolist()
        [2.0, 2.0, 2.0]
    """
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (IMAGE_MEAN, IMAGE_STD))
    return (rgb.float() / 255 - mean) / std


def denormalise(image: Tensor) -> Tensor:
    """Map a normalised B x 3 x H x W image back to uint8 RGB, clipped to [0, 255]."""
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (IMAGE_MEAN, IMAGE_STD))
    return ((image.float() * std + mean) * 255).round().clamp(0, 255).to(torch.uint8)


def mirror_normals(normals: Tensor) -> Tensor:
    """Mirror normals left to right: flip the pixels and negate n_x.

    Args:
        normals: ... x 3 x H x W, x right.

    Example:
        >>> mirror_normals(torch.tensor([[[1.0, 0.0]], [[0.0, 1.0]], [[0.0, 0.0]]])).tolist()
        [[[-0.0, -1.0]], [[1.0, 0.0]], [[0.0, 0.0]]]
    """
    return normals.flip(-1) * normals.new_tensor([-1.0, 1.0, 1.0]).view(3, 1, 1)


def _flip(part: Tensor) -> Tensor:
    return part.flip(-1)


_MIRRORS = {"image": _flip, "label": _flip, "depth": _flip, "normals": mirror_normals}


def _is_unknown(part: Tensor) -> bool:
    """Tell whether a part is one expanded pixel, which `collate` makes of a missing target."""
    return part.stride(-1) == part.stride(-2) == 0


def _moved(part: Tensor, device: torch.device | str) -> Tensor:
    if not _is_unknown(part):
        return part.to(device)
    return part[:1, ..., :1, :1].to(device).expand(part.shape)
