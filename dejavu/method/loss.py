"""The DejaVu loss: how well an image can be given back from what it lost and the prediction."""

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
"""How far declared colours may leave [0, 1]: half precision and resampling overshoot a little."""


class Regeneration(NamedTuple):
    """What an image lost and got back.

    Attributes:
        redacted: B x C x H x W, what was left of the image.
        keep: B x 1 x H x W, 1 where a pixel was kept; None for a spectral redaction.
        regenerated: B x C x H x W, the image made from that and the condition.
    """

    redacted: Tensor
    keep: Tensor | None
    regenerated: Tensor


def class_probabilities(logits: Tensor) -> Tensor:
    """Map B x C x H x W logits to the soft class masks of semantic segmentation."""
    return logits.softmax(1)


class RegenerationLoss(nn.Module, ABC):
    """What every loss by regeneration shares; see `DejaVuLoss` for the arguments.

    Attributes:
        redaction: what the image loses.
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
            prediction: B x channels x H x W, the network's raw output (logits by default), on the
                image's grid or on one that is coarser by a whole factor, from which it is
                brought to the image's size bilinearly before it becomes the condition.
            generator: source of the redaction's draws; torch's global CPU generator if None.

        Raises:
            ValueError: image or prediction is not a finite floating-point batch, the image leaves
                its declared range, the two differ in batch size or in what they cover, or the
                image or the condition has the wrong number of channels.
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
                "they must be of one batch"
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
        were brought to the image's size and mapped to a condition already.

        Args:
            image: B x image_channels x H x W, floating point, normalised.
            condition: B x channels x H x W, floating point.
            generator: source of the redaction's draws; torch's global CPU generator if None.

        Raises:
            ValueError: image or condition is not a finite floating-point batch of its shape.
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
        """Redact a batch and give it back."""

    def distance(self, made: Regeneration, image: Tensor) -> Tensor:
        """Return L_DV, a scalar: the weighted sum of the terms over the compared pixels.

        Args:
            made: a regeneration of ``image``.
            image: B x image_channels x H x W.

        Raises:
            ValueError: the shapes differ, or ``region`` is ``removed`` and no pixel is.
        """
        compared = None
        if self.region == "removed" and made.keep is not None:
            compared = 1 - made.keep.float()
        distance: Tensor = self.reconstruction(made.regenerated, image, compared)
        return distance


class DejaVuLoss(RegenerationLoss):
    """Reconstruction loss that reaches a network through its dense prediction.

    The image I is redacted to I_R, and a `CRM` F regenerates it from I_R and the condition
    phi(C), made from the network's prediction C: L_DV = distance(F(I_R, phi(C)), I), after the
    paper's description (Borse et al., CVPR 2023). The network itself is left as it is; the module
    holds only the CRM, which is needed in training alone. It needs no labels: unlabelled images,
    and pixels without a label, are regenerated like any other.

    Args:
        channels: channels of the condition.
        redaction: what the image loses.
        condition: maps the raw prediction, once it has the image's size, to the condition:
            bounded and differentiable. If it is a module, its parameters are trained too.
        gamma: weight of L_DV in the loss that is returned, at least 0.
        image_channels: channels of the image.
        width: channels of the CRM's hidden layers.
        depth: number of the CRM's 3 x 3 convolutions.
        stride: side in pixels of the CRM's cells.
        normalisation: normalisation of the CRM's hidden layers, ``none`` or ``group``.
        passes: how often the CRM runs; from the second time on, on what it regenerated.
        region: which pixels are compared, ``removed`` ones or ``all``; None is ``removed`` for a
            spatial redaction and ``all`` for any other.
        distance: terms of L_DV and their weights; see `dejavu.method.distances`.
        mean: mean of the images' normalisation, (rgb - mean) / std with rgb in [0, 1], by channel.
            Declared, images outside that range are refused; ``ssim`` and ``lpips`` need it.
        std: standard deviation of the images' normalisation, by channel.

    Attributes:
        crm: the regeneration module.

    Raises:
        ValueError: an argument is impossible, or the CRM sees no farther than the redaction's
            holes are wide.

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
                f"the CRM sees {self.crm.receptive_field} pixels, no more than the holes of "
                f"{redaction.hole} pixels that {redaction} makes; raise depth={depth} or "
                f"stride={stride}"
            )

    def _regenerate(
        self, image: Tensor, condition: Tensor, generator: Generator | None
    ) -> Regeneration:
        redacted, keep = self.redaction(image, generator)
        return Regeneration(redacted, keep, self.crm(redacted, keep, condition))


def _check_grid(prediction: torch.Size, image: torch.Size) -> None:
    """Refuse a prediction whose grid is not the image's, coarser by one whole factor."""
    factors = {image[0] // prediction[0], math.ceil(image[0] / prediction[0])}
    for factor in factors - {0}:
        sides = zip(prediction, image, strict=True)
        if all(coarse in (side // factor, math.ceil(side / factor)) for coarse, side in sides):
            return
    raise ValueError(
        f"prediction is {prediction[0]} x {prediction[1]} and image {image[0]} x {image[1]}; "
        "the prediction must have the image's size, or be coarser by a whole factor"
    )


def _check_range(image: Tensor, mean: Sequence[float], std: Sequence[float]) -> None:
    """Refuse images that the declared normalisation cannot have made from rgb in [0, 1]."""
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
