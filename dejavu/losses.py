"""The DejaVu loss: how well an image can be given back from what it lost and the prediction."""

import math
from collections.abc import Callable
from typing import Literal, NamedTuple

import torch.nn.functional as F
from torch import Generator, Tensor, nn

from dejavu.redaction import Redaction, check_images
from dejavu.regeneration import CRM


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


class DejaVuLoss(nn.Module):
    """Reconstruction loss that reaches a network through its dense prediction.

    The image I is redacted to I_R, and a `CRM` F regenerates it from I_R and the condition
    phi(C), made from the network's prediction C: L_DV = distance(F(I_R, phi(C)), I), after the
    paper's description (Borse et al., CVPR 2023). The network itself is left as it is; the module
    holds only the CRM, which is needed in training alone.

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
        region: which pixels are compared, ``removed`` ones or ``all``; None is ``removed`` for a
            spatial redaction and ``all`` for any other.

    Attributes:
        crm: the regeneration module.
        redaction: as given.
        condition: as given.
        gamma: as given.
        region: ``removed`` or ``all``.

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
        region: Literal["removed", "all"] | None = None,
    ) -> None:
        super().__init__()
        if not (0 <= gamma < math.inf):
            raise ValueError(f"gamma={gamma!r}: must be finite and at least 0")
        natural = "removed" if redaction.kind == "spatial" else "all"
        if region not in (None, "all", natural):
            allowed = "'removed' or 'all'" if natural == "removed" else "'all'"
            raise ValueError(f"region={region!r}: must be {allowed} (or None) for {redaction}")
        self.crm = CRM(channels, image_channels, width, depth, stride)
        if self.crm.receptive_field <= redaction.hole:
            raise ValueError(
                f"the CRM sees {self.crm.receptive_field} pixels, no more than the holes of "
                f"{redaction.hole} pixels that {redaction} makes; raise depth={depth} or "
                f"stride={stride}"
            )
        self.redaction = redaction
        self.condition = condition
        self.gamma = gamma
        self.region = region or natural

    def forward(
        self, image: Tensor, prediction: Tensor, generator: Generator | None = None
    ) -> Tensor:
        """Return gamma x L_DV, a float32 scalar; its gradient reaches prediction, not image.

        Args:
            image: B x image_channels x H x W, floating point, normalised.
            prediction: the network's raw output, B x C x h x w; brought to H x W bilinearly
                where it has another size.
            generator: source of the redaction's draws; torch's global CPU generator if None.

        Raises:
            ValueError: image or prediction is not a finite floating-point batch, they differ in
                batch size, or the image or the condition has the wrong number of channels.
        """
        return self._weigh(image, self.regenerate(image, prediction, generator))

    def loss_from_condition(
        self, image: Tensor, condition: Tensor, generator: Generator | None = None
    ) -> Tensor:
        """Return gamma x L_DV for an explicit condition, B x channels x H x W (as `forward`)."""
        return self._weigh(image, self.regenerate_from_condition(image, condition, generator))

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
        redacted, keep = self.redaction(image.detach(), generator)
        check_images("condition", condition)
        return Regeneration(redacted, keep, self.crm(redacted, keep, condition))

    def distance(self, regenerated: Tensor, image: Tensor, keep: Tensor | None) -> Tensor:
        """Return L_DV: the mean squared error, in normalised units, over pixels and channels.

        Args:
            regenerated: B x C x H x W.
            image: B x C x H x W.
            keep: B x 1 x H x W; where ``region`` is ``removed``, the pixels at 0 are compared.

        Raises:
            ValueError: the shapes differ, or ``region`` is ``removed`` and no pixel is.
        """
        if regenerated.shape != image.shape:
            raise ValueError(
                f"regenerated has shape {tuple(regenerated.shape)}; "
                f"it must be the image's, {tuple(image.shape)}"
            )
        # float32 under autocast too: squares of small errors vanish in half precision.
        error = (regenerated.float() - image.detach().float()).square()
        if self.region == "all":
            return error.mean()
        if keep is None or keep.all():
            raise ValueError("keep removes no pixel: there is nothing to compare; use region='all'")
        removed = 1 - keep.float()
        return (error * removed).sum() / (removed.sum() * image.shape[1])

    def _weigh(self, image: Tensor, made: Regeneration) -> Tensor:
        return self.gamma * self.distance(made.regenerated, image, made.keep)
