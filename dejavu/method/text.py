"""The text supervision loss (DejaVu-TS): the regenerated image must match a text.

After the paper's description (Borse et al., CVPR 2023); the definition is this project's: the
cosine distance between the embeddings of the regenerated image and of its caption (or its class
names) in a frozen image-text encoder such as CLIP (Radford et al., 2021).
"""

import difflib
import importlib
import math
import textwrap
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dejavu.method.redaction.base import check_images
from dejavu.runtime.errors import CheckpointError
from dejavu.runtime.loading import tensors_only
from dejavu.runtime.torchvision_import import import_torchvision

_TEXTS_AT_ONCE = 256


class ImageTextEncoder(nn.Module, ABC):
    """Two encoders that map images and texts to unit vectors of one space."""

    @abstractmethod
    def encode_image(self, image: Tensor) -> Tensor:
        """Map B x 3 x H x W images, normalised as in training, to B x D unit vectors."""

    @abstractmethod
    def encode_text(self, texts: Sequence[str]) -> Tensor:
        """Map N texts to N x D unit vectors, on the encoder's device."""


class TextLoss(nn.Module):
    """Cosine distance between regenerated images and texts, in a frozen encoder's space.

    L_TS = mean over the batch of 1 - cos(image embedding, text embedding), in [0, 2]. The encoder
    is frozen, in evaluation mode. It is not a submodule: this loss's parameters, state dict and
    ``train()`` exclude it. It is moved to the images' device.

    Args:
        encoder: the image-text encoder.
        gamma: weight of L_TS in the returned loss, at least 0.

    Attributes:
        gamma: as given.

    Raises:
        ValueError: gamma is negative or not finite.

    Example:
        >>> class Brightness(ImageTextEncoder):
        ...     def encode_image(self, image):
        ...         mean = image.mean((1, 2, 3))
        ...         return F.normalize(torch.stack([mean, 0 * mean], dim=1))
        ...     def encode_text(self, texts):
        ...         return torch.tensor([[1.0 if "light" in t else -1.0, 0.0] for t in texts])
        >>> criterion = TextLoss(Brightness(), gamma=0.5)
        >>> text = criterion.embed(["a light room", "a dark room"])
        >>> criterion(torch.ones(2, 3, 8, 8), text)  # right for the first text alone
        tensor(0.5000)
    """

    def __init__(self, encoder: ImageTextEncoder, gamma: float = 1.0) -> None:
        super().__init__()
        if not (0 <= gamma < math.inf):
            raise ValueError(f"gamma={gamma!r}: must be finite and at least 0")
        self.gamma = gamma
        # nn.Module does not register submodules inside a tuple.
        self._frozen = (encoder.eval().requires_grad_(False),)

    @property
    def encoder(self) -> ImageTextEncoder:
        """The frozen encoder."""
        return self._frozen[0]

    def embed(self, texts: Sequence[str]) -> Tensor:
        """Embed texts, once for the whole training.

        Args:
            texts: N captions, at least one.

        Returns:
            N x D float32 unit vectors, without gradient, on the encoder's device.

        Raises:
            ValueError: there is no text, or a single string in place of a sequence.
        """
        if isinstance(texts, str) or len(texts) == 0:
            raise ValueError(f"texts={texts!r}: must be a sequence of at least one text")
        starts = range(0, len(texts), _TEXTS_AT_ONCE)
        parts = [self.encoder.encode_text(texts[n : n + _TEXTS_AT_ONCE]) for n in starts]
        return torch.cat(parts).float()

    def forward(self, regenerated: Tensor, text: Tensor) -> Tensor:
        """Return gamma x L_TS, a float32 scalar; its gradient reaches the regenerated images.

        Args:
            regenerated: B x 3 x H x W, floating point, normalised as the encoder expects.
            text: B x D, each image's text embedded by `embed`; moved to the images' device.

        Raises:
            ValueError: regenerated is not a finite floating-point batch, or text is not B x D.
        """
        return self.gamma * self.unweighted(regenerated, text)

    def unweighted(self, regenerated: Tensor, text: Tensor) -> Tensor:
        """Return L_TS, a float32 scalar in [0, 2]; arguments and errors are those of `forward`."""
        check_images("regenerated", regenerated)
        image = self.encoder.to(regenerated.device).encode_image(regenerated.float())
        if text.shape != image.shape:
            raise ValueError(
                f"text has shape {tuple(text.shape)}; it must be {tuple(image.shape)}, "
                "one embedding for each image"
            )
        text = text.to(image.device).float()
        return (1 - F.cosine_similarity(image.float(), text, dim=1)).mean()


class CLIPEncoder(ImageTextEncoder):
    """An open_clip model for images in the training's normalisation.

    Images are denormalised, resized to the model's input size (bilinear, antialiased, aspect
    ratio not kept) and normalised by ``image_mean`` and ``image_std`` of the model's image
    encoder.

    Args:
        network: an open_clip model.
        tokenizer: the model's tokenizer, from N texts to N x L token ids.
        mean: channel means of the training's normalisation, for RGB in [0, 1].
        std: channel standard deviations of the same.

    Raises:
        ValueError: mean or std does not have one number for each of 3 channels, or a standard
            deviation is not above 0.
    """

    mean: Tensor
    std: Tensor
    clip_mean: Tensor
    clip_std: Tensor

    def __init__(
        self,
        network: nn.Module,
        tokenizer: Callable[[Sequence[str]], Tensor],
        mean: Sequence[float],
        std: Sequence[float],
    ) -> None:
        super().__init__()
        if len(mean) != 3:
            raise ValueError(f"mean={mean!r}: must have one number for each of 3 channels")
        if len(std) != 3 or min(std) <= 0:
            raise ValueError(f"std={std!r}: must have a number above 0 for each of 3 channels")
        visual: Any = network.visual
        self.network: Any = network
        self.tokenizer = tokenizer
        self.size = visual.image_size
        constants = {
            "mean": mean,
            "std": std,
            "clip_mean": visual.image_mean,
            "clip_std": visual.image_std,
        }
        for name, numbers in constants.items():
            values = torch.tensor(numbers, dtype=torch.float32).view(3, 1, 1)
            self.register_buffer(name, values, persistent=False)

    def encode_image(self, image: Tensor) -> Tensor:
        """Map B x 3 x H x W images, normalised as in training, to B x D unit vectors."""
        rgb = image * self.std + self.mean
        resized = F.interpolate(rgb, self.size, mode="bilinear", antialias=True)
        return F.normalize(self.network.encode_image((resized - self.clip_mean) / self.clip_std))

    def encode_text(self, texts: Sequence[str]) -> Tensor:
        """Map N texts, cut at the model's context length, to N x D unit vectors."""
        tokens = self.tokenizer([*texts]).to(self.mean.device)
        return F.normalize(self.network.encode_text(tokens))


def load_clip(
    model: str, weights: Path, mean: Sequence[float], std: Sequence[float]
) -> CLIPEncoder:
    """Load an open_clip model from a local file of weights; nothing is downloaded.

    A file of weights does not record its activation function, which the model name must imply:
    OpenAI's own weights need a name that ends in ``-quickgelu``.

    Args:
        model: open_clip's name of the architecture, such as ``ViT-B-32-quickgelu``.
        weights: file of a matching state dict, as safetensors or saved by torch.
        mean: channel means of the training's normalisation, for RGB in [0, 1].
        std: channel standard deviations of the same.

    Returns:
        The encoder, in evaluation mode.

    Raises:
        ImportError: open_clip or one of its dependencies is not installed.
        ValueError: open_clip has no such model, the model's image normalisation is not CLIP's
            (such as SigLIP's), or mean or std does not have 3 channels.
        CheckpointError: the file is missing, unreadable or does not fit the model.
    """
    open_clip = _import_open_clip()
    known = open_clip.list_models()
    if model not in known:
        near = difflib.get_close_matches(model, known, n=3) or known
        raise ValueError(
            f"model={model!r}: open_clip has no such model; similar names: {', '.join(near)}"
        )
    tags = open_clip.list_pretrained_tags_by_model(model)
    means = [open_clip.get_pretrained_cfg(model, tag)["mean"] for tag in tags]
    if means and open_clip.OPENAI_DATASET_MEAN not in means:
        raise ValueError(f"model={model!r}: its image normalisation is not CLIP's; choose another")
    if not weights.is_file():
        raise CheckpointError(f"{weights}: no such file; give the path of the weights of {model}")
    with torch.random.fork_rng():  # draws initial weights, replaced below
        network = open_clip.create_model(model, pretrained_text=False)
    try:
        with tensors_only():
            open_clip.load_checkpoint(network, str(weights))
    except Exception as error:  # open_clip and torch raise many types for a bad file
        reason = textwrap.shorten(str(error), 300, placeholder=" ...")
        raise CheckpointError(
            f"{weights}: cannot be loaded as open_clip's {model} ({reason}); "
            "give the weights of that model"
        ) from None
    return CLIPEncoder(network, open_clip.get_tokenizer(model), mean, std).eval()


def _import_open_clip() -> ModuleType:
    try:
        import_torchvision()  # which open_clip imports
        return importlib.import_module("open_clip")
    except ImportError as error:
        raise ImportError(f"CLIP needs open_clip: pip install open_clip_torch ({error})") from None
