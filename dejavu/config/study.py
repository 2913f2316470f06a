"""A study in params: data, networks, training, evaluation, reporting, and the whole of them."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from dejavu.config.base import Count, Fraction, Gamma, Label, Section, TaskName
from dejavu.config.methods import MethodParams
from dejavu.config.redactions import RedactionParams, largest_block


class RoomsParams(Section):
    """Procedural rooms: what is rendered and how many scenes each split holds."""

    height: int = Field(64, ge=64, le=512, description="image height in pixels")
    width: int = Field(64, ge=64, le=512, description="image width in pixels")
    coupling: float = Field(
        0.7, ge=0, le=1, description="how strongly materials depend on the class (0: not at all)"
    )
    noise: float = Field(
        0.02, ge=0, le=0.5, description="standard deviation of sensor noise, in units of white"
    )
    varied_intrinsics: bool = Field(
        False, description="draw the focal length per scene instead of one camera for all"
    )
    seed: int = Field(0, ge=0, description="seed of all scenes")
    train: Count = Field(512, description="scenes in the training pool")
    val: Count = Field(128, description="scenes for choosing anything")
    test: Count = Field(256, description="scenes read once, by the evaluation")


class DataParams(Section):
    """Which data set, and how it is made."""

    name: Literal["rooms"] = Field("rooms", description="data set")
    rooms: RoomsParams = Field(default_factory=RoomsParams)


class NetworkParams(Section):
    """A network by name, and its size."""

    architecture: Literal[
        "feature_pyramid",
        "fcn_resnet50",
        "fcn_resnet101",
        "deeplabv3_resnet50",
        "deeplabv3_resnet101",
        "deeplabv3_mobilenet_v3_large",
        "lraspp_mobilenet_v3_large",
    ] = Field("feature_pyramid", description="our small network, or one of torchvision's")
    width: Count = Field(32, description="channels at stride 2 (feature_pyramid only)")


class TrainParams(Section):
    """Training, the same for every method of a study."""

    steps: Count = Field(300, description="optimiser steps")
    batch_size: Count = Field(16, description="images per step")
    subset: Count = Field(128, description="scenes that each seed draws from the training pool")
    labelled: Count | None = Field(
        None, description="scenes of the subset whose labels are used; null: all of them"
    )
    label_density: float = Field(
        1.0, gt=0, le=1, description="fraction of a labelled scene's pixels whose labels are used"
    )
    flip: bool = Field(True, description="mirror half of the images left to right")
    schedule: Literal["one_cycle", "poly"] = Field("one_cycle", description="learning rate by step")
    learning_rate: float = Field(0.003, gt=0, description="peak learning rate of AdamW")
    weight_decay: float = Field(0.01, ge=0, description="decoupled weight decay of AdamW")
    clip_norm: float = Field(
        1.0, gt=0, description="largest gradient norm; base network and CRM are clipped apart"
    )
    threads: Count = Field(1, description="CPU threads; sums depend on it, so it is part of a run")
    log_every: Count = Field(10, description="steps between lines of the training log")
    checkpoint_every: Count = Field(
        100, description="steps between resume states; does not change the result"
    )


class EvaluationParams(Section):
    """What is scored and how; it is saved in every metrics file."""

    split: Literal["val", "test"] = Field(
        "test", description="val while anything is being chosen; test for frozen params"
    )
    batch_size: Count = Field(32, description="images per forward pass")
    boundary_ratio: Fraction = Field(
        0.02, description="boundary IoU band, as a fraction of the image diagonal"
    )
    boundary_tolerance: Count = Field(1, description="boundary F tolerance in pixels")
    trimap_widths: list[Count] = Field(
        [1, 2, 4, 8, 16], description="trimap half-widths in pixels", min_length=1
    )
    edge_width: Count = Field(2, description="half-width of depth and normal edge bands in pixels")
    min_depth: float = Field(1e-3, gt=0, description="nearest depth scored, metres")
    max_depth: float = Field(20.0, gt=0, description="farthest depth scored, metres")

    @model_validator(mode="after")
    def _ordered(self) -> "EvaluationParams":
        if self.min_depth >= self.max_depth:
            raise ValueError(
                f"min_depth ({self.min_depth}) must be below max_depth ({self.max_depth})"
            )
        return self


class GapParams(Section):
    """Short runs of the CRM alone that measure a redaction's oracle gap on val."""

    steps: Count = Field(200, description="CRM training steps per redaction and condition")
    candidates: list[RedactionParams] = Field(
        default_factory=list, description="redactions compared beside the methods' own"
    )


class TextPairParams(Section):
    """The image-text pair that stands in for CLIP on rooms; trained only if a method asks."""

    steps: Count = Field(300, description="optimiser steps")
    batch_size: int = Field(64, ge=2, description="image-caption pairs per step")
    width: Count = Field(16, description="channels of the image encoder's first layer")
    dimension: Count = Field(64, description="length of the embeddings")
    learning_rate: float = Field(0.003, gt=0, description="learning rate of AdamW")
    seed: int = Field(0, ge=0, description="seed of its weights and batches")


class CostParams(Section):
    """The interleaved benchmark behind the cost table."""

    rounds: Count = Field(20, description="rounds in which every method takes one training step")


class ReportParams(Section):
    """Tables, figures and report."""

    reference: Label = Field("baseline", description="method that differences are taken against")
    confidence: Fraction = Field(0.95, description="level of the Student-t intervals")
    scenes: Count = Field(3, description="scenes on each qualitative sheet")


class Params(Section):
    """A study: tasks x networks x methods x seeds on one data set."""

    study: Label = Field(description="name of the study, and of its folders in data/ and results/")
    tasks: list[TaskName] = Field(description="dense-prediction tasks", min_length=1)
    networks: dict[Label, NetworkParams] = Field(description="networks by label", min_length=1)
    methods: dict[Label, MethodParams] = Field(description="methods by label", min_length=1)
    seeds: list[Annotated[int, Field(ge=0)]] = Field(
        description="one paired run of every method per seed", min_length=1
    )
    data: DataParams = Field(default_factory=DataParams)
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
                raise ValueError(f"{field}: {values} names one twice; remove the repetition")
        if self.report.reference not in self.methods:
            raise ValueError(
                f"report.reference: {self.report.reference!r} is none of the methods "
                f"({', '.join(self.methods)})"
            )
        for label, method in self.methods.items():
            self._check_method(f"methods.{label}", method)
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
        side = min(self.data.rooms.height, self.data.rooms.width)
        block = largest_block(method.dejavu.redaction) if method.dejavu else 0
        if block >= side:
            raise ValueError(
                f"{where}.dejavu.redaction.block: {block} does not fit an image whose "
                f"smaller side is {side}"
            )
        deranged = method.dejavu is not None and method.dejavu.condition == "deranged"
        if deranged and self.train.batch_size < 2:
            raise ValueError(
                f"{where}.dejavu.condition: 'deranged' takes another image's prediction from the "
                "batch; raise train.batch_size to 2 or more"
            )

    def _check_counts(self) -> None:
        subset = self.train.subset
        if subset > self.data.rooms.train:
            raise ValueError(
                f"train.subset: {subset} scenes cannot be drawn from a pool of "
                f"data.rooms.train = {self.data.rooms.train}"
            )
        if self.train.batch_size > subset:
            raise ValueError(
                f"train.batch_size: {self.train.batch_size} is larger than train.subset = {subset}"
            )
        if self.train.labelled is not None and self.train.labelled > subset:
            raise ValueError(
                f"train.labelled: {self.train.labelled} is more than train.subset = {subset}"
            )
        if self.uses_text_pair and self.text_pair.batch_size > self.data.rooms.train:
            raise ValueError(
                f"text_pair.batch_size: {self.text_pair.batch_size} is larger than the pool of "
                f"data.rooms.train = {self.data.rooms.train}"
            )

    @property
    def uses_text_pair(self) -> bool:
        """Whether a method needs the image-text pair that stands in for CLIP."""
        return any(needs_text_pair(method) for method in self.methods.values())


def needs_text_pair(method: MethodParams) -> bool:
    """Tell whether a method is supervised by the stand-in pair, trained or not."""
    text = method.dejavu.text if method.dejavu else None
    return text is not None and text.encoder != "clip"


def gammas(method: MethodParams) -> list[tuple[str, Gamma]]:
    """List the weights by task of a method, each with the key of the loss that it weighs."""
    if method.dejavu is None:
        return []
    sections = (
        ("dejavu", method.dejavu),
        ("dejavu.cyclic", method.dejavu.cyclic),
        ("dejavu.text", method.dejavu.text),
    )
    return [(key, section.gamma) for key, section in sections if section]
