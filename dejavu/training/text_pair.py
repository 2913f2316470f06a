"""The stand-in for CLIP on procedural rooms: a small image-text pair trained on their captions.

It covers only the generator's rooms and vocabulary. Its control is the same pair untrained.
"""

import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from dejavu.data.store import PreparedSplit
from dejavu.method.text import ImageTextEncoder
from dejavu.runtime.errors import CheckpointError, DejaVuError
from dejavu.runtime.files import whole_file
from dejavu.runtime.progress import Progress, silent
from dejavu.runtime.seeding import fold, generator
from dejavu.runtime.strict_json import from_json, to_json, write_json

if TYPE_CHECKING:
    from dejavu.config import TextPairParams

_METADATA = "text_pair"
_PADDING, _UNKNOWN, _FIRST_WORD = range(3)
_LARGEST_SCALE = 100.0


class StandInPair(ImageTextEncoder):
    """A small convolutional image encoder and a bag of short phrases as text encoder.

    Images: four 3 x 3 convolutions of stride 2 with group normalisation, which unlike batch
    normalisation treats each image alone, and ReLU; the mean over positions; a linear map. Texts:
    an embedding of each word, a convolution over three words ("a teal sofa"), ReLU, the maximum
    over the text, a linear map. Words are lower case, split at all but the letters a to z; words
    outside the vocabulary share one embedding.

    Args:
        vocabulary: the known words.
        width: channels of the first convolution; each further one doubles them.
        dimension: length of the embeddings.

    Attributes:
        log_scale: logarithm of the factor on cosines in training (the inverse temperature).

    Example:
        >>> pair = StandInPair(["a", "sofa"], width=4, dimension=8)
        >>> pair.encode_image(torch.zeros(2, 3, 40, 50)).shape
        torch.Size([2, 8])
        >>> pair.encode_text(["a sofa", "A SOFA!", "a sofa a"]).shape
        torch.Size([3, 8])
    """

    def __init__(self, vocabulary: Sequence[str], width: int = 16, dimension: int = 64) -> None:
        super().__init__()
        self._numbers = {word: number for number, word in enumerate(vocabulary, _FIRST_WORD)}
        self.convolutions = nn.Sequential()
        channels = 3
        for widened in (width, 2 * width, 4 * width, 8 * width):
            self.convolutions.append(nn.Conv2d(channels, widened, 3, stride=2, padding=1))
            self.convolutions.append(nn.GroupNorm(1, widened))
            self.convolutions.append(nn.ReLU())
            channels = widened
        self.image_head = nn.Linear(channels, dimension)
        size = _FIRST_WORD + len(vocabulary)
        self.words = nn.Embedding(size, dimension, padding_idx=_PADDING)
        self.phrases = nn.Conv1d(dimension, dimension, 3, padding=1)
        self.text_head = nn.Linear(dimension, dimension)
        self.log_scale = nn.Parameter(torch.tensor(math.log(1 / 0.07)))

    def encode_image(self, image: Tensor) -> Tensor:
        """Map B x 3 x H x W images, normalised as rooms are, to B x D unit vectors."""
        return F.normalize(self.image_head(self.convolutions(image).mean((2, 3))))

    def encode_text(self, texts: Sequence[str]) -> Tensor:
        """Map N texts to N x D unit vectors; a text without words is one unknown word."""
        numbers = nn.utils.rnn.pad_sequence(
            [torch.tensor(self._read(text)) for text in texts], batch_first=True
        ).to(self.log_scale.device)
        found = self.phrases(self.words(numbers).transpose(1, 2)).relu()
        # Zeros at the padding do not change the maximum: after ReLU no value is below 0.
        found = found.masked_fill((numbers == _PADDING).unsqueeze(1), 0)
        return F.normalize(self.text_head(found.amax(2)))

    def _read(self, text: str) -> list[int]:
        return [self._numbers.get(word, _UNKNOWN) for word in _split(text)] or [_UNKNOWN]


def contrastive_loss(image: Tensor, text: Tensor, scale: Tensor) -> Tensor:
    """Symmetric InfoNCE, the training loss of CLIP (Radford et al., 2021).

    Args:
        image: B x D unit vectors.
        text: B x D unit vectors of the matching texts.
        scale: factor on the cosines.

    Returns:
        The mean cross entropy of finding each image's text and each text's image in the batch.

    Example:
        >>> contrastive_loss(torch.eye(2), torch.eye(2).flip(0), torch.tensor(20.0))
        tensor(20.)
    """
    logits = scale * image @ text.T
    pairs = torch.arange(len(logits), device=logits.device)
    return (F.cross_entropy(logits, pairs) + F.cross_entropy(logits.T, pairs)) / 2


def recall(similarity: Tensor, captions: Sequence[str], k: int) -> float:
    """Share of images whose caption is among the ``k`` most similar ones.

    Scenes with the same caption count as correct for each other; a wrong caption that is as
    similar as the right one ranks before it.

    Args:
        similarity: N x N, of each image (row) to each caption.
        captions: N captions, in the order of the images.
        k: number of top-ranked captions.

    Example:
        >>> recall(torch.tensor([[0.9, 0.1], [0.8, 0.7]]), ["a sofa", "a plant"], k=1)
        0.5
    """
    correct = _same(captions).to(similarity.device)
    best = similarity.where(correct, -math.inf).amax(1, keepdim=True)
    before = ((similarity >= best) & ~correct).sum(1)
    return (before < k).double().mean().item()


def chance(captions: Sequence[str], k: int) -> float:
    """Expected recall at ``k`` of a random ranking of the captions.

    Example:
        >>> chance(["a sofa", "a plant", "a sofa", "a rug"], k=1)
        0.375
    """
    count, k = len(captions), min(k, len(captions))
    missed = [math.comb(count - right, k) for right in _same(captions).sum(1).tolist()]
    return 1 - sum(missed) / count / math.comb(count, k)


def train_text_pair(
    data: Path,
    settings: "TextPairParams",
    output: Path,
    metrics: Path,
    progress: Progress = silent,
) -> dict[str, Any]:
    """Train the stand-in pair on prepared rooms, and measure its recall on val.

    It is trained on the CPU even if there is an accelerator: the pair is small, and the runs that
    it supervises depend on its weights.

    Args:
        data: folder of the prepared rooms.
        settings: sizes and training.
        output: checkpoint to write; the same bytes each time.
        metrics: JSON file to write: recall at 1 and at 5 of an image's caption among all captions
            of val, for the trained pair, the untrained pair and chance.
        progress: called after each step.

    Returns:
        The content of ``metrics``.

    Raises:
        DataError: the data is missing or damaged.
        DejaVuError: the loss is not finite; the message names the step.
    """
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    train, val = PreparedSplit(data, "train"), PreparedSplit(data, "val")
    train.verify()
    val.verify()
    recipe: dict[str, Any] = {
        "vocabulary": sorted({word for caption in _captions(train) for word in _split(caption)}),
        "width": settings.width,
        "dimension": settings.dimension,
        "seed": settings.seed,
    }
    pair = _create(**recipe)
    untrained = _measure(pair, val, settings.batch_size)
    _fit(pair, train, settings, progress)
    trained = _measure(pair, val, settings.batch_size)
    # A single key: safetensors writes several keys in an order that varies between files.
    metadata = {_METADATA: to_json(recipe)}
    with whole_file(output) as temporary:
        temporary.write_bytes(save(pair.state_dict(), metadata))
    result = {
        "split": "val",
        "images": len(val),
        "steps": settings.steps,
        "chance_at_1": chance(_captions(val), 1),
        "chance_at_5": chance(_captions(val), 5),
        "trained": trained,
        "untrained": untrained,
    }
    write_json(metrics, result)
    return result


def load_text_pair(path: Path, trained: bool = True) -> StandInPair:
    """Load the stand-in pair, or its control.

    Args:
        path: checkpoint written by `train_text_pair`.
        trained: False gives the untrained pair: same vocabulary, same architecture, freshly
            initialised from the same seed.

    Raises:
        CheckpointError: the file is missing, damaged, or not a checkpoint of a stand-in pair.
    """
    again = "make it anew with `python -m dejavu text-pair`"
    if not path.is_file():
        raise CheckpointError(f"{path}: no such image-text pair; {again}")
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            weights = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        if _METADATA not in metadata:
            raise CheckpointError(
                f"{path}: not an image-text pair: its metadata lacks the key {_METADATA!r}; {again}"
            )
        pair = _create(**from_json(metadata[_METADATA]))
        if trained:
            pair.load_state_dict(weights)
    except (SafetensorError, RuntimeError, ValueError, TypeError) as error:
        reason = " ".join(str(error).split())
        raise CheckpointError(
            f"{path}: damaged, or written by another version of the code ({reason}); {again}"
        ) from None
    return pair.eval()


def _create(vocabulary: Sequence[str], width: int, dimension: int, seed: int) -> StandInPair:
    with torch.random.fork_rng():
        torch.manual_seed(fold(seed, "text pair"))
        return StandInPair(vocabulary, width, dimension)


def _fit(
    pair: StandInPair, scenes: PreparedSplit, settings: "TextPairParams", progress: Progress
) -> None:
    captions = _captions(scenes)
    optimizer = torch.optim.AdamW(pair.parameters(), lr=settings.learning_rate)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, settings.learning_rate, total_steps=settings.steps, cycle_momentum=False
    )
    for step in range(settings.steps):
        draws = generator(settings.seed, "text pair batch", step)
        chosen = torch.randperm(len(scenes), generator=draws)[: settings.batch_size]
        # Captions mention neither left nor right, so that mirrored images keep theirs.
        batch = scenes.batch(chosen).flip(torch.rand(len(chosen), generator=draws) < 0.5)
        image = pair.encode_image(batch.image)
        text = pair.encode_text([captions[index] for index in chosen.tolist()])
        loss = contrastive_loss(image, text, pair.log_scale.exp().clamp(max=_LARGEST_SCALE))
        if not loss.isfinite():
            raise DejaVuError(
                f"step {step} of the image-text pair: the loss is {loss.item()}; "
                "lower text_pair.learning_rate"
            )
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        schedule.step()
        progress(step + 1, settings.steps, f"loss {loss.item():.3f}")


@torch.no_grad()
def _measure(pair: StandInPair, scenes: PreparedSplit, batch_size: int) -> dict[str, float]:
    captions = _captions(scenes)
    parts = torch.arange(len(scenes)).split(batch_size)
    image = torch.cat([pair.encode_image(scenes.batch(p).image) for p in parts])
    similarity = image @ pair.encode_text(captions).T
    return {f"recall_at_{k}": recall(similarity, captions, k) for k in (1, 5)}


def _same(captions: Sequence[str]) -> Tensor:
    """Mark the pairs of scenes with the same caption: N x N, bool."""
    numbers = {caption: number for number, caption in enumerate(captions)}
    own = torch.tensor([numbers[caption] for caption in captions])
    return own.unsqueeze(1) == own


def _captions(scenes: PreparedSplit) -> list[str]:
    return [scenes.caption(index) for index in range(len(scenes))]


def _split(text: str) -> list[str]:
    return re.findall("[a-z]+", text.lower())
