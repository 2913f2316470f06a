"""The DejaVu loss: how well a redacted image can be regenerated from the prediction."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from dejavu.method.crm import CRM
from dejavu.method.distances import Reconstruction
from dejavu.method.redaction.base import Redaction, check_images

MSE = {"mse": 1.0}
"""The default distance: the mean squared error alone."""

_TOLERANCE = 0.01
"""Tolerance of the check for rgb in [0, 1]: half precision and resampling overshoot slightly."""


class Regeneration(NamedTuple):
    """A batch of images, redacted and regenerated.

    Attributes:
        redacted: B x C x H x W, the redacted images.
        keep: B x 1 x H x W, 1 where a pixel was kept; None for a spectral redaction.
        regenerated: B x C x H x W, the images regenerated from redacted, keep and condition.
    """

    redacted: Tensor
    keep: Tensor | None
    regenerated: Tensor


def class_probabilities(logits: Tensor) -> Tensor:
    """Map B x C x H x W logits to class probabilities, by softmax over C."""
    return logits.softmax(1)


class RegenerationLoss(nn.Module, ABC):
    """Base of the regeneration losses; `DejaVuLoss` documents the arguments.

    Attributes:
        redaction: redaction of the images.
        condition: maps the raw prediction to the condition.
        gamma: weight of L_DV.
        region: which pixels are compared, ``removed`` or ``all``.
        reconstruction: the terms of L_DV.
    """

    def __init__(
        self,
        redaction: Redaction,
        condition: Callable[[Tensor], Tensor] = class_probabilities,
        gamma: float = 1.0,
        *,
        region: Literal["removed", "all"] | None = None,
        distance: Mapping[str, float] = MSE,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
    ) -> None:
        super().__init__()
        if not (0 <= gamma < math.inf):
            raise ValueError(f"gamma={gamma!r}: must be finite and at least 0")
        natural = "removed" if redaction.kind == "spatial" else "all"
        if region not in (None, "all", natural):
            allowed = "'removed' or 'all'" if natural == "removed" else "'all'"
            raise ValueError(f"region={region!r}: must be {allowed} (or None) for {redaction}")
        self.redaction = redaction
        self.condition = condition
        self.gamma = gamma
        self.region = region or natural
        self.reconstruction = Reconstruction(distance, mean=mean, std=std)

    def forward(
        self, image: Tensor, prediction: Tensor, generator: Generator | None = None
    ) -> Tensor:
        """Return gamma x L_DV, a scalar, float32.

        Args:
            image: B x image_channels x H x W, floating point, normalised. No gradient flows to it.
            prediction: B x channels x H x W, the network's raw output (logits by default); if
                smaller than the image, by a whole factor, it is upsampled bilinearly before
                ``condition``.
            generator: random generator of the redaction; torch's global CPU generator if None.

        Raises:
            ValueError: image or prediction is not a finite floating-point batch, the image exceeds
                its declared range, their batch sizes differ, the prediction's size does not fit
                the image's, or the image or the condition has the wrong number of channels.
        """
        return self.gamma * self.distance(self.regenerate(image, prediction, generator), image)

    def loss_from_condition(
        self, image: Tensor, condition: Tensor, generator: Generator | None = None
    ) -> Tensor:
        """Return gamma x L_DV for an explicit condition, B x channels x H x W (as `forward`)."""
        made = self.regenerate_from_condition(image, condition, generator)
        return self.gamma * self.distance(made, image)

    def regenerate(
        self, image: Tensor, prediction: Tensor, generator: Generator | None = None
    ) -> Regeneration:
        """Redact an image and regenerate it from a prediction (arguments as for `forward`)."""
        check_images("prediction", prediction)
        if len(prediction) != len(image):
            raise ValueError(
                f"prediction has {len(prediction)} samples and image {len(image)}; "
                "they must be the same batch"
            )
        size = image.shape[-2:]
        if prediction.shape[-2:] != size:
            _check_grid(prediction.shape[-2:], size)
            prediction = F.interpolate(prediction, size, mode="bilinear", align_corners=False)
        return self.regenerate_from_condition(image, self.condition(prediction), generator)

    def regenerate_from_condition(
        self, image: Tensor, condition: Tensor, generator: Generator | None = None
    ) -> Regeneration:
        """Redact an image and regenerate it from an explicit condition.

        For probes (zeros, the ground truth, another image's prediction) and for predictions that
        are already resized and mapped to a condition.

        Args:
            image: B x image_channels x H x W, floating point, normalised.
            condition: B x channels x H x W, floating point.
            generator: random generator of the redaction; torch's global CPU generator if None.

        Raises:
            ValueError: image or condition is not a finite floating-point batch of this shape.
        """
        check_images("condition", condition)
        made = self._regenerate(image.detach(), condition, generator)
        mean, std = self.reconstruction.mean, self.reconstruction.std
        if mean and std:
            _check_range(image, mean, std)
        return made

    @abstractmethod
    def _regenerate(
        self, image: Tensor, condition: Tensor, generator: Generator | None
    ) -> Regeneration:
        """Redact and regenerate a batch."""

    def distance(self, made: Regeneration, image: Tensor) -> Tensor:
        """Return L_DV, a scalar: the weighted sum of the terms over the compared pixels.

        Args:
            made: a regeneration of ``image``.
            image: B x image_channels x H x W.

        Raises:
            ValueError: the shapes differ, or ``region`` is ``removed`` and no pixel was removed.
        """
        compared = None
        if self.region == "removed" and made.keep is not None:
            compared = 1 - made.keep.float()
        distance: Tensor = self.reconstruction(made.regenerated, image, compared)
        return distance


class DejaVuLoss(RegenerationLoss):
    """Image reconstruction loss whose gradient reaches a network through its prediction.

    The image I is redacted to I_R, and a `CRM` F regenerates it from I_R and the condition
    phi(C), computed from the network's prediction C: L_DV = distance(F(I_R, phi(C)), I), after
    the paper's description (Borse et al., CVPR 2023). The network is unchanged; this module holds
    only the CRM, which is not used at inference. Labels are not needed: unlabelled images and
    pixels are regenerated like any other.

    Args:
        channels: channels of the condition.
        redaction: redaction of the images.
        condition: differentiable map from the raw prediction, resized to the image, to a bounded
            condition. If it is a module, its parameters are trained too.
        gamma: weight of L_DV in the returned loss, at least 0.
        image_channels: channels of the image.
        width: channels of the CRM's hidden layers.
        depth: number of the CRM's 3 x 3 convolutions.
        stride: patch size of the CRM in pixels.
        normalisation: normalisation of the CRM's hidden layers, ``none`` or ``group``.
        passes: number of CRM passes; each after the first starts from the previous output.
        region: pixels that are compared, ``removed`` or ``all``; None is ``removed`` for a spatial
            redaction and ``all`` for any other.
        distance: terms of L_DV and their weights; see `dejavu.method.distances`.
        mean: channel means of the images' normalisation, (rgb - mean) / std with rgb in [0, 1];
            if given, images outside that range are an error. ``ssim`` and ``lpips`` require it.
        std: channel standard deviations of the same.

    Attributes:
        crm: the regeneration module.

    Raises:
        ValueError: an argument is invalid, or the CRM's receptive field does not exceed the
            redaction's holes.

    Example:
        >>> import torch
        >>> from dejavu import Checkerboard
        >>> network = nn.Conv2d(3, 5, 3, padding=1)
        >>> criterion = DejaVuLoss(channels=5, redaction=Checkerboard(block=4), gamma=0.3)
        >>> optimizer = torch.optim.AdamW([*network.parameters(), *criterion.parameters()])
        >>> image, label = torch.randn(2, 3, 16, 16), torch.randint(5, (2, 16, 16))
        >>> prediction = network(image)
        >>> loss = F.cross_entropy(prediction, label) + criterion(image, prediction)
        >>> loss.backward(); optimizer.step()
        >>> list(network.state_dict())
        ['weight', 'bias']
    """

    def __init__(
        self,
        channels: int,
        redaction: Redaction,
        condition: Callable[[Tensor], Tensor] = class_probabilities,
        gamma: float = 1.0,
        *,
        image_channels: int = 3,
        width: int = 16,
        depth: int = 3,
        stride: int = 2,
        normalisation: Literal["none", "group"] = "none",
        passes: int = 1,
        region: Literal["removed", "all"] | None = None,
        distance: Mapping[str, float] = MSE,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
    ) -> None:
        super().__init__(
            redaction, condition, gamma, region=region, distance=distance, mean=mean, std=std
        )
        self.crm = CRM(channels, image_channels, width, depth, stride, normalisation, passes)
        if self.crm.receptive_field <= redaction.hole:
            raise ValueError(
                f"the CRM's receptive field of {self.crm.receptive_field} pixels does not exceed "
                f"the {redaction.hole}-pixel holes of {redaction}; raise depth={depth} or "
                f"stride={stride}"
            )

    def _regenerate(
        self, image: Tensor, condition: Tensor, generator: Generator | None
    ) -> Regeneration:
        redacted, keep = self.redaction(image, generator)
        return Regeneration(redacted, keep, self.crm(redacted, keep, condition))


def _check_grid(prediction: torch.Size, image: torch.Size) -> None:
    """Check that a prediction has the image's size, or is smaller by a whole factor."""
    factors = {image[0] // prediction[0], math.ceil(image[0] / prediction[0])}
    for factor in factors - {0}:
        sides = zip(prediction, image, strict=True)
        if all(coarse in (side // factor, math.ceil(side / factor)) for coarse, side in sides):
            return
    raise ValueError(
        f"prediction is {prediction[0]} x {prediction[1]} and image {image[0]} x {image[1]}; "
        "the prediction must have the image's size, or be smaller by a whole factor"
    )


def _check_range(image: Tensor, mean: Sequence[float], std: Sequence[float]) -> None:
    """Check that denormalised images are in [0, 1]."""
    if not len(mean) == len(std) == image.shape[1]:
        raise ValueError(
            f"mean has {len(mean)} values and std {len(std)}; image has {image.shape[1]} channels"
        )
    extremes = torch.stack([image.detach().amin((0, 2, 3)), image.detach().amax((0, 2, 3))], dim=1)
    for channel, (values, centre, spread) in enumerate(
        zip(extremes.tolist(), mean, std, strict=True)
    ):
        for value in values:
            if not -_TOLERANCE <= value * spread + centre <= 1 + _TOLERANCE:
                raise ValueError(
                    f"image has the value {value:.4g} in channel {channel}; normalised by "
                    f"mean={centre} and std={spread} it must be in "
                    f"[{-centre / spread:.4g}, {(1 - centre) / spread:.4g}]"
                )
