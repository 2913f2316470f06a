"""Params of a whole study, with the sections for gap, text pair, cost and report."""

from typing import Annotated

from pydantic import Field, model_validator

from dejavu.config.base import Count, Fraction, Label, Section
from dejavu.config.data import DataParams
from dejavu.config.evaluation import EvaluationParams
from dejavu.config.methods import MethodParams
from dejavu.config.networks import NetworkParams
from dejavu.config.redactions import RedactionParams
from dejavu.config.tasks import Gamma, TaskName, TaskSections
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
        for field in ("tasks", "seeds"):
            values = getattr(self, field)
            if len(set(values)) < len(values):
                raise ValueError(f"{field}: {values} has duplicates; remove them")
        if self.report.reference not in self.methods:
            raise ValueError(
                f"report.reference: {self.report.reference!r} is not a method; choose "
                f"one of {', '.join(self.methods)}"
            )
        for label, method in self.methods.items():
            self._check_method(f"methods.{label}", method)
        for label, network in self.networks.items():
            self._check_network(f"networks.{label}", network)
        for index, candidate in enumerate(self.gap.candidates):
            self._check_redaction(f"gap.candidates.{index}", candidate)
        self._check_data()
        self._check_counts()
        return self

    def _check_method(self, where: str, method: MethodParams) -> None:
        for key, gamma in gammas(method):
            missing = set(self.tasks) - set(gamma)
            if missing:
                raise ValueError(
                    f"{where}.{key}.gamma: no weight for {', '.join(sorted(missing))}; "
                    "give one for each task"
                )
        for key, part in (("dejavu", method.dejavu), ("attention", method.attention)):
            if part:
                self._check_redaction(f"{where}.{key}.redaction", part.redaction)
        if method.dejavu and method.dejavu.text and not self.data.is_rooms:
            raise ValueError(f"{where}.dejavu.text: {self.data.name} has no captions; leave it out")
        deranged = method.dejavu is not None and method.dejavu.condition == "deranged"
        if deranged and self.train.processes > 1:
            raise ValueError(
                f"{where}.dejavu.condition: 'deranged' takes another image's prediction from the "
                "whole batch; set train.processes to 1"
            )
        if deranged and self.train.batch_size < 2:
            raise ValueError(
                f"{where}.dejavu.condition: 'deranged' takes another image's prediction from the "
                "batch; raise train.batch_size to 2 or more"
            )

    def _check_redaction(self, where: str, redaction: RedactionParams) -> None:
        size, smallest = self.image_size, redaction.create().smallest_side
        if size and min(size) < smallest:
            raise ValueError(
                f"{where}: needs images of at least {smallest} x {smallest} pixels, but they are "
                f"{size[0]} x {size[1]}"
            )

    def _check_network(self, where: str, network: NetworkParams) -> None:
        missing = set(self.tasks) - set(network.facts.tasks or self.tasks)
        if missing:
            raise ValueError(
                f"{where}.architecture: {network.architecture} cannot be trained for "
                f"{', '.join(sorted(missing))}"
            )
        if network.facts.is_pooled and self.train.batch_size < 2:
            raise ValueError(
                f"{where}.architecture: {network.architecture} normalises pooled features over the "
                "batch; raise train.batch_size to 2 or more"
            )
        if network.facts.has_dense_head:
            return
        for label, method in self.methods.items():
            features = method.dejavu is not None and method.dejavu.condition == "features"
            if features or method.attention:
                raise ValueError(
                    f"methods.{label}: needs a network with dense features, which "
                    f"{network.architecture} ({where}) does not have; remove one of the two"
                )

    def _check_data(self) -> None:
        offered = self.data.tasks
        missing = [task for task in self.tasks if offered is not None and task not in offered]
        if missing:
            raise ValueError(
                f"tasks: {self.data.name} ({self.data.variant_name}) has no ground truth for "
                f"{', '.join(missing)}; it has: {', '.join(offered or ())}"
            )
        varied = self.train.augmentation.scale or not self.data.is_rooms
        if varied and not self.train.augmentation.crop:
            raise ValueError(
                "train.augmentation.crop: is required with train.augmentation.scale or a data set "
                "on disk: all images of a batch must have the same size"
            )

    def _check_counts(self) -> None:
        if not self.data.rooms:  # a data set on disk is counted when it is checked
            return
        pool = self.data.rooms.train
        if problem := self.train.too_many(pool):
            raise ValueError(problem)
        if self.uses_text_pair and self.text_pair.batch_size > pool:
            raise ValueError(
                f"text_pair.batch_size: {self.text_pair.batch_size} is larger than the pool of "
                f"data.rooms.train = {pool}"
            )

    @property
    def image_size(self) -> tuple[int, int] | None:
        """Height and width of training images in pixels; None if the params do not fix it."""
        rooms = self.data.rooms
        rendered = (rooms.height, rooms.width) if rooms else None
        return self.train.augmentation.crop or rendered

    @property
    def uses_text_pair(self) -> bool:
        """Whether a method uses the image-text encoder that stands in for CLIP."""
        return any(needs_text_pair(method) for method in self.methods.values())


def needs_text_pair(method: MethodParams) -> bool:
    """Tell whether a method uses the stand-in text encoder, trained or untrained."""
    text = method.dejavu.text if method.dejavu else None
    return text is not None and text.encoder != "clip"


def gammas(method: MethodParams) -> list[tuple[str, Gamma]]:
    """List a method's loss weights by task, each with the key of its loss."""
    if method.dejavu is None:
        return []
    sections = (
        ("dejavu", method.dejavu),
        ("dejavu.cyclic", method.dejavu.cyclic),
        ("dejavu.text", method.dejavu.text),
    )
    return [(key, section.gamma) for key, section in sections if section]
