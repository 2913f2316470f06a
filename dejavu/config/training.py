"""Training in params."""

from typing import Literal

from pydantic import Field, model_validator

from dejavu.config.augmentation import AugmentationParams
from dejavu.config.base import Count, Section


class TrainParams(Section):
    """Training, the same for every method of a study."""

    steps: Count = Field(300, description="optimiser steps")
    batch_size: Count = Field(16, description="images per step")
    subset: Count | None = Field(
        128, description="images that each seed draws from the training pool; null: all of them"
    )
    labelled: Count | None = Field(
        None, description="images of the subset whose labels are used; null: all of them"
    )
    label_density: float = Field(
        1.0, gt=0, le=1, description="fraction of a labelled image's pixels whose labels are used"
    )
    flip: bool = Field(True, description="mirror half of the images left to right")
    augmentation: AugmentationParams = Field(default_factory=AugmentationParams)
    optimizer: Literal["adamw", "adam", "sgd"] = Field(
        "adamw", description="AdamW, Adam, or stochastic gradient descent with momentum"
    )
    momentum: float = Field(0.9, ge=0, lt=1, description="momentum (sgd only)")
    schedule: Literal["one_cycle", "poly"] = Field("one_cycle", description="learning rate by step")
    power: float = Field(0.9, gt=0, description="exponent of the schedule (poly only)")
    warmup: int = Field(
        0, ge=0, description="steps of linear rise from a thousandth of the rate (poly only)"
    )
    learning_rate: float = Field(0.003, gt=0, description="peak learning rate")
    head_rate: float = Field(
        1.0, gt=0, description="factor to it for all but a network's encoder, where it has one"
    )
    weight_decay: float = Field(
        0.01, ge=0, description="weight decay, decoupled (adamw) or in the gradient"
    )
    clip_norm: float = Field(
        1.0, gt=0, description="largest gradient norm; base network and CRM are clipped apart"
    )
    threads: Count = Field(1, description="CPU threads; sums depend on it, so it is part of a run")
    workers: int = Field(
        0, ge=0, description="processes that prepare batches; does not change the result"
    )
    processes: Count = Field(
        1,
        description="processes that train a run together, each on its part of every batch, and on "
        "a GPU each where there are any; changes the result by rounding only",
    )
    jobs_per_device: Count = Field(
        1, description="jobs that share a GPU, of whatever kind; does not change the result"
    )
    log_every: Count = Field(10, description="steps between lines of the training log")
    checkpoint_every: Count = Field(
        100, description="steps between resume states; does not change the result"
    )

    def too_many(self, pool: int) -> str | None:
        """Say which setting asks for more images than a pool of ``pool`` has; None if none does.

        Example:
            >>> TrainParams(subset=12).too_many(10)
            'train.subset: 12 is more than the 10 images to draw from'
        """
        subset = pool if self.subset is None else self.subset
        for key, count, limit in (
            ("subset", subset, pool),
            ("batch_size", self.batch_size, subset),
            ("labelled", self.labelled or 0, subset),
        ):
            if count > limit:
                return f"train.{key}: {count} is more than the {limit} images to draw from"
        return None

    @model_validator(mode="after")
    def _processes_share_evenly(self) -> "TrainParams":
        if self.batch_size % self.processes:
            raise ValueError(
                f"processes ({self.processes}) must divide batch_size ({self.batch_size}): each "
                "takes an equal part of every batch"
            )
        return self

    @model_validator(mode="after")
    def _warmup_ends(self) -> "TrainParams":
        if self.warmup >= self.steps:
            raise ValueError(f"warmup ({self.warmup}) must be below steps ({self.steps})")
        return self
