"""Random draws and statistics of a module over a batch that several processes share."""

from dataclasses import dataclass

import torch
from torch import Generator, Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from dejavu.method.redaction.base import Kind, Redacted, Redaction
from dejavu.runtime.collective import Share, mean_across, processes
from dejavu.runtime.errors import ParamsError


def share_draws_and_statistics(module: nn.Module | None, share: Share) -> None:
    """Make a module's redactions draw, and its batch normalisation average, for the whole batch.

    Args:
        module: network or criterion, changed in place; None is ignored.
        share: this process's part of the batch.

    Raises:
        ParamsError: a batch normalisation is of a class whose statistics cannot be shared.
    """
    if module is None or share.size == 1:
        return
    for name, part in module.named_modules():
        if isinstance(part, _BatchNorm):
            # Both replacements would drop a subclass's additions, such as timm's activation.
            if type(part) is not nn.BatchNorm2d:
                raise ParamsError(
                    f"train.processes: {name} is a {type(part).__name__}, whose statistics several "
                    "processes cannot share; set train.processes to 1"
                )
            if not torch.cuda.is_available():
                part.__class__ = _SharedBatchNorm
        redaction = getattr(part, "redaction", None)
        if isinstance(redaction, Redaction):
            setattr(part, "redaction", _SharedRedaction(redaction, share))  # noqa: B010
    if torch.cuda.is_available():
        nn.SyncBatchNorm.convert_sync_batchnorm(module)


@dataclass(frozen=True)
class _SharedRedaction(Redaction):
    """A redaction that draws for the whole batch and redacts this process's part."""

    whole: Redaction
    share: Share

    @property
    def kind(self) -> Kind:
        return self.whole.kind

    @property
    def hole(self) -> int:
        return self.whole.hole

    def _redact(self, image: Tensor, generator: Generator | None) -> Redacted:
        kept: list[Tensor | None] = []

        def redact(batch: Tensor) -> Tensor:
            redacted = self.whole(batch, generator)
            kept.append(redacted.keep)
            return redacted.image

        redacted = self.share.draw_for_all(image, redact)
        keep = kept[0]
        return Redacted(redacted, None if keep is None else keep[self.share.of(len(keep))])


class _SharedBatchNorm(nn.BatchNorm2d):
    """Batch normalisation over the whole shared batch, on the CPU: torch's own needs a GPU."""

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 (torch's name)
        if not self.training or processes() == 1:
            return super().forward(input)
        assert self.momentum is not None
        assert self.num_batches_tracked is not None
        mean = mean_across(input.mean((0, 2, 3)))
        centred = input - mean.view(-1, 1, 1)
        variance = mean_across(centred.square().mean((0, 2, 3)))
        count = input[:, 0].numel() * processes()
        with torch.no_grad():
            self.num_batches_tracked.add_(1)
            for running, new in (
                (self.running_mean, mean),
                (self.running_var, variance * count / (count - 1)),
            ):
                assert running is not None
                running.lerp_(new, self.momentum)
        normalised = centred * torch.rsqrt(variance + self.eps).view(-1, 1, 1)
        return normalised * self.weight.view(-1, 1, 1) + self.bias.view(-1, 1, 1)
