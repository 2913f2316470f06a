"""DejaVu-SA (shared attention): one attention map refines predictions and regenerates images."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from dejavu.method.features import FeatureTap
from dejavu.method.loss import MSE, Regeneration, RegenerationLoss, class_probabilities
from dejavu.method.redaction.base import Redacted, Redaction, check_images

EVALUATION_SEED = 0
"""Seed of the redaction's draws in evaluation mode, the same for every image."""


@dataclass(frozen=True)
class AttentionState:
    """State of the last forward pass of `SharedAttention`, with N tokens.

    Attributes:
        image: B x image_channels x H x W, the input, detached.
        query: B x heads x N x (width / heads).
        key: B x heads x N x (width / heads).
        redacted: B x image_channels x H x W, the redacted image.
        keep: B x 1 x H x W, 1 where a pixel was kept; None for a spectral redaction.
    """

    image: Tensor
    query: Tensor
    key: Tensor
    redacted: Tensor
    keep: Tensor | None


class SharedAttention(nn.Module):
    """A network whose attention map is shared by refinement and regeneration (DejaVu-SA).

    After the paper's description (Borse et al., CVPR 2023); the layers are this project's. The
    image I is redacted to I_R, and each ``cell`` x ``cell`` patch becomes a token. Queries and
    keys are linear in the layer-normalised sum of three embeddings: the dense features at the
    input of the network's head (resized to the token grid), [I_R, keep] (patch embedding), and a
    fixed sinusoidal encoding of each token's row and column, for any grid (Vaswani et al., 2017,
    with half of the channels per axis). The map softmax(q k^T / sqrt(d)) is applied twice:

    - `forward` refines: values from the dense features, projected to ``channels``, upsampled
      bilinearly and added to the network's raw prediction. The projection is initialised to
      zero: at first, the outputs equal the bare network's.
    - `regenerate` reconstructs the image: values from [I_R, keep, phi(C)] alone, since features
      of I as values would leak the image; a transposed convolution maps tokens to patches.

    Attention is global, so it spans holes of any size. It is kept at inference, where the
    redaction is deterministic: in evaluation mode each image is redacted by a new generator with
    a constant seed, so that an output depends neither on earlier calls nor on the batch.

    Both use torch's scaled_dot_product_attention: with a flash or memory-efficient kernel the map
    is never materialised, and memory is linear in the number of pixels. Time is quadratic in the
    number of tokens: doubling ``cell`` divides it by 16. torch.export is not supported: it would
    replace the fixed random draws by new ones.

    Args:
        network: maps B x image_channels x H x W to B x channels x h x w.
        head: dotted path of the convolution whose input is the dense features (`FeatureTap`).
        channels: channels of the network's raw prediction.
        redaction: redaction of the image.
        condition_channels: channels of the condition; ``channels`` if None.
        image_channels: channels of the image.
        width: channels of queries, keys and values; a multiple of 4 and of ``heads``.
        heads: number of attention heads.
        cell: side of a token in pixels.

    Attributes:
        network: as given, with a hook on its head.
        redaction: as given.
        last: state of the last forward pass for `regenerate`; None before the first. It holds
            that pass's graph, and is left out of state dicts, copies and pickles.

    Raises:
        ValueError: an argument is invalid, or the head is unknown or not a convolution.

    Example:
        >>> from dejavu import RandomBlocks
        >>> network = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 5, 1))
        >>> attention = SharedAttention(network, "2", channels=5, redaction=RandomBlocks(4, 0.3))
        >>> prediction = attention(torch.randn(2, 3, 18, 25))
        >>> made = attention.regenerate(prediction.softmax(1))
        >>> prediction.shape, made.regenerated.shape
        (torch.Size([2, 5, 18, 25]), torch.Size([2, 3, 18, 25]))
    """

    def __init__(
        self,
        network: nn.Module,
        head: str,
        channels: int,
        redaction: Redaction,
        *,
        condition_channels: int | None = None,
        image_channels: int = 3,
        width: int = 32,
        heads: int = 2,
        cell: int = 4,
    ) -> None:
        super().__init__()
        sizes = {
            "channels": channels,
            "condition_channels": channels if condition_channels is None else condition_channels,
            "image_channels": image_channels,
            "width": width,
            "heads": heads,
            "cell": cell,
        }
        for argument, value in sizes.items():
            if not isinstance(value, int) or value < 1:
                raise ValueError(f"{argument}={value!r}: must be a whole number of at least 1")
        if width % 4 or width % heads:
            raise ValueError(f"width={width}: must be a multiple of 4 and of heads={heads}")
        self._tap = FeatureTap(network, head)
        features, seen = self._tap.channels, image_channels + 1
        self.network = network
        self.redaction = redaction
        self.image_channels = image_channels
        self.condition_channels = sizes["condition_channels"]
        self.channels = channels
        self.heads = heads
        self.cell = cell
        self.last: AttentionState | None = None
        self.embed_features = nn.Conv2d(features, width, 1, bias=False)
        self.embed_redacted = nn.Conv2d(seen, width, cell, cell)
        self.norm = nn.LayerNorm(width)
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width, bias=False)  # the softmax would cancel a bias
        self.read_features = nn.Conv2d(features, width, 1)
        self.refine = nn.Conv2d(width, channels, 1)
        self.read_condition = nn.Conv2d(seen + self.condition_channels, width, cell, cell)
        self.write = nn.ConvTranspose2d(width, image_channels, cell, cell)
        nn.init.zeros_(self.refine.weight)
        nn.init.zeros_(self.refine.bias)  # type: ignore[arg-type]

    def forward(self, image: Tensor, generator: Generator | None = None) -> Tensor:
        """Predict, then refine the prediction by attention.

        Args:
            image: B x image_channels x H x W, floating point, normalised; any H and W that the
                network accepts (padded to whole tokens by replication).
            generator: random generator of the redaction in training mode; torch's global CPU
                generator if None. Unused in evaluation mode.

        Returns:
            The refined raw prediction, of the shape and dtype of ``network(image)``.

        Raises:
            ValueError: image is not a finite floating-point batch with ``image_channels``, or the
                network's output is not B x channels x h x w.
        """
        check_images("image", image)
        if image.shape[1] != self.image_channels:
            raise ValueError(
                f"image has shape {tuple(image.shape)}; "
                f"it must be B x image_channels={self.image_channels} x H x W"
            )
        self.last = None  # free its graph before building the new one
        prediction = self._predict(image)
        features = self._tap.features
        self._tap.release()
        redacted, keep = self._redact(image.detach(), generator)
        cells = self.embed_redacted(self._pad(_with_mask(redacted, keep)))
        dense = _resize(features, cells.shape[-2:])
        tokens = _tokens(cells + self.embed_features(dense) + _encode_positions(cells))
        tokens = self.norm(tokens)
        query, key = self._split(self.query(tokens)), self._split(self.key(tokens))
        self.last = AttentionState(image.detach(), query, key, redacted, keep)
        refinement = self.refine(self._attend(self.last, self.read_features(dense)))
        return prediction + _resize(refinement, prediction.shape[-2:])

    def regenerate(self, condition: Tensor) -> Regeneration:
        """Regenerate the images of the last forward pass from a condition.

        Args:
            condition: B x condition_channels x H x W, floating point; computed from the refined
                prediction, or set by a probe.

        Returns:
            The redacted and the regenerated images; gradients reach the network through the
            condition and through the attention map.

        Raises:
            RuntimeError: no forward pass has run.
            ValueError: condition is not finite, not floating point or not of that shape.
        """
        if self.last is None:
            raise RuntimeError("regenerate() needs a forward pass: call the module on images first")
        redacted, keep = self.last.redacted, self.last.keep
        batch, _, height, width = redacted.shape
        wanted = (batch, self.condition_channels, height, width)
        if condition.shape != wanted:
            raise ValueError(f"condition has shape {tuple(condition.shape)}; it must be {wanted}")
        check_images("condition", condition)
        known = torch.cat([_with_mask(redacted, keep), condition], dim=1)
        cells = self._attend(self.last, self.read_condition(self._pad(known)))
        return Regeneration(redacted, keep, self.write(cells)[..., :height, :width])

    def _predict(self, image: Tensor) -> Tensor:
        prediction: Tensor = self.network(image)
        given = tuple(prediction.shape) if isinstance(prediction, Tensor) else type(prediction)
        wanted = (len(image), self.channels)
        if not isinstance(given, tuple) or len(given) != 4 or given[:2] != wanted:
            raise ValueError(
                f"network(image) gives {given}; it must be a tensor of shape "
                f"{len(image)} x channels={self.channels} x h x w"
            )
        return prediction

    def _redact(self, image: Tensor, generator: Generator | None) -> Redacted:
        if self.training:
            return self.redaction(image, generator)
        # One by one: in a batch, each image would get different draws.
        single = [
            self.redaction(one, torch.Generator().manual_seed(EVALUATION_SEED))
            for one in image.split(1)
        ]
        keeps = [redacted.keep for redacted in single if redacted.keep is not None]
        return Redacted(torch.cat([r.image for r in single]), torch.cat(keeps) if keeps else None)

    def _pad(self, maps: Tensor) -> Tensor:
        """Pad to whole tokens by repeating the last row and column."""
        down, right = -maps.shape[-2] % self.cell, -maps.shape[-1] % self.cell
        return F.pad(maps, (0, right, 0, down), mode="replicate")

    def _split(self, tokens: Tensor) -> Tensor:
        """Reshape B x N x width to B x heads x N x width / heads, contiguous for flash kernels."""
        split: Tensor = tokens.unflatten(2, (self.heads, -1))
        return split.transpose(1, 2).contiguous()

    def _attend(self, state: AttentionState, values: Tensor) -> Tensor:
        """Apply the attention map to values, B x width x rows x columns."""
        split = self._split(_tokens(values))
        read: Tensor = F.scaled_dot_product_attention(state.query, state.key, split)
        return read.transpose(2, 3).reshape(values.shape)

    def __getstate__(self) -> dict[str, Any]:
        # Tensors with a graph cannot be deep-copied.
        return vars(self) | {"last": None}


class SharedAttentionLoss(RegenerationLoss):
    """The DejaVu loss for a network with `SharedAttention`, which replaces the CRM.

    It has no parameters: the regenerating layers belong to the network. The image and its
    redaction must be those of the network's last forward pass.

    Args:
        attention: the network with its attention; not registered as a submodule.
        condition: maps the refined prediction, resized to the image, to the condition.
        gamma: weight of L_DV in the returned loss, at least 0.
        region: which pixels are compared, as in `DejaVuLoss`.
        distance: terms of L_DV and their weights, as in `DejaVuLoss`.
        mean: channel means of the images' normalisation, as in `DejaVuLoss`.
        std: channel standard deviations of the images' normalisation, as in `DejaVuLoss`.

    Raises:
        ValueError: an argument is invalid.

    Example:
        >>> from dejavu import RandomBlocks
        >>> network = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 5, 1))
        >>> attention = SharedAttention(network, "2", channels=5, redaction=RandomBlocks(4, 0.3))
        >>> criterion = SharedAttentionLoss(attention, gamma=0.3)
        >>> image = torch.randn(2, 3, 16, 16)
        >>> criterion(image, attention(image)).backward()
        >>> list(criterion.state_dict())
        []
    """

    def __init__(
        self,
        attention: SharedAttention,
        condition: Callable[[Tensor], Tensor] = class_probabilities,
        gamma: float = 1.0,
        *,
        region: Literal["removed", "all"] | None = None,
        distance: Mapping[str, float] = MSE,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
    ) -> None:
        super().__init__(
            attention.redaction,
            condition,
            gamma,
            region=region,
            distance=distance,
            mean=mean,
            std=std,
        )
        # Not a submodule: its parameters must not appear twice in optimisers and checkpoints.
        self._attention = (attention,)

    def _regenerate(
        self, image: Tensor, condition: Tensor, generator: Generator | None
    ) -> Regeneration:
        made = self._attention[0].regenerate(condition)
        last = self._attention[0].last
        assert last is not None
        if image.data_ptr() != last.image.data_ptr() and not torch.equal(image, last.image):
            raise ValueError(
                "image differs from the network's last input, whose redaction and attention would "
                "be used; call the network on this image first"
            )
        return made


def _with_mask(redacted: Tensor, keep: Tensor | None) -> Tensor:
    """Concatenate the redacted image and its keep mask (ones if None)."""
    return torch.cat([redacted, torch.ones_like(redacted[:, :1]) if keep is None else keep], dim=1)


def _tokens(maps: Tensor) -> Tensor:
    """Flatten B x C x rows x columns to B x N x C, row by row."""
    return maps.flatten(2).transpose(1, 2)


def _encode_positions(cells: Tensor) -> Tensor:
    """Return the position encoding of B x width x rows x columns: width x rows x columns."""
    half = cells.shape[1] // 2
    exponent = torch.arange(0, half, 2, device=cells.device) / half
    axes = []
    for length in cells.shape[-2:]:
        angle = torch.arange(length, device=cells.device) / 10000 ** exponent.unsqueeze(1)
        axes.append(torch.cat([angle.sin(), angle.cos()]))
    rows, columns = axes
    shape = (half, *cells.shape[-2:])
    maps = [rows.unsqueeze(2).expand(shape), columns.unsqueeze(1).expand(shape)]
    return torch.cat(maps).to(cells.dtype)


def _resize(maps: Tensor, size: torch.Size) -> Tensor:
    return F.interpolate(maps, size, mode="bilinear", align_corners=False)
