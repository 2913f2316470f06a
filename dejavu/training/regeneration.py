"""The regeneration losses of a run's training steps: DejaVu, cyclic and text."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from dejavu.config import TextParams
from dejavu.data.sample import IMAGE_MEAN, IMAGE_STD
from dejavu.method.loss import Regeneration, RegenerationLoss
from dejavu.networks.registry import dense_head
from dejavu.runtime.errors import CheckpointError
from dejavu.runtime.seeding import generator
from dejavu.study.run import Run
from dejavu.tasks.base import Task
from dejavu.training.criterion import build_criterion

if TYPE_CHECKING:
    from dejavu.method.cyclic import CyclicLoss
    from dejavu.method.text import ImageTextEncoder, TextLoss


class RegenerationLosses:
    """The losses that a run with the DejaVu loss adds to its task loss, unweighted.

    Args:
        run: a run with the DejaVu loss.
        task: its task.
        network: its network; also the source of the features where these are the condition.

    Attributes:
        criterion: the DejaVu loss.
    """

    def __init__(self, run: Run, task: Task, network: nn.Module) -> None:
        settings = run.params.methods[run.method].dejavu
        assert settings is not None
        self._run, self._task, self._settings = run, task, settings
        self.criterion: RegenerationLoss = build_criterion(run.identity(), task, network)
        self._features: Callable[[], Tensor] | None = None
        if settings.condition == "features":
            from dejavu.method.features import FeatureTap

            tap = FeatureTap(network, dense_head(network))
            self._features = lambda: tap.features
        self._cyclic = self._build_cyclic()
        self._text: TextLoss | None = None
        self._captions = torch.empty(0)

    def _build_cyclic(self) -> "CyclicLoss | None":
        settings = self._settings.cyclic
        if settings is None:
            return None
        from dejavu.method.cyclic import CyclicLoss

        to_truth = settings.reference == "ground_truth"
        distance = self._task.loss if to_truth else self._disagreement
        return CyclicLoss(distance, gradient=settings.gradient)

    def supervise(self, captions: Sequence[str], text_pair: Path | None) -> None:
        """Prepare the text loss, if the method has one: embed the captions of the subset once.

        Args:
            captions: captions of the seed's scenes, in the order of its subset.
            text_pair: checkpoint of the image-text pair that stands in for CLIP, if needed.

        Raises:
            DejaVuError: weights are missing or damaged.
        """
        if self._settings.text:
            from dejavu.method.text import TextLoss

            self._text = TextLoss(_text_encoder(self._settings.text, text_pair))
            self._captions = self._text.embed(captions)

    def losses(
        self,
        network: nn.Module,
        image: Tensor,
        output: Tensor,
        target: Tensor,
        scenes: Tensor,
        step: int,
    ) -> Iterator[tuple[str, Tensor]]:
        """Yield the losses of a step with their names, unweighted.

        Args:
            network: the network that computed the output.
            image: B x 3 x H x W, its input.
            output: B x C x H x W, its raw output.
            target: the ground truth.
            scenes: B, the images' positions in the seed's subset.
            step: number of the training step.
        """
        regeneration = self._regenerate(image, output, target, step)
        yield "dejavu", self.criterion.distance(regeneration, image)
        if self._cyclic and self._settings.cyclic:
            to_truth = self._settings.cyclic.reference == "ground_truth"
            reference = target if to_truth else output
            draws = generator(self._run.seed, "cyclic", step)
            regenerated, loss = regeneration.regenerated, self._cyclic.unweighted
            yield "cyclic", loss(network, regenerated, reference, draws)
        if self._text:
            captions = self._captions[scenes]
            yield "text", self._text.unweighted(regeneration.regenerated, captions)

    def _regenerate(self, image: Tensor, output: Tensor, target: Tensor, step: int) -> Regeneration:
        task, seed = self._task, self._run.seed
        draws = generator(seed, "redaction", step)
        if self._features:
            return self.criterion.regenerate(image, self._features(), draws)
        conditions: dict[str, Callable[[], Tensor]] = {
            "live": lambda: task.condition(output),
            "detached": lambda: task.condition(output.detach()),
            "ground_truth": lambda: task.encode(target),
            "zeros": lambda: torch.zeros_like(task.condition(output)),
            "deranged": lambda: task.condition(output)[derangement(len(output), seed, step)],
        }
        condition = conditions[self._settings.condition]()
        return self.criterion.regenerate_from_condition(image, condition, draws)

    def _disagreement(self, output: Tensor, reference: Tensor) -> Tensor:
        """Mean squared difference between the conditions of two outputs."""
        difference = self._task.condition(output) - self._task.condition(reference)
        return difference.square().mean()


def derangement(count: int, seed: int, step: int) -> Tensor:
    """Draw, for each image, another image whose prediction becomes its condition.

    The donors form one random cycle, so that each image donates exactly once.

    Example:
        >>> donors = derangement(5, seed=0, step=0)
        >>> bool((donors == torch.arange(5)).any()), donors.sort().values.tolist()
        (False, [0, 1, 2, 3, 4])
    """
    cycle = torch.randperm(count, generator=generator(seed, "derangement", step))
    donors = torch.empty_like(cycle)
    donors[cycle] = cycle.roll(1)
    return donors


def _text_encoder(settings: TextParams, text_pair: Path | None) -> "ImageTextEncoder":
    if settings.encoder == "clip":
        from dejavu.method.text import load_clip

        assert settings.clip_weights is not None
        weights = Path(settings.clip_weights)
        return load_clip(settings.clip_model, weights, IMAGE_MEAN, IMAGE_STD)
    if text_pair is None:
        raise CheckpointError(
            f"text.encoder {settings.encoder!r} needs the trained image-text pair: "
            "train it with `python -m dejavu text-pair`"
        )
    from dejavu.training.text_pair import load_text_pair

    return load_text_pair(text_pair, trained=settings.encoder == "stand_in")
