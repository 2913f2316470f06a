"""The typed params: the one source of defaults, validation, JSON schema and reference.

A study file is complete: it is read as it stands and never merged over another. Nothing here
imports torch, so that planning a workflow stays quick.
"""

import difflib
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from dejavu.errors import ParamsError

TaskName = Literal["segmentation", "depth", "normals"]
Label = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]*$")]
Fraction = Annotated[float, Field(gt=0, lt=1)]
Frequency = Annotated[float, Field(gt=0, le=0.7071)]
Count = Annotated[int, Field(ge=1)]


class Section(BaseModel):
    """A part of the params: frozen, and unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _known_keys(cls, tree: Any) -> Any:
        """Refuse an unknown key by naming the nearest valid one (pydantic names none)."""
        for key in tree if isinstance(tree, dict) else ():
            if key not in cls.model_fields:
                near = difflib.get_close_matches(str(key), cls.model_fields, n=1)
                valid = f"valid keys: {', '.join(cls.model_fields)}"
                raise ValueError(
                    f"unknown key {key!r}; " + (f"did you mean {near[0]!r}?" if near else valid)
                )
        return tree


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


class CheckerboardParams(Section):
    """Every other block is removed; the phase is random."""

    name: Literal["checkerboard"]
    block: Count = Field(description="side of a block in pixels")


class RandomBlocksParams(Section):
    """A random fraction of the blocks of a grid is kept."""

    name: Literal["random_blocks"]
    block: Count = Field(description="side of a block in pixels")
    keep: Fraction = Field(description="fraction of the blocks that is kept")


class SparsePixelsParams(Section):
    """A random fraction of the pixels is kept."""

    name: Literal["sparse_pixels"]
    keep: Fraction = Field(description="fraction of the pixels that is kept")


class LowPassParams(Section):
    """Frequencies up to the cutoff are kept."""

    name: Literal["low_pass"]
    cutoff: Frequency = Field(description="radial frequency in cycles per pixel")


class HighPassParams(Section):
    """Frequencies above the cutoff are kept."""

    name: Literal["high_pass"]
    cutoff: Frequency = Field(description="radial frequency in cycles per pixel")


class BandStopParams(Section):
    """Frequencies between two cutoffs are removed."""

    name: Literal["band_stop"]
    low: Frequency = Field(description="lower cutoff in cycles per pixel")
    high: Frequency = Field(description="upper cutoff in cycles per pixel")

    @model_validator(mode="after")
    def _ordered(self) -> "BandStopParams":
        if self.low >= self.high:
            raise ValueError(f"low ({self.low}) must be below high ({self.high})")
        return self


class IdentityParams(Section):
    """Nothing is removed (a control)."""

    name: Literal["identity"]


class BlankParams(Section):
    """Everything is removed (a control)."""

    name: Literal["blank"]


RedactionParams = Annotated[
    CheckerboardParams
    | RandomBlocksParams
    | SparsePixelsParams
    | LowPassParams
    | HighPassParams
    | BandStopParams
    | IdentityParams
    | BlankParams,
    Field(discriminator="name"),
]


class CRMParams(Section):
    """The conditional regeneration module's size."""

    width: Count = Field(16, description="channels of its hidden layers")
    depth: int = Field(3, ge=2, description="number of 3 x 3 convolutions")
    stride: int = Field(2, ge=1, description="space-to-depth factor of its input")


class DejaVuParams(Section):
    """The DejaVu loss: redaction, regeneration and weight.

    The condition is the network's own prediction (``live``), the same without gradient
    (``detached``), the ``ground_truth``, or ``zeros``. All but the first leave the network
    exactly as the baseline has it: they probe the regeneration, and they prove the pairing.
    """

    redaction: RedactionParams = Field(description="what the image loses")
    gamma: dict[TaskName, Annotated[float, Field(gt=0)]] = Field(
        description="weight of the DejaVu loss beside the task loss, by task"
    )
    condition: Literal["live", "detached", "ground_truth", "zeros"] = Field(
        "live", description="what the CRM is conditioned on"
    )
    region: Literal["removed", "all"] | None = Field(
        None, description="pixels compared; null: removed ones (spatial) or all (spectral)"
    )
    crm: CRMParams = Field(default_factory=CRMParams)


class MethodParams(Section):
    """One column of the comparison; without ``dejavu`` it is the plain task loss."""

    dejavu: DejaVuParams | None = Field(None, description="the DejaVu loss, or none")


class TrainParams(Section):
    """Training, the same for every method of a study."""

    steps: Count = Field(300, description="optimiser steps")
    batch_size: Count = Field(16, description="images per step")
    subset: Count = Field(128, description="scenes that each seed draws from the training pool")
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
            missing = set(self.tasks) - set(method.dejavu.gamma) if method.dejavu else set()
            if missing:
                raise ValueError(
                    f"methods.{label}.dejavu.gamma: no weight for {', '.join(sorted(missing))}; "
                    "give one for each task"
                )
        side = min(self.data.rooms.height, self.data.rooms.width)
        for label, method in self.methods.items():
            block = getattr(method.dejavu.redaction, "block", 0) if method.dejavu else 0
            if block >= side:
                raise ValueError(
                    f"methods.{label}.dejavu.redaction.block: {block} does not fit an image whose "
                    f"smaller side is {side}"
                )
        if self.train.subset > self.data.rooms.train:
            raise ValueError(
                f"train.subset: {self.train.subset} scenes cannot be drawn from a pool of "
                f"data.rooms.train = {self.data.rooms.train}"
            )
        if self.train.batch_size > self.train.subset:
            raise ValueError(
                f"train.batch_size: {self.train.batch_size} is larger than "
                f"train.subset = {self.train.subset}"
            )
        return self


class _UniqueKeyLoader(yaml.SafeLoader):
    """YAML in which a key given twice is an error, not the last one silently."""


def _unique_mapping(loader: _UniqueKeyLoader, node: yaml.MappingNode) -> dict[Any, Any]:
    keys = [loader.construct_object(key) for key, _ in node.value]
    for index, key in enumerate(keys):
        if key in keys[:index]:
            raise yaml.constructor.ConstructorError(
                None, None, f"key {key!r} is given twice", node.value[index][0].start_mark
            )
    loader.flatten_mapping(node)
    return loader.construct_mapping(node, deep=True)


_UniqueKeyLoader.add_constructor("tag:yaml.org,2002:map", _unique_mapping)


def load_params(path: Path) -> Params:
    """Read a study file.

    Raises:
        ParamsError: the file is missing, is not YAML, or holds an unknown key or an impossible
            value; the message names the file, the key and the fix.
    """
    try:
        tree = yaml.load(path.read_text(encoding="utf-8"), Loader=_UniqueKeyLoader)
    except FileNotFoundError:
        known = ", ".join(sorted(str(p) for p in path.parent.glob("*.yaml"))) or "none"
        raise ParamsError(f"{path}: no such params file; in that folder: {known}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ParamsError(f"{path}: cannot be read: {error}") from None
    except yaml.YAMLError as error:
        raise ParamsError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from None
    return parse_params(tree, str(path))


def parse_params(tree: Any, source: str) -> Params:
    """Validate an untyped tree read from ``source``, which error messages name."""
    if not isinstance(tree, dict):
        raise ParamsError(f"{source}: must be a mapping of keys, not {type(tree).__name__}")
    try:
        return Params.model_validate(tree)
    except ValidationError as error:
        lines = [_explain(dict(item), tree) for item in error.errors()]
        raise ParamsError("\n".join(f"{source}: {line}" for line in lines)) from None


def _explain(item: dict[str, Any], tree: dict[str, Any]) -> str:
    """Turn one pydantic error into a line that names the key and the fix."""
    key = ".".join(_keys_in_tree(item["loc"], tree))
    if item["type"] == "value_error":
        message = item["msg"].removeprefix("Value error, ")
    elif item["type"] == "missing":
        message = "is missing; add it"
    elif item["type"].startswith("union_tag"):
        key = f"{key}.name"
        message = f"{item['input']!r} holds none of the names {item['ctx']['expected_tags']}"
    else:
        message = f"{item['msg'][0].lower()}{item['msg'][1:]}, not {item['input']!r}"
    return f"{key}: {message}" if key else message


def _keys_in_tree(location: tuple[int | str, ...], tree: Any) -> list[str]:
    """Drop the parts of a pydantic location that name a union's branch, not a key."""
    keys: list[str] = []
    for index, part in enumerate(location):
        if isinstance(tree, dict) and part not in tree and part == tree.get("name"):
            continue
        tree = tree[part] if index < len(location) - 1 else None
        keys.append(str(part))
    return keys
