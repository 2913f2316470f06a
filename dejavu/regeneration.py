"""The conditional regeneration module (CRM): redacted image and prediction -> image."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class CRM(nn.Module):
    """A small fully convolutional network that gives a redacted image back what it lost.

    After the paper's description (Borse et al., CVPR 2023); the layers are this project's. A
    linear map reads each ``stride`` x ``stride`` cell of pixels, every pixel with weights of its
    own (space-to-depth and a 1 x 1 convolution in one), so that no detail is averaged away while
    the rest runs at 1 / stride^2 of the positions: ``depth`` 3 x 3 convolutions with ReLU, of
    dilation 1, 2, 4, ... and, against the gaps that dilation leaves, 1 again in the last. A second
    linear map writes each cell of the image. There is no normalisation, so that the images of a
    batch do not mix. The cost grows little with the number of classes.

    Args:
        condition_channels: channels of the condition (such as the number of classes).
        image_channels: channels of the image.
        width: channels of the hidden layers.
        depth: number of 3 x 3 convolutions.
        stride: side of a cell in pixels; 1 works at full resolution.

    Attributes:
        condition_channels: as given.
        image_channels: as given.
        stride: as given.
        read: the linear map from cells of pixels to ``width`` channels.
        layers: the 3 x 3 convolutions, each followed by its ReLU.
        write: the linear map from ``width`` channels to cells of pixels.

    Raises:
        ValueError: an argument is not a whole number of at least 1.

    Example:
        >>> crm = CRM(condition_channels=5, width=8)
        >>> crm(torch.zeros(2, 3, 31, 45), None, torch.zeros(2, 5, 31, 45)).shape
        torch.Size([2, 3, 31, 45])
        >>> crm.receptive_field
        18
    """

    def __init__(
        self,
        condition_channels: int,
        image_channels: int = 3,
        width: int = 16,
        depth: int = 3,
        stride: int = 2,
    ) -> None:
        super().__init__()
        sizes = {
            "condition_channels": condition_channels,
            "image_channels": image_channels,
            "width": width,
            "depth": depth,
            "stride": stride,
        }
        for argument, value in sizes.items():
            if not isinstance(value, int) or value < 1:
                raise ValueError(f"{argument}={value!r}: must be a whole number of at least 1")
        self.condition_channels = condition_channels
        self.image_channels = image_channels
        self.stride = stride
        self._dilations = [*(1 << layer for layer in range(depth - 1)), 1]
        channels = image_channels + 1 + condition_channels
        self.read = nn.Conv2d(channels, width, stride, stride)
        self.layers = nn.Sequential()
        for dilation in self._dilations:
            self.layers.append(nn.Conv2d(width, width, 3, padding=dilation, dilation=dilation))
            self.layers.append(nn.ReLU())
        self.write = nn.ConvTranspose2d(width, image_channels, stride, stride)

    @property
    def receptive_field(self) -> int:
        """Side in pixels of the square of input pixels that one output pixel depends on."""
        return self.stride * (1 + 2 * sum(self._dilations))

    def forward(self, redacted: Tensor, keep: Tensor | None, condition: Tensor) -> Tensor:
        """Regenerate a batch.

        Args:
            redacted: B x image_channels x H x W, any H and W.
            keep: B x 1 x H x W, 1 where a pixel was kept; None, where no pixel was removed as
                such, stands for ones.
            condition: B x condition_channels x H x W.

        Returns:
            The regenerated image, B x image_channels x H x W.

        Raises:
            ValueError: a shape is none of these.
        """
        if keep is None:
            keep = torch.ones_like(redacted[:, :1])
        batch, _, height, width = redacted.shape
        for argument, maps, channels in (
            ("redacted", redacted, self.image_channels),
            ("keep", keep, 1),
            ("condition", condition, self.condition_channels),
        ):
            if maps.shape != (batch, channels, height, width):
                raise ValueError(
                    f"{argument} has shape {tuple(maps.shape)}; "
                    f"it must be {(batch, channels, height, width)}"
                )
        maps = torch.cat([redacted, keep, condition], dim=1)
        down, right = -height % self.stride, -width % self.stride
        if down or right:
            maps = F.pad(maps, (0, right, 0, down), mode="replicate")
        image: Tensor = self.write(self.layers(self.read(maps)))
        return image[..., :height, :width]
