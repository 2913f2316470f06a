"""The conditional regeneration module (CRM): redacted image and prediction -> image."""

import math
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call
from torch.utils.flop_counter import FlopCounterMode


class CRMCost(NamedTuple):
    """Parameters and FLOPs of a `CRM`; ``print`` shows them in one line.

    Attributes:
        parameters: number of trainable parameters.
        flops: FLOPs of regenerating one image in all passes, two per multiply-add of the
            convolutions.
        flops_per_pixel: flops / number of pixels of the image.
    """

    parameters: int
    flops: int
    flops_per_pixel: float

    def __str__(self) -> str:
        return (
            f"{self.parameters:,} parameters, {self.flops:,} FLOPs an image "
            f"({self.flops_per_pixel:,.0f} a pixel)"
        )


class CRM(nn.Module):
    """A small fully convolutional network that regenerates a redacted image from a condition.

    After the paper's description (Borse et al., CVPR 2023); the layers are this project's. The
    input is a patch embedding, a ``stride`` x ``stride`` convolution without overlap (the same as
    space-to-depth and a 1 x 1 convolution), so that no detail is averaged away. The hidden layers
    run at 1 / stride^2 of the positions: ``depth`` 3 x 3 convolutions with ReLU, of dilation 1,
    2, 4, ... and 1 again in the last, against gridding. A transposed convolution writes the image.
    Images of a batch are independent: there is no normalisation, or one within each image. The
    cost grows little with the number of classes.

    With several ``passes`` the module is recurrent: each output is the next pass's redacted
    image, with the same mask, condition and weights. With a keep mask, kept pixels are first
    restored; without one the whole output is fed back.

    Args:
        condition_channels: channels of the condition (such as the number of classes).
        image_channels: channels of the image.
        width: channels of the hidden layers.
        depth: number of 3 x 3 convolutions.
        stride: patch size in pixels; 1 works at full resolution.
        normalisation: ``none``, or ``group`` for group normalisation (Wu & He, ECCV 2018) in
            gcd(width, 8) groups between each 3 x 3 convolution and its ReLU.
        passes: number of passes; each after the first starts from the previous output.

    Attributes:
        condition_channels: as given.
        image_channels: as given.
        stride: as given.
        passes: as given.
        read: the patch embedding, to ``width`` channels.
        layers: the 3 x 3 convolutions, each followed by its normalisation, if any, and its ReLU.
        write: the transposed convolution from ``width`` channels to the image.

    Raises:
        ValueError: a size or ``passes`` is not a whole number of at least 1, or the normalisation
            is unknown.

    Example:
        >>> crm = CRM(condition_channels=5, width=8)
        >>> crm(torch.zeros(2, 3, 31, 45), None, torch.zeros(2, 5, 31, 45)).shape
        torch.Size([2, 3, 31, 45])
        >>> crm.receptive_field
        18
        >>> print(crm.cost(64, 64))
        2,147 parameters, 4,325,376 FLOPs an image (1,056 a pixel)
    """

    def __init__(
        self,
        condition_channels: int,
        image_channels: int = 3,
        width: int = 16,
        depth: int = 3,
        stride: int = 2,
        normalisation: Literal["none", "group"] = "none",
        passes: int = 1,
    ) -> None:
        super().__init__()
        _check_whole(
            condition_channels=condition_channels,
            image_channels=image_channels,
            width=width,
            depth=depth,
            stride=stride,
            passes=passes,
        )
        if normalisation not in ("none", "group"):
            raise ValueError(f"normalisation={normalisation!r}: must be 'none' or 'group'")
        self.condition_channels = condition_channels
        self.image_channels = image_channels
        self.stride = stride
        self.passes = passes
        self._dilations = [*(1 << layer for layer in range(depth - 1)), 1]
        channels = image_channels + 1 + condition_channels
        self.read = nn.Conv2d(channels, width, stride, stride)
        self.layers = nn.Sequential()
        for dilation in self._dilations:
            self.layers.append(nn.Conv2d(width, width, 3, padding=dilation, dilation=dilation))
            if normalisation == "group":
                self.layers.append(nn.GroupNorm(math.gcd(width, 8), width))
            self.layers.append(nn.ReLU(inplace=True))
        self.write = nn.ConvTranspose2d(width, image_channels, stride, stride)

    @property
    def receptive_field(self) -> int:
        """Side in pixels of the square of input pixels that one output pixel depends on.

        It covers the convolutions of all passes: each pass after the first adds the receptive
        field of one pass less ``stride``. Restoring kept pixels can only narrow it. Group
        normalisation also uses statistics of the whole image.
        """
        return self.stride * (1 + 2 * self.passes * sum(self._dilations))

    def cost(self, height: int, width: int) -> CRMCost:
        """Count parameters and FLOPs of regenerating one image, on the meta device.

        Args:
            height: image height in pixels.
            width: image width in pixels.

        Raises:
            ValueError: height or width is not a whole number of at least 1.

        Example:
            >>> CRM(condition_channels=5).cost(64, 64).flops_per_pixel
            3840.0
        """
        _check_whole(height=height, width=width)
        weights = {name: weight.to("meta") for name, weight in self.state_dict().items()}
        redacted, keep, condition = (
            self.read.weight.new_empty(1, channels, height, width, device="meta")
            for channels in (self.image_channels, 1, self.condition_channels)
        )
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            functional_call(self, weights, (redacted, keep, condition))
        flops = counter.get_total_flops()
        parameters = sum(parameter.numel() for parameter in self.parameters())
        return CRMCost(parameters, flops, flops / (height * width))

    def forward(self, redacted: Tensor, keep: Tensor | None, condition: Tensor) -> Tensor:
        """Regenerate a batch.

        Args:
            redacted: B x image_channels x H x W, any H and W.
            keep: B x 1 x H x W, 1 where a pixel was kept; None (spectral redactions) stands for
                ones.
            condition: B x condition_channels x H x W.

        Returns:
            The regenerated image, B x image_channels x H x W.

        Raises:
            ValueError: a shape differs from these.
        """
        mask = torch.ones_like(redacted[:, :1]) if keep is None else keep
        batch, _, height, width = redacted.shape
        for argument, maps, channels in (
            ("redacted", redacted, self.image_channels),
            ("keep", mask, 1),
            ("condition", condition, self.condition_channels),
        ):
            if maps.shape != (batch, channels, height, width):
                raise ValueError(
                    f"{argument} has shape {tuple(maps.shape)}; "
                    f"it must be {(batch, channels, height, width)}"
                )
        shown = redacted
        for _ in range(self.passes - 1):
            made = self._regenerate(shown, mask, condition)
            shown = made if keep is None else torch.where(keep.bool(), redacted, made)
        return self._regenerate(shown, mask, condition)

    def _regenerate(self, redacted: Tensor, mask: Tensor, condition: Tensor) -> Tensor:
        """Run one pass."""
        height, width = redacted.shape[-2:]
        maps = torch.cat([redacted, mask, condition], dim=1)
        down, right = -height % self.stride, -width % self.stride
        if down or right:
            maps = F.pad(maps, (0, right, 0, down), mode="replicate")
        # Convert once: the convolutions would convert again in the backward pass.
        maps = maps.contiguous(memory_format=torch.channels_last)
        image: Tensor = self.write(self.layers(self.read(maps)))
        return image[..., :height, :width]


def _check_whole(**sizes: int) -> None:
    for argument, value in sizes.items():
        if not isinstance(value, int) or value < 1:
            raise ValueError(f"{argument}={value!r}: must be a whole number of at least 1")
