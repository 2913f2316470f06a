"""Time and memory that the DejaVu loss adds to a training step."""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.report import Row, at_most, timed_row
from benchmarks.scale import Scale, channels_last, describe
from benchmarks.timing import interleave, ratio
from dejavu import CyclicLoss, DejaVuLoss, RandomBlocks
from dejavu.data.sample import IMAGE_MEAN, IMAGE_STD
from dejavu.datasets.rooms.classes import CLASSES
from dejavu.evaluation.memory import PeakMemory
from dejavu.method.loss import RegenerationLoss

BASELINE = "baseline"
SAME = "baseline again: the noise"
_TIME = "step time / baseline"
STRIDES = (1, 2, 4)
_MEMORY_AIM = 1.10

Batch = tuple[Tensor, Tensor]


class Training:
    """A network trained on one batch, in the loop that a user would write.

    Args:
        network: maps images to logits.
        batch: images and labels.
        criterion: the DejaVu loss, if any.
        cyclic: the cyclic loss, if any.
    """

    def __init__(
        self,
        network: nn.Module,
        batch: Batch,
        criterion: RegenerationLoss | None = None,
        cyclic: CyclicLoss | None = None,
    ) -> None:
        self.network, self.criterion, self.cyclic = network, criterion, cyclic
        self.image, self.label = batch
        self.modules = nn.ModuleList([network, *([criterion] if criterion else [])])
        self.optimizer = torch.optim.AdamW(self.modules.parameters(), lr=1e-3)

    def step(self) -> None:
        """Take one training step."""
        prediction = self.network(self.image)
        loss = F.cross_entropy(prediction, self.label)
        if self.criterion and self.cyclic:
            made = self.criterion.regenerate(self.image, prediction)
            loss = loss + self.criterion.gamma * self.criterion.distance(made, self.image)
            loss = loss + self.cyclic(self.network, made.regenerated, self.label)
        elif self.criterion:
            loss = loss + self.criterion(self.image, prediction)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()

    def peak_memory(self) -> int:
        """Take one step; return the peak bytes of all tensors, weights included."""
        self.step()  # allocates the optimiser's state
        self.optimizer.zero_grad(set_to_none=True)
        state = [value for group in self.optimizer.state.values() for value in group.values()]
        weights = self.modules.state_dict().values()
        with PeakMemory([*weights, *state, self.image, self.label]) as memory:
            self.step()
        return int(memory.peak)


def dejavu(**settings: Any) -> RegenerationLoss:
    """Build the DejaVu loss of the study's segmentation, with other settings of the CRM."""
    criterion = DejaVuLoss(
        len(CLASSES),
        RandomBlocks(block=8, keep=0.1),
        gamma=0.3,
        mean=IMAGE_MEAN,
        std=IMAGE_STD,
        **settings,
    )
    channels_last(criterion)
    return criterion


def embedded_rows(scale: Scale) -> list[Row]:
    """Measure the step of the embedded network, by stride and width of the CRM."""
    sizes = [{"stride": stride, "width": width} for width in (16, 8) for stride in STRIDES]
    section = f"DejaVu step, embedded network ({describe(scale.batch, scale.side)})"
    return _step_rows(section, scale.embedded, scale.batch_of_embedded(), sizes, 1.15, scale.rounds)


def large_rows(scale: Scale) -> list[Row]:
    """Measure the step of the large network, by stride of the CRM."""
    sizes = [{"stride": stride, "width": 16} for stride in STRIDES]
    section = f"DejaVu step, {scale.architecture} ({describe(scale.large_batch, scale.large_side)})"
    return _step_rows(section, scale.large, scale.batch_of_large(), sizes, 1.05, scale.large_rounds)


def extension_rows(scale: Scale) -> list[Row]:
    """Measure the step with each extension of the loss, on the embedded network."""
    batch = scale.batch_of_embedded()
    extensions: dict[str, tuple[RegenerationLoss | None, CyclicLoss | None]] = {
        BASELINE: (None, None),
        "DejaVu": (dejavu(), None),
        "DejaVu with ssim": (dejavu(distance={"mse": 1.0, "ssim": 0.1}), None),
        "DejaVu, recurrent CRM (2 passes)": (dejavu(passes=2), None),
        "DejaVu, cyclic": (dejavu(), CyclicLoss(F.cross_entropy, gamma=0.1)),
    }
    arms = {name: Training(scale.embedded(), batch, *losses) for name, losses in extensions.items()}
    seconds = interleave({name: arm.step for name, arm in arms.items()}, scale.rounds)
    section = f"Extensions, embedded network ({describe(scale.batch, scale.side)}, CRM stride 2)"
    return [
        timed_row(section, name, _TIME, ratio(seconds, name, BASELINE))
        for name in arms
        if name != BASELINE
    ]


def _step_rows(
    section: str,
    build: Callable[[], nn.Module],
    batch: Batch,
    sizes: list[dict[str, int]],
    aim: float,
    rounds: int,
) -> list[Row]:
    arms = {name: Training(build(), batch) for name in (BASELINE, SAME)}
    arms |= {_name(size): Training(build(), batch, dejavu(**size)) for size in sizes}
    seconds = interleave({name: arm.step for name, arm in arms.items()}, rounds)
    memory = {name: arm.peak_memory() for name, arm in arms.items()}
    rows = [timed_row(section, SAME, _TIME, ratio(seconds, SAME, BASELINE))]
    for name, arm in arms.items():
        if not isinstance(arm.criterion, DejaVuLoss):
            continue
        cost = arm.criterion.crm.cost(*batch[0].shape[-2:])
        peak = memory[name] / memory[BASELINE]
        rows += [
            timed_row(section, name, _TIME, ratio(seconds, name, BASELINE), at_most(aim)),
            Row(section, name, "peak memory / baseline", peak, "x", at_most(_MEMORY_AIM)),
            Row(section, name, "CRM parameters", cost.parameters, ""),
            Row(section, name, "CRM FLOPs an image", cost.flops / 1e6, "M"),
        ]
    return rows


def _name(size: dict[str, int]) -> str:
    return f"CRM stride {size['stride']}, width {size['width']}"
