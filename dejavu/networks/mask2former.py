"""Mask2Former of transformers, with a dense semantic map as its output."""

import torch
from torch import Tensor, nn

from dejavu.config.networks import NetworkParams
from dejavu.networks.encoders import (
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
    "mask2former": {
        "encoder": "tu-",
        "stride": 32,
        "tasks": ("segmentation",),
        "has_dense_head": False,
    }
}

_STRIDES = [4, 8, 16, 32]
_SMALLEST = 1e-6
"""Added to the scores before the logarithm; far below differences that decide between classes."""


def build(params: NetworkParams, channels: int) -> nn.Module:
    """Build the network of ``params`` with ``channels`` output channels."""
    return Mask2Former(params, channels)


class Mask2Former(nn.Module):
    """Mask2Former's network (Cheng et al., 2022) with a semantic map as its output.

    Each query predicts class probabilities p and a mask m in [0, 1]. As in the original's semantic
    inference, the score of a class is the sum over queries of p(class) m(pixel), without the class
    "no object"; the output is the logarithm of the scores. So its softmax is the scores,
    normalised over the classes. It is computed at stride 4 and upsampled bilinearly.

    It is trained by per-pixel cross entropy of this map, not by the original's losses of masks
    matched to queries at every layer: the architecture is the original's, the training is not, and
    so its numbers are not the original's either. No convolution's output is the prediction, so
    that shared attention and the condition ``features`` cannot be used with it.

    Layer sizes are the original's. Images are normalised and padded as in `EncoderDecoder`.

    Args:
        params: the encoder must be a timm model with features at strides 4, 8, 16 and 32, channels
            first, for images of any size, such as tu-resnet50 or tu-convnext_tiny.
        channels: number of classes, at least 2.

    Shape:
        - image: B x 3 x H x W.
        - output: B x channels x H x W, at most log(number of queries + 1e-6).

    Raises:
        ParamsError: the encoder is unknown or does not fit.
        ValueError: there are fewer than two classes.
        CheckpointError: its ImageNet weights are requested, but missing or of other keys.
        ImportError: transformers or timm is not installed.
    """

    def __init__(self, params: NetworkParams, channels: int) -> None:
        super().__init__()
        if channels < 2:
            raise ValueError(f"channels={channels}: mask2former needs at least 2, for segmentation")
        name = params.encoder or ""
        check_encoder(name)
        self.renormalise = Renormalise(name)
        transformers = model_library("transformers")
        if timm_options(name):
            raise _unfit(name, "it takes images of one size")
        try:
            backbone = transformers.TimmBackboneConfig(
                backbone=name.removeprefix(TIMM), out_indices=[-4, -3, -2, -1]
            )
            settings = transformers.Mask2FormerConfig(backbone_config=backbone, num_labels=channels)
            self.network = transformers.Mask2FormerForUniversalSegmentation(settings)
        except Exception as error:  # transformers and timm share no error type
            raise _unfit(name, error) from None
        encoder = self.network.model.pixel_level_module.encoder._backbone
        strides = list(encoder.feature_info.reduction())
        if strides != _STRIDES:
            raise _unfit(name, f"its features are at strides {strides}, not {_STRIDES}")
        if getattr(encoder, "output_fmt", "NCHW") != "NCHW":
            raise _unfit(name, "its features have their channels last")
        if params.pretrained:
            load_imagenet_weights(encoder, name)

    def forward(self, image: Tensor) -> Tensor:
        """Map images to log scores of the same size."""
        queries = self.network(pixel_values=pad_to_stride(self.renormalise(image)))
        scores = semantic_scores(queries.class_queries_logits, queries.masks_queries_logits)
        return enlarge((scores + _SMALLEST).log(), _STRIDES[0], image.shape[-2:])


def semantic_scores(classes: Tensor, masks: Tensor) -> Tensor:
    """Sum the masks of all queries, weighted by the probability of each class.

    Args:
        classes: B x Q x (C + 1) logits, "no object" last.
        masks: B x Q x h x w logits.

    Returns:
        B x C x h x w scores, in [0, Q].

    Example:
        >>> classes = torch.tensor([[[9.0, -9.0, -9.0], [-9.0, -9.0, 9.0]]])  # class 0, nothing
        >>> semantic_scores(classes, torch.full((1, 2, 1, 1), 9.0)).round().flatten().tolist()
        [1.0, 0.0]
    """
    probabilities = classes.float().softmax(-1)[..., :-1]
    return torch.einsum("bqc,bqhw->bchw", probabilities, masks.float().sigmoid())


def _unfit(name: str, reason: object) -> ParamsError:
    return ParamsError(
        f"encoder {name!r} does not fit architecture 'mask2former' ({reason}); choose a timm model "
        "for images of any size, such as tu-resnet50 or tu-convnext_tiny"
    )
