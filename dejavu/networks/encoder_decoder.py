"""Encoder-decoder networks on encoders of segmentation_models_pytorch (smp) or timm."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dejavu.config.networks import NetworkParams
from dejavu.networks.encoders import (
    STRIDE,
    TIMM,
    Renormalise,
    check_encoder,
    enlarge,
    model_library,
    pad_to_stride,
    timm_options,
)
from dejavu.networks.weights import load_imagenet_weights
from dejavu.runtime.errors import ParamsError

ARCHITECTURES = {
    "deeplabv3plus": {"encoder": "", "stride": 32, "is_pooled": True},
    "upernet": {"encoder": "", "stride": 32, "is_pooled": True},
    "segformer": {"encoder": "", "stride": 32},
    "fpn": {"encoder": "", "stride": 32},
    "dpt": {"encoder": "tu-", "stride": 32},
    "hrnet": {"encoder": "tu-hrnet", "stride": 32},
}

_SMP_DECODERS = {
    "deeplabv3plus": "DeepLabV3Plus",
    "upernet": "UPerNet",
    "segformer": "Segformer",
    "fpn": "FPN",
    "dpt": "DPT",
}


def build(params: NetworkParams, channels: int) -> nn.Module:
    """Build the network of ``params`` with ``channels`` output channels."""
    return EncoderDecoder(params, channels)


class EncoderDecoder(nn.Module):
    """A published encoder-decoder for images of any size, normalised as in this project.

    Images are renormalised for the encoder, and padded to multiples of 32 by repeating the last
    row and column; the decoder's output at the padding is cropped before the head. The head's
    output is upsampled bilinearly, with corners not aligned.

    DeepLabV3+ (Chen et al., 2018), UPerNet (Xiao et al., 2018), SegFormer (Xie et al., 2021), FPN
    (Kirillov et al., 2019) and DPT (Ranftl et al., 2021) are smp's; HRNet is `HRNetDecoder` on
    timm's encoder. DeepLabV3+ and UPerNet apply batch normalisation to pooled features, so that
    training needs batches of at least two images.

    Args:
        params: architecture (one of these) and encoder.
        channels: output channels.

    Attributes:
        dense_head: path of the convolution that turns dense features into the output.

    Shape:
        - image: B x 3 x H x W.
        - output: B x channels x H x W.

    Raises:
        ParamsError: the encoder is unknown, or the architecture cannot be built around it.
        CheckpointError: its ImageNet weights are requested, but missing or of other keys.
        ImportError: smp or timm is not installed.

    Example:
        >>> params = NetworkParams(architecture="segformer", encoder="mit_b0")
        >>> EncoderDecoder(params, channels=5).eval()(torch.zeros(1, 3, 33, 47)).shape
        torch.Size([1, 5, 33, 47])
    """

    def __init__(self, params: NetworkParams, channels: int) -> None:
        super().__init__()
        name = params.encoder or ""
        check_encoder(name)
        self.renormalise = Renormalise(name)
        parts = _build_hrnet if params.architecture == "hrnet" else _build_smp
        try:
            self.encoder, self.decoder, self.head = parts(params.architecture, name, channels)
        except Exception as error:  # smp and timm share no error type for unsuitable encoders
            raise ParamsError(
                f"encoder {name!r} does not fit architecture {params.architecture!r} "
                f"({error}); choose another encoder"
            ) from None
        self.dense_head = f"head.{len(self.head) - 1}"
        if params.pretrained:
            load_imagenet_weights(self.encoder, name)

    def forward(self, image: Tensor) -> Tensor:
        """Map images to outputs of the same size."""
        padded = pad_to_stride(self.renormalise(image))
        features = self.encoder(padded)
        # Vision transformers also return their prefix tokens, which DPT reads.
        dense = self.decoder(*features) if isinstance(features, tuple) else self.decoder(features)
        stride = padded.shape[-1] // dense.shape[-1]
        rows, columns = (-(-side // stride) for side in image.shape[-2:])
        return enlarge(self.head(dense[..., :rows, :columns]), stride, image.shape[-2:])


class HRNetDecoder(nn.Module):
    """HRNetV2's representation (Wang et al., 2020): all resolutions, concatenated at the finest.

    Args:
        channels: channels of each of the encoder's resolutions.

    Shape:
        - features: one B x channels[i] x h / 2^i x w / 2^i for each resolution.
        - output: B x sum(channels) x h x w.

    Example:
        >>> decoder = HRNetDecoder([4, 8])
        >>> decoder([torch.zeros(2, 4, 6, 10), torch.zeros(2, 8, 3, 5)]).shape
        torch.Size([2, 12, 6, 10])
    """

    def __init__(self, channels: list[int]) -> None:
        super().__init__()
        self.mix = nn.Conv2d(sum(channels), sum(channels), 1)
        self.norm = nn.BatchNorm2d(sum(channels))

    def forward(self, features: list[Tensor]) -> Tensor:
        """Upsample, concatenate and mix the encoder's features."""
        size = features[0].shape[-2:]
        joined = [F.interpolate(f, size, mode="bilinear", align_corners=False) for f in features]
        return F.relu(self.norm(self.mix(torch.cat(joined, dim=1))))


Parts = tuple[nn.Module, nn.Module, nn.Sequential]


def _build_smp(architecture: str, name: str, channels: int) -> Parts:
    smp = model_library("segmentation_models_pytorch")
    options = timm_options(name)
    if architecture == "dpt":
        options["num_classes"] = 0  # by default smp keeps the unused classifier
    network = getattr(smp, _SMP_DECODERS[architecture])(
        name, encoder_weights=None, classes=channels, **options
    )
    if architecture == "dpt":
        _check_patches(network.encoder.output_strides)
    head = network.segmentation_head
    # The head without its upsampling, which `EncoderDecoder` does.
    head = head.head if architecture == "dpt" else nn.Sequential(head[0])
    return network.encoder, network.decoder, head


def _check_patches(strides: list[int]) -> None:
    if len(set(strides)) > 1 or STRIDE % strides[0]:
        raise ValueError(
            f"its features have strides {strides}; DPT needs a vision transformer whose patch size "
            f"divides {STRIDE}"
        )


def _build_hrnet(architecture: str, name: str, channels: int) -> Parts:
    # The plain four resolutions: by default timm adds the classifier's channels.
    encoder = model_library("timm").create_model(
        name.removeprefix(TIMM), features_only=True, feature_location="", out_indices=(1, 2, 3, 4)
    )
    widths = encoder.feature_info.channels()
    return encoder, HRNetDecoder(widths), nn.Sequential(nn.Conv2d(sum(widths), channels, 1))
