"""Training params."""

from typing import Literal

from pydantic import Field, model_validator

from dejavu.config.augmentation import AugmentationParams
from dejavu.config.base import Count, Section


class TrainParams(Section):
    """Training settings, shared by all methods of a study."""

    steps: Count = Field(300, description="number of optimiser steps")
    batch_size: Count = Field(16, description="images per step")
    subset: Count | None = Field(
        128, description="images that each seed draws from the training pool; null: all"
    )
    labelled: Count | None = Field(None, description="labelled images of the subset; null: all")
    label_density: float = Field(
        1.0, gt=0, le=1, description="fraction of labelled pixels in each labelled image"
    )
    flip: bool = Field(True, description="mirror images left to right with probability 1/2")
    augmentation: AugmentationParams = Field(default_factory=AugmentationParams)
    optimizer: Literal["adamw", "adam", "sgd"] = Field(
        "adamw", description="AdamW, Adam, or stochastic gradient descent with momentum"
    )
    momentum: float = Field(0.9, ge=0, lt=1, description="momentum (sgd only)")
    schedule: Literal["one_cycle", "poly"] = Field(
        "one_cycle", description="learning-rate schedule"
    )
    power: float = Field(0.9, gt=0, description="exponent of the schedule (poly only)")
    warmup: int = Field(
        0, ge=0, description="number of linear warm-up steps, from 1/1000 of the rate (poly only)"
    )
    learning_rate: float = Field(0.003, gt=0, description="peak learning rate")
    head_rate: float = Field(
        1.0, gt=0, description="learning-rate multiplier of all parameters outside the encoder"
    )
    weight_decay: float = Field(
        0.01, ge=0, description="weight decay, decoupled (adamw) or in the gradient"
    )
    clip_norm: float = Field(
        1.0, gt=0, description="maximum gradient norm; network and CRM are clipped separately"
    )
    threads: Count = Field(
        1, description="CPU threads; changes rounding, so it is part of a run's hash"
    )
    workers: int = Field(
        0, ge=0, description="processes that load batches; does not change the result"
    )
    processes: Count = Field(
        1,
        description="data-parallel processes of a run, each with an equal part of every batch and, "
        "if there are any, its own GPU; changes the result by rounding only",
    )
    jobs_per_device: Count = Field(
        1, description="jobs of any kind that may share a GPU; does not change the result"
    )
    log_every: Count = Field(10, description="steps between entries of the training log")
    checkpoint_every: Count = Field(
        100, description="steps between resume states; does not change the result"
    )

    def too_many(self, pool: int) -> str | None:
        """Return an error if a setting needs more images than a pool of ``pool``, else None.

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
