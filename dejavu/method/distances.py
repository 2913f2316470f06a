"""Distances between a regenerated image and the original.

A `Reconstruction` is a weighted sum of these terms:

- ``mse``: mean squared error, in normalised units;
- ``l1``: mean absolute error, in normalised units;
- ``ssim``: 1 - mean structural similarity (Wang et al., IEEE TIP 2004), in rgb;
- ``lpips``: learned perceptual image patch similarity (Zhang et al., CVPR 2018) on the features
  of SqueezeNet 1.1, in rgb. It needs torchmetrics, torchvision and the network's weights.

All use float32, under autocast too: squares of small errors underflow in half precision.
"""

import difflib
import hashlib
import importlib
import math
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlparse

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dejavu.method.redaction.base import check_images
from dejavu.runtime.collective import mean_across
from dejavu.runtime.errors import DejaVuError
from dejavu.runtime.loading import tensors_only
from dejavu.runtime.torchvision_import import import_torchvision

TERMS = ("mse", "l1", "ssim", "lpips")
"""Names of the terms."""

_RGB_TERMS = ("ssim", "lpips")
_WINDOW = 11  # side of SSIM's window in pixels
_SIGMA = 1.5  # its standard deviation in pixels
_C1, _C2 = 0.01**2, 0.03**2  # SSIM's constants at a data range of 1
_SQUEEZENET_SIDE = 17  # smallest image side that SqueezeNet's pooling layers accept
_SQUEEZENET_SHA256 = "b8a52dc049b60e4b6ab68ad0df457362afab8b6304b2febdc1650a5dab4d7e7b"


class Reconstruction(nn.Module):
    """Weighted sum of distances between a regenerated image and the original.

    The module has no state: neither parameters nor buffers, whatever its terms.

    Args:
        weights: weight of each term, by its name in `TERMS`; positive and finite, at least one.
        mean: channel means of the images' normalisation, image = (rgb - mean) / std with rgb in
            [0, 1]; required by ``ssim`` and ``lpips``, which compare rgb.
        std: channel standard deviations of the same.

    Attributes:
        weights: as given.
        mean: as given, or None.
        std: as given, or None.

    Raises:
        ValueError: a name is unknown, a weight invalid, or the normalisation missing, incomplete
            or invalid.
        ImportError: ``lpips`` needs torchmetrics and torchvision.
        DejaVuError: the weights of ``lpips`` are not in torch hub's cache and cannot be
            downloaded.

    Example:
        >>> distance = Reconstruction({"mse": 1.0, "ssim": 0.1}, mean=[0.5] * 3, std=[0.25] * 3)
        >>> image = torch.zeros(2, 3, 16, 16)
        >>> distance(image, image), Reconstruction({"l1": 2.0})(image + 0.25, image)
        (tensor(0.), tensor(0.5000))
    """

    def __init__(
        self,
        weights: Mapping[str, float] = {"mse": 1.0},
        *,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
    ) -> None:
        super().__init__()
        _check_weights(weights)
        _check_normalisation(weights, mean, std)
        self.weights = dict(weights)
        self.mean = None if mean is None else tuple(mean)
        self.std = None if std is None else tuple(std)
        self._lpips = _LPIPS() if "lpips" in weights else None

    def forward(self, regenerated: Tensor, image: Tensor, compared: Tensor | None = None) -> Tensor:
        """Return the distance, a float32 scalar; its gradient reaches regenerated, not image.

        ``mse``, ``l1`` and the map of ``ssim`` are averaged over the compared pixels of the whole
        batch and their channels. The SSIM of a pixel uses its whole window, compared or not.
        ``lpips`` compares whole images, after pixels that are not compared are replaced by the
        original's, and is averaged over the batch.

        Args:
            regenerated: B x C x H x W.
            image: B x C x H x W, floating point, normalised; C is 3 for ``lpips``, H and W are at
                least 11 for ``ssim`` and 17 for ``lpips``.
            compared: B x 1 x H x W, 1 where a pixel is compared, else 0; None stands for ones.

        Raises:
            ValueError: image is not a finite floating-point batch or is too small, a shape
                differs from these, or compared has values other than 0 and 1, or no 1.
        """
        self._check(regenerated, image, compared)
        regenerated, image = regenerated.float(), image.detach().float()
        mask = None if compared is None else compared.float()
        terms = [
            weight * self._term(name, regenerated, image, mask)
            for name, weight in self.weights.items()
        ]
        return torch.stack(terms).sum()

    def _term(self, name: str, regenerated: Tensor, image: Tensor, mask: Tensor | None) -> Tensor:
        if name == "mse":
            return _mean((regenerated - image).square(), mask)
        if name == "l1":
            return _mean((regenerated - image).abs(), mask)
        if name == "ssim":
            similarity = structural_similarity(self._rgb(regenerated), self._rgb(image))
            return _mean(1 - similarity, mask)
        assert self._lpips is not None
        if mask is not None:
            regenerated = torch.where(mask.bool(), regenerated, image)
        return self._lpips(self._rgb(regenerated), self._rgb(image))

    def _rgb(self, image: Tensor) -> Tensor:
        # Not buffers: casting the module would round them.
        mean, std = (image.new_tensor(v).view(-1, 1, 1) for v in (self.mean, self.std))
        return image * std + mean

    def _check(self, regenerated: Tensor, image: Tensor, compared: Tensor | None) -> None:
        check_images("image", image)
        _check_same_shape(regenerated, image)
        batch, channels, height, width = image.shape
        if self.mean is not None and channels != len(self.mean):
            raise ValueError(f"image has {channels} channels, but mean and std {len(self.mean)}")
        if compared is None:
            return
        mask = (batch, 1, height, width)
        if compared.shape != mask:
            raise ValueError(f"compared has shape {tuple(compared.shape)}; it must be {mask}")
        if not ((compared == 0) | (compared == 1)).all():
            raise ValueError("compared must contain only 0 and 1")
        if not compared.any():
            raise ValueError("compared is 0 everywhere: there is no pixel to compare")


def structural_similarity(regenerated: Tensor, image: Tensor) -> Tensor:
    """Compute the SSIM map of each channel (Wang et al., IEEE TIP 2004, eq. 13).

    Means, variances and covariance are weighted by a Gaussian window of 11 x 11 pixels with a
    standard deviation of 1.5; K1 is 0.01 and K2 0.03 at a data range of 1. Images are padded by
    reflection that repeats the border (d c b a | a b c d | d c b a).

    Args:
        regenerated: B x C x H x W, rgb in [0, 1].
        image: B x C x H x W, rgb in [0, 1]; H and W at least 11.

    Returns:
        SSIM of the window around each pixel, B x C x H x W, float32, at most 1.

    Raises:
        ValueError: the shapes differ, or the images are smaller than the window.

    Example:
        >>> image = torch.rand(1, 3, 16, 16)
        >>> structural_similarity(image, image).min()
        tensor(1.)
    """
    _check_same_shape(regenerated, image)
    _check_side(image, _WINDOW, "the window of ssim")
    x, y = regenerated.float(), image.float()
    maps = _smooth(torch.cat([x, y, x * x, y * y, x * y], dim=1))
    mean_x, mean_y, square_x, square_y, product = maps.chunk(5, dim=1)
    variances = square_x - mean_x * mean_x + (square_y - mean_y * mean_y)
    covariance = product - mean_x * mean_y
    similarity: Tensor = (2 * mean_x * mean_y + _C1) * (2 * covariance + _C2)
    return similarity / ((mean_x * mean_x + mean_y * mean_y + _C1) * (variances + _C2))


class _LPIPS:
    """The frozen LPIPS network; not a module, to stay out of a criterion's state dict."""

    def __init__(self) -> None:
        torchvision = import_torchvision()
        try:
            library = importlib.import_module("torchmetrics.image.lpip")
        except ImportError as error:
            raise ImportError(f"lpips: {error}: pip install torchmetrics") from error
        url = torchvision.models.SqueezeNet1_1_Weights.DEFAULT.url
        name, folder = PurePosixPath(urlparse(url).path).name, Path(torch.hub.get_dir())
        weights = folder / "checkpoints" / name
        try:
            # The constructor draws random weights: keep the caller's random stream.
            with torch.random.fork_rng(devices=[]), tensors_only():
                metric = library.LearnedPerceptualImagePatchSimilarity(net_type="squeeze")
            _require_published(weights)
        except Exception as error:  # torch has no common error type for damaged files
            raise DejaVuError(
                f"lpips needs the weights {name} in {weights.parent}: {error}. Download "
                f"{url} into that folder, or set TORCH_HOME to a folder that has them in "
                "hub/checkpoints"
            ) from error
        self._network: Any = metric.net.requires_grad_(False).eval()

    def __call__(self, regenerated: Tensor, image: Tensor) -> Tensor:
        """Compare B x 3 x H x W images, rgb in [0, 1]; return the mean over the batch."""
        _check_side(image, _SQUEEZENET_SIDE, "the network of lpips")
        network = self._network.to(image.device)
        with torch.autocast(image.device.type, enabled=False):
            distances: Tensor = network(regenerated, image, normalize=True)
        return distances.mean()


def _require_published(weights: Path) -> None:
    """Refuse weights that are not SqueezeNet's: torch hub checks what it fetches, not its cache."""
    with weights.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != _SQUEEZENET_SHA256:
        raise ValueError(f"the file there is another one, with the SHA-256 {found}")


def _mean(error: Tensor, mask: Tensor | None) -> Tensor:
    """Average a B x C x H x W error over the pixels of a B x 1 x H x W mask and the channels."""
    if mask is None:
        return error.mean()
    return (error * mask).sum() / (mean_across(mask.sum()) * error.shape[1])


def _smooth(maps: Tensor) -> Tensor:
    """Convolve each channel with SSIM's window, with reflected borders."""
    radius = _WINDOW // 2
    for dim in (-1, -2):
        first, last = maps.narrow(dim, 0, radius), maps.narrow(dim, -radius, radius)
        maps = torch.cat([first.flip(dim), maps, last.flip(dim)], dim)
    offsets = torch.arange(-radius, radius + 1, device=maps.device)
    window = torch.exp(-0.5 * (offsets / _SIGMA).square())
    channels = maps.shape[1]
    across = (window / window.sum()).repeat(channels, 1, 1, 1)
    with torch.autocast(maps.device.type, enabled=False):
        # Contiguous: on channels-last maps cuDNN may use TF32, whose rounding loses the variances,
        # which are differences of large numbers.
        maps = F.conv2d(maps.contiguous(), across, groups=channels)
        return F.conv2d(maps, across.transpose(2, 3), groups=channels)


def _check_weights(weights: Mapping[str, float]) -> None:
    if not weights:
        raise ValueError(f"weights={weights!r}: must name at least one of {', '.join(TERMS)}")
    for name, weight in weights.items():
        if name not in TERMS:
            near = difflib.get_close_matches(name, TERMS, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(TERMS)}"
            raise ValueError(f"weights has {name!r}: no such term; {hint}")
        if not (0 < weight < math.inf):
            raise ValueError(f"weights has {name}={weight!r}: must be finite and above 0")


def _check_normalisation(
    weights: Mapping[str, float], mean: Sequence[float] | None, std: Sequence[float] | None
) -> None:
    if mean is None and std is None:
        for name in _RGB_TERMS:
            if name in weights:
                raise ValueError(f"weights has {name!r}, which compares rgb: give mean and std")
        return
    if mean is None or std is None or len(mean) != len(std):
        raise ValueError(f"mean={mean!r}, std={std!r}: must both have one value per channel")
    if not all(math.isfinite(value) for value in mean):
        raise ValueError(f"mean={mean!r}: must be finite")
    if not all(0 < value < math.inf for value in std):
        raise ValueError(f"std={std!r}: must be finite and above 0")
    if "lpips" in weights and len(mean) != 3:
        raise ValueError(f"mean={mean!r}: must have the 3 channels of rgb for 'lpips'")


def _check_same_shape(regenerated: Tensor, image: Tensor) -> None:
    if regenerated.shape != image.shape:
        raise ValueError(
            f"regenerated has shape {tuple(regenerated.shape)}; "
            f"it must be the image's, {tuple(image.shape)}"
        )


def _check_side(image: Tensor, side: int, reader: str) -> None:
    height, width = image.shape[-2:]
    if min(height, width) < side:
        raise ValueError(f"image is {height} x {width}; {reader} needs at least {side} x {side}")
