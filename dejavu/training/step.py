"""The losses of a run's training steps, and the networks that they train.

Methods are paired: at the same seed, all start from the same base weights and see the same
batches, and the base network and the regeneration losses draw from separate random streams. So a
method whose losses send no gradient to the base network trains exactly the baseline's network,
byte for byte.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor, nn

from dejavu.runtime.collective import ALONE, Share
from dejavu.runtime.errors import ParamsError
from dejavu.runtime.seeding import fold
from dejavu.study.run import Run
from dejavu.tasks.base import Task
from dejavu.training.batches import StepBatch
from dejavu.training.build import build_network

Module = TypeVar("Module", bound=nn.Module)

_SINGLE_VALUE = "Expected more than 1 value per channel"
"""Start of torch's message: only the network's forward pass tells to what size it pools."""


class TrainingModule:
    """The networks of a run, freshly built, and the losses of its steps.

    Args:
        run: the run.
        task: its task.
        device: device of the networks.
        share: this process's part of every batch.

    Attributes:
        model: the network that is trained and deployed, in training mode.
        criterion: the DejaVu loss, or None for a method without one.
        weights: weight of each additional loss, by name.
    """

    def __init__(self, run: Run, task: Task, device: torch.device, share: Share = ALONE) -> None:
        self._run, self._task = run, task
        method = run.params.methods[run.method]
        self.weights = run.weights
        self._controls = None
        if method.has_controls:
            from dejavu.training.controls import Controls

            self._controls = Controls(run, task, share)
        with torch.random.fork_rng():
            torch.manual_seed(fold(run.seed, "model"))
            model = build_network(run.identity(), task)
            torch.manual_seed(fold(run.seed, "criterion"))
            self._regeneration = None
            if method.dejavu:
                from dejavu.training.regeneration import RegenerationLosses

                self._regeneration = RegenerationLosses(run, task, model)
        criterion = self._regeneration.criterion if self._regeneration else None
        if share.size > 1:
            from dejavu.training.shared_modules import share_draws_and_statistics

            for module in (model, criterion):
                share_draws_and_statistics(module, share)
        # Channels last does not change the result, and saves a third of a convolution's time.
        self.model = _channels_last(model, device).train()
        self.criterion = criterion and _channels_last(criterion, device)

    def supervise(self, captions: Sequence[str], text_pair: Path | None) -> None:
        """Prepare the text loss, if the method has one (see `RegenerationLosses.supervise`)."""
        if self._regeneration:
            self._regeneration.supervise(captions, text_pair)

    def losses(self, batch: StepBatch, step: int) -> dict[str, Tensor]:
        """Return the weighted losses of a step by name; training minimises their sum."""
        images, run = batch.images, self._run
        image, target, weights = images.image, self._task.target(images), None
        if self._controls:
            image, weights = self._controls.alter(image, step), self._controls.pixel_weights(target)
        output = forward(self.model, image, run.seed, step)
        losses = {"task": self._task.loss(output, target, weights)}
        if self._regeneration:
            for name, loss in self._regeneration.losses(
                self.model, image, output, target, batch.scenes, step
            ):
                losses[name] = self.weights[name] * loss
                del loss  # before the next one is computed: only the weighted one is kept
        return losses


def forward(model: nn.Module, image: Tensor, seed: int, step: int) -> Tensor:
    """Run the network; its own random draws depend on (seed, "forward", step) alone.

    Raises:
        ParamsError: it normalises a single value over the batch.
    """
    with torch.random.fork_rng():
        torch.manual_seed(fold(seed, "forward", step))
        try:
            output: Tensor = model(image)
        except ValueError as error:
            if not str(error).startswith(_SINGLE_VALUE):
                raise
            count, _, height, width = image.shape
            raise ParamsError(
                f"train.batch_size: {count} image of {height} x {width} leaves the network one "
                f"value per channel to normalise ({error}); raise it to 2 or more, or take larger "
                "images, by train.augmentation.crop"
            ) from None
    return output


def _channels_last(module: Module, device: torch.device) -> Module:
    return module.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]
