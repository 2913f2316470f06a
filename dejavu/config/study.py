"""Params of a whole study, with the sections for gap, text pair, cost and report."""

from typing import Annotated

from pydantic import Field, model_validator

from dejavu.config.base import Count, Fraction, Label, Section
from dejavu.config.consistency import check_study
from dejavu.config.data import DataParams
from dejavu.config.evaluation import EvaluationParams
from dejavu.config.methods import MethodParams, needs_text_pair
from dejavu.config.networks import NetworkParams
from dejavu.config.redactions import RedactionParams
from dejavu.config.tasks import TaskName, TaskSections
from dejavu.config.training import TrainParams


class GapParams(Section):
    """Oracle gap of redactions on val, measured by short training runs of the CRM alone."""

    steps: Count = Field(200, description="CRM training steps per redaction and condition")
    candidates: list[RedactionParams] = Field(
        default_factory=list, description="redactions compared, in addition to those of the methods"
    )


class TextPairParams(Section):
    """Image-text encoder that stands in for CLIP on rooms; trained only if a method uses it."""

    steps: Count = Field(300, description="number of optimiser steps")
    batch_size: int = Field(64, ge=2, description="image-caption pairs per step")
    width: Count = Field(16, description="channels of the image encoder's first layer")
    dimension: Count = Field(64, description="dimension of the embeddings")
    learning_rate: float = Field(0.003, gt=0, description="learning rate of AdamW")
    seed: int = Field(0, ge=0, description="seed of the initial weights and batches")


class CostParams(Section):
    """Benchmark for the cost table, with interleaved methods."""

    rounds: Count = Field(
        20, description="number of rounds, each one training step of every method"
    )


class ReportParams(Section):
    """Tables, figures and report."""

    reference: Label = Field("baseline", description="reference method of the paired differences")
    confidence: Fraction = Field(0.95, description="confidence level of the Student-t intervals")
    scenes: Count = Field(3, description="number of scenes on each qualitative sheet")


class Matrix(Section):
    """What a study compares, and on which data."""

    study: Label = Field(description="name of the study and of its folders in data/ and results/")
    tasks: list[TaskName] = Field(description="dense-prediction tasks", min_length=1)
    networks: dict[Label, NetworkParams] = Field(description="networks by label", min_length=1)
    methods: dict[Label, MethodParams] = Field(description="methods by label", min_length=1)
    seeds: list[Annotated[int, Field(ge=0)]] = Field(
        description="every method has one run per seed; runs of one seed are paired", min_length=1
    )
    data: DataParams = Field(default_factory=lambda: DataParams.model_validate({}))


class Params(TaskSections, Matrix):  # in a file: the matrix, the tasks' sections, the others
    """A study: tasks x networks x methods x seeds on one data set."""

    train: TrainParams = Field(default_factory=TrainParams)
    evaluation: EvaluationParams = Field(default_factory=EvaluationParams)
    gap: GapParams = Field(default_factory=GapParams)
    text_pair: TextPairParams = Field(default_factory=TextPairParams)
    cost: CostParams = Field(default_factory=CostParams)
    report: ReportParams = Field(default_factory=ReportParams)

    @model_validator(mode="after")
    def _consistent(self) -> "Params":
        check_study(self)
        return self

    @property
    def image_size(self) -> tuple[int, int] | None:
        """Height and width of training images in pixels; None if the params do not fix it."""
        rooms = self.data.rooms
        rendered = (rooms.height, rooms.width) if rooms else None
        return self.train.augmentation.size or rendered

    @property
    def uses_text_pair(self) -> bool:
        """Whether a method uses the image-text encoder that stands in for CLIP."""
        return any(needs_text_pair(method) for method in self.methods.values())
