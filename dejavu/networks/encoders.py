"""Common parts of networks with an encoder: its library, name, normalisation and padding."""

import difflib
import importlib
from collections.abc import Sequence
from types import ModuleType
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dejavu.data.sample import IMAGE_MEAN, IMAGE_STD
from dejavu.runtime.errors import ParamsError
from dejavu.runtime.torchvision_import import import_torchvision

TIMM = "tu-"
"""Prefix of the names of timm's encoders, as in segmentation_models_pytorch."""

STRIDE = 32
"""Images are padded to a multiple of this, the coarsest stride of any encoder."""

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

# Encoders trained with another normalisation, and deprecated names of timm's encoders.
_UNFIT = ("dpn", "inception", "xception", "timm-")


def model_library(name: str) -> ModuleType:
    """Import segmentation_models_pytorch, timm or transformers.

    Raises:
        ImportError: it is not installed.
    """
    try:
        import_torchvision()  # all three import it
        return importlib.import_module(name)
    except ImportError as error:
        raise ImportError(
            f"this network needs {name}: pip install 'dejavu-dense[models]' ({error})"
        ) from None


def check_encoder(name: str) -> None:
    """Check that an encoder is known.

    Args:
        name: an encoder of segmentation_models_pytorch, or ``tu-`` and a timm model, with or
            without the tag of its weights.

    Raises:
        ParamsError: it is not known; the message lists similar names.

    Example:
        >>> check_encoder("tu-resnet18.a1_in1k")
    """
    if name.startswith(TIMM):
        timm = model_library("timm")
        known = [TIMM + model for model in timm.list_models()]
        found = timm.is_model(name.removeprefix(TIMM))
    else:
        names = model_library("segmentation_models_pytorch").encoders.get_encoder_names()
        known = [encoder for encoder in names if not encoder.startswith(_UNFIT)]
        found = name in known
    if not found:
        near = difflib.get_close_matches(name, known, n=3)
        hint = f"similar: {', '.join(near)}" if near else "for a timm model, write tu-NAME"
        raise ParamsError(f"encoder {name!r}: no such encoder; {hint}")
    if name.startswith(TIMM):
        _check_tag(name.removeprefix(TIMM))


def _check_tag(name: str) -> None:
    model, _, tag = name.partition(".")
    known = model_library("timm").list_pretrained(f"{model}.*")
    if tag and name not in known:
        listed = ", ".join(TIMM + each for each in known) or "none"
        raise ParamsError(
            f"encoder '{TIMM}{name}': timm has no weights with the tag {tag!r}; known: {listed}"
        )


def timm_options(name: str) -> dict[str, Any]:
    """Return the options with which a timm model takes images of any size."""
    if not name.startswith(TIMM):
        return {}
    settings = model_library("timm").get_pretrained_cfg(name.removeprefix(TIMM))
    return {"dynamic_img_size": True} if settings.fixed_input_size else {}


class Renormalise(nn.Module):
    """Changes this project's image normalisation to the one that an encoder was trained with.

    Its constants are not in the state dict.

    Args:
        name: the encoder. For timm's, mean and standard deviation come from timm's configuration
            of the model; for all others, they are ImageNet's.

    Shape:
        - image: B x 3 x H x W, ``(rgb - IMAGE_MEAN) / IMAGE_STD`` with rgb in [0, 1].
        - output: B x 3 x H x W, ``(rgb - mean) / std``.

    Example:
        >>> white = torch.full((1, 3, 1, 1), 2.0)
        >>> Renormalise("tu-vit_tiny_patch16_224")(white).flatten().tolist()
        [1.0, 1.0, 1.0]
    """

    scale: Tensor
    shift: Tensor

    def __init__(self, name: str) -> None:
        super().__init__()
        mean: Sequence[float] = IMAGENET_MEAN
        std: Sequence[float] = IMAGENET_STD
        if name.startswith(TIMM):
            settings = model_library("timm").get_pretrained_cfg(name.removeprefix(TIMM))
            mean, std = settings.mean, settings.std
        ours = torch.tensor([IMAGE_MEAN, IMAGE_STD], dtype=torch.float64).view(2, 3, 1, 1)
        its = torch.tensor([mean, std], dtype=torch.float64).view(2, 3, 1, 1)
        self.register_buffer("scale", (ours[1] / its[1]).float(), persistent=False)
        self.register_buffer("shift", ((ours[0] - its[0]) / its[1]).float(), persistent=False)

    def forward(self, image: Tensor) -> Tensor:
        """Change the normalisation of images."""
        return image * self.scale + self.shift


def pad_to_stride(image: Tensor) -> Tensor:
    """Repeat the last row and column up to multiples of `STRIDE`.

    Example:
        >>> pad_to_stride(torch.zeros(1, 3, 33, 64)).shape
        torch.Size([1, 3, 64, 64])
    """
    down, right = -image.shape[-2] % STRIDE, -image.shape[-1] % STRIDE
    return F.pad(image, (0, right, 0, down), mode="replicate")


def enlarge(output: Tensor, stride: int, size: torch.Size) -> Tensor:
    """Upsample outputs of padded images bilinearly by ``stride``, and crop them to ``size``.

    Example:
        >>> enlarge(torch.zeros(1, 5, 9, 16), 4, torch.Size([33, 64])).shape
        torch.Size([1, 5, 33, 64])
    """
    height, width = size
    full = F.interpolate(output, scale_factor=stride, mode="bilinear", align_corners=False)
    return full[..., :height, :width]
