"""One arm of the comparison: a run's networks, and the losses of its training steps.

Arms are paired: at the same seed, all methods start from the same base weights and see the same
batches, and the base network's own randomness has a stream of its own. Whatever the losses by
regeneration draw or initialise is apart. So an arm whose losses send no gradient to the base
network trains exactly the baseline's network, byte for byte.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor, nn

from dejavu.config import TextParams
from dejavu.data.sample import IMAGE_MEAN, IMAGE_STD
from dejavu.method.cyclic import CyclicLoss
from dejavu.method.features import FeatureTap
from dejavu.method.loss import Regeneration
from dejavu.method.text import ImageTextEncoder, TextLoss, load_clip
from dejavu.metrics.edges import distance_to
from dejavu.networks.registry import dense_head
from dejavu.runtime.collective import ALONE, Share
from dejavu.runtime.errors import CheckpointError
from dejavu.runtime.seeding import fold, generator
from dejavu.runtime.torchvision_import import import_torchvision
from dejavu.study.run import Run
from dejavu.tasks.base import Task
from dejavu.training.batches import StepBatch
from dejavu.training.build import build_criterion, build_network
from dejavu.training.shared_modules import share_draws_and_statistics
from dejavu.training.text_pair import load_text_pair

Module = TypeVar("Module", bound=nn.Module)


class Arm:
    """The networks of a run, freshly built, and the losses of its steps.

    Args:
        run: the run.
        task: its task.
        device: where the networks live.
        share: this process's part of every batch.

    Attributes:
        model: the network that is trained and deployed, in training mode.
        criterion: the DejaVu loss, or None for a method without one.
        weights: weight of each loss beside the task loss, by its name.
    """

    def __init__(self, run: Run, task: Task, device: torch.device, share: Share = ALONE) -> None:
        self._run, self._task, self._share = run, task, share
        self._method = run.params.methods[run.method]
        dejavu = self._method.dejavu
        identity = run.identity()
        with torch.random.fork_rng():
            torch.manual_seed(fold(run.seed, "model"))
            model = build_network(identity, task)
            torch.manual_seed(fold(run.seed, "criterion"))
            criterion = build_criterion(identity, task, model)
        for module in (model, criterion):
            share_draws_and_statistics(module, share)
        # Channels last changes nothing in the result, but saves a third of a convolution's time.
        self.model = _channels_last(model, device).train()
        self.criterion = criterion and _channels_last(criterion, device)
        self.weights = run.weights
        taps = dejavu is not None and dejavu.condition == "features"
        self._tap = FeatureTap(model, dense_head(model)) if taps else None
        self._cyclic = self._build_cyclic()
        self._text: TextLoss | None = None
        self._captions = torch.empty(0)

    def _build_cyclic(self) -> CyclicLoss | None:
        settings = self._method.dejavu and self._method.dejavu.cyclic
        if not settings:
            return None
        self._cyclic_reference = settings.reference
        distance = self._task.loss if settings.reference == "ground_truth" else self._disagreement
        return CyclicLoss(distance, self.weights["cyclic"], settings.gradient)

    def supervise(self, captions: Sequence[str], text_pair: Path | None) -> None:
        """Prepare the text loss, where the method has one: embed the captions of the subset once.

        Args:
            captions: of the seed's scenes, in the order of its subset.
            text_pair: checkpoint of the image-text pair that stands in for CLIP, if it is needed.

        Raises:
            DejaVuError: weights are missing or damaged.
        """
        settings = self._method.dejavu and self._method.dejavu.text
        if settings:
            self._text = TextLoss(_text_encoder(settings, text_pair), self.weights["text"])
            self._captions = self._text.embed(captions)

    def losses(self, batch: StepBatch, step: int) -> dict[str, Tensor]:
        """Return the weighted losses of a step by name; their sum is what is trained on."""
        images, run = batch.images, self._run
        image = self._erase(images.image, step)
        output = forward(self.model, image, run.seed, step)
        target = self._task.target(images)
        losses = {"task": self._task.loss(output, target, self._pixel_weights(target))}
        if self.criterion is None:
            return losses
        made = self._regenerate(image, output, target, step)
        losses["dejavu"] = self.criterion.gamma * self.criterion.distance(made, image)
        if self._cyclic:
            reference = target if self._cyclic_reference == "ground_truth" else output
            draws = generator(run.seed, "cyclic", step)
            losses["cyclic"] = self._cyclic(self.model, made.regenerated, reference, draws)
        if self._text:
            losses["text"] = self._text(made.regenerated, self._captions[batch.scenes])
        return losses

    def _regenerate(self, image: Tensor, output: Tensor, target: Tensor, step: int) -> Regeneration:
        assert self.criterion is not None
        assert self._method.dejavu is not None
        task, seed = self._task, self._run.seed
        draws = generator(seed, "redaction", step)
        if self._tap:
            return self.criterion.regenerate(image, self._tap.features, draws)
        conditions: dict[str, Callable[[], Tensor]] = {
            "live": lambda: task.condition(output),
            "detached": lambda: task.condition(output.detach()),
            "ground_truth": lambda: task.encode(target),
            "zeros": lambda: torch.zeros_like(task.condition(output)),
            "deranged": lambda: task.condition(output)[derangement(len(output), seed, step)],
        }
        condition = conditions[self._method.dejavu.condition]()
        return self.criterion.regenerate_from_condition(image, condition, draws)

    def _pixel_weights(self, target: Tensor) -> Tensor | None:
        """Weigh pixels near the target's edges more: a control for clearer boundaries."""
        extra, width = self._method.boundary_weight, self._method.boundary_width
        if not extra:
            return None
        return 1 + extra * (distance_to(self._task.edges(target)) <= width)

    def _erase(self, image: Tensor, step: int) -> Tensor:
        """Erase random rectangles (Zhong et al., 2020), to mean grey: a control for redaction."""
        if not self._method.erasing:
            return image
        import_torchvision()
        from torchvision.transforms import v2

        erasing = v2.RandomErasing(self._method.erasing)
        with torch.random.fork_rng():
            torch.manual_seed(fold(self._run.seed, "erasing", step))
            return self._share.draw_for_all(
                image, lambda batch: torch.stack([erasing(one) for one in batch])
            )

    def _disagreement(self, output: Tensor, reference: Tensor) -> Tensor:
        """Mean squared difference of two predictions, as conditions."""
        difference = self._task.condition(output) - self._task.condition(reference)
        return difference.square().mean()


def forward(model: nn.Module, image: Tensor, seed: int, step: int) -> Tensor:
    """Run the network; what it draws itself comes from (seed, "forward", step) alone."""
    with torch.random.fork_rng():
        torch.manual_seed(fold(seed, "forward", step))
        output: Tensor = model(image)
    return output


def derangement(count: int, seed: int, step: int) -> Tensor:
    """Draw which sample's prediction each sample is given: never its own.

    The samples are passed along one random cycle, so that each donates exactly once.

    Example:
        >>> donors = derangement(5, seed=0, step=0)
        >>> bool((donors == torch.arange(5)).any()), donors.sort().values.tolist()
        (False, [0, 1, 2, 3, 4])
    """
    cycle = torch.randperm(count, generator=generator(seed, "derangement", step))
    donors = torch.empty_like(cycle)
    donors[cycle] = cycle.roll(1)
    return donors


def _text_encoder(settings: TextParams, text_pair: Path | None) -> ImageTextEncoder:
    if settings.encoder == "clip":
        assert settings.clip_weights is not None
        weights = Path(settings.clip_weights)
        return load_clip(settings.clip_model, weights, IMAGE_MEAN, IMAGE_STD)
    if text_pair is None:
        raise CheckpointError(
            f"text.encoder {settings.encoder!r} needs the trained image-text pair: "
            "make it with `python -m dejavu text-pair`"
        )
    return load_text_pair(text_pair, trained=settings.encoder == "stand_in")


def _channels_last(module: Module, device: torch.device) -> Module:
    return module.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]
