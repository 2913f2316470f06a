"""Methods in params: the DejaVu loss with its extensions, shared attention, and the controls."""

from typing import Literal

from pydantic import Field, model_validator

from dejavu.config.base import Count, Gamma, Section, Weight
from dejavu.config.redactions import RedactionParams


class CRMParams(Section):
    """The conditional regeneration module's size."""

    width: Count = Field(16, description="channels of its hidden layers")
    depth: int = Field(3, ge=2, description="number of 3 x 3 convolutions")
    stride: int = Field(2, ge=1, description="space-to-depth factor of its input")
    normalisation: Literal["none", "group"] = Field("none", description="after each convolution")
    passes: Count = Field(1, description="times that the regenerated image is fed back, plus one")


class CyclicParams(Section):
    """DejaVu-CL: the network predicts again, from the regenerated image, and is held to that.

    Its second prediction is compared with the ``ground_truth``, by the task's loss, or with its
    first ``prediction``, detached, by the mean squared error of the two as conditions.
    """

    gamma: Gamma = Field(
        description="weight of the cyclic loss beside the task loss: a number, or one by task"
    )
    reference: Literal["ground_truth", "prediction"] = Field(
        "ground_truth", description="what the second prediction is held to"
    )
    gradient: Literal["image", "network", "both"] = Field(
        "both", description="the path back: through the regenerated image, the network, or both"
    )


class TextParams(Section):
    """DejaVu-TS: the regenerated image is held to its caption, by a frozen image-text encoder.

    ``stand_in`` is the small pair that the study trains on the generator's captions (`text_pair`),
    ``untrained`` is the same before training, its control, and ``clip`` a CLIP model of open_clip
    whose weights are on disk.
    """

    gamma: Gamma = Field(
        description="weight of the text loss beside the task loss: a number, or one by task"
    )
    encoder: Literal["stand_in", "untrained", "clip"] = Field(
        "stand_in", description="the frozen image-text encoder"
    )
    clip_model: str = Field(
        "ViT-B-32-quickgelu",
        description="open_clip's name of the model (clip only); OpenAI's weights need -quickgelu",
    )
    clip_weights: str | None = Field(None, description="file of its weights (clip only)")

    @model_validator(mode="after")
    def _weights_are_named(self) -> "TextParams":
        if self.encoder == "clip" and self.clip_weights is None:
            raise ValueError("clip_weights: encoder 'clip' needs the file of the model's weights")
        return self


class DejaVuParams(Section):
    """The DejaVu loss: redaction, regeneration and weight.

    The condition is the network's own prediction (``live``), the same without gradient
    (``detached``), the ``ground_truth``, or ``zeros``: all but the first leave the network
    exactly as the baseline has it, probe the regeneration, and prove the pairing (not with shared
    attention or a cyclic loss, by which a gradient still reaches it). The controls
    are another image's prediction (``deranged``: the gradient goes to the donor) and a 1 x 1
    projection of the network's dense ``features`` to as many channels.
    """

    redaction: RedactionParams = Field(description="what the image loses")
    gamma: Gamma = Field(
        description="weight of the DejaVu loss beside the task loss: a number, or one by task"
    )
    condition: Literal["live", "detached", "ground_truth", "zeros", "deranged", "features"] = Field(
        "live", description="what the CRM is conditioned on"
    )
    region: Literal["removed", "all"] | None = Field(
        None, description="pixels compared; null: removed ones (spatial) or all (spectral)"
    )
    distance: dict[Literal["mse", "l1", "ssim", "lpips"], Weight] = Field(
        {"mse": 1.0}, min_length=1, description="terms of L_DV and their weights"
    )
    crm: CRMParams = Field(default_factory=CRMParams)
    cyclic: CyclicParams | None = Field(None, description="DejaVu-CL, or none")
    text: TextParams | None = Field(None, description="DejaVu-TS, or none")


class AttentionParams(Section):
    """DejaVu-SA: attention in the network whose map is shared by refinement and regeneration.

    It stays at inference. With ``dejavu``, it regenerates in the CRM's place, from its own
    redaction; without, it refines alone, which is the reference for its cost.
    """

    redaction: RedactionParams = Field(description="what its image loses, in training and after")
    width: Count = Field(32, description="channels of queries, keys and values")
    heads: Count = Field(2, description="attention heads; divides the width")
    cell: Count = Field(4, description="side in pixels of the cells that are its tokens")

    @model_validator(mode="after")
    def _divisible(self) -> "AttentionParams":
        if self.width % 4 or self.width % self.heads:
            raise ValueError(f"width ({self.width}) must be a multiple of 4 and of heads")
        return self


class MethodParams(Section):
    """One column of the comparison; with nothing given it is the plain task loss."""

    dejavu: DejaVuParams | None = Field(None, description="the DejaVu loss, or none")
    attention: AttentionParams | None = Field(None, description="shared attention, or none")
    boundary_weight: float = Field(
        0.0, ge=0, description="control: extra weight of the task loss near the target's edges"
    )
    boundary_width: Count = Field(2, description="how near, in pixels (with boundary_weight)")
    erasing: float = Field(
        0.0, ge=0, le=1, description="control: chance that a random rectangle of an image is erased"
    )
    steps_factor: float = Field(
        1.0, gt=0, description="control: training steps as a multiple of train.steps"
    )

    @model_validator(mode="after")
    def _attention_sees_its_own_redaction(self) -> "MethodParams":
        if self.attention and self.dejavu:
            if self.dejavu.redaction != self.attention.redaction:
                raise ValueError(
                    "dejavu.redaction and attention.redaction must be the same: shared attention "
                    "regenerates from what it has seen"
                )
            if self.dejavu.condition == "features":
                raise ValueError(
                    "dejavu.condition: 'features' is a control of the CRM, which shared attention "
                    "replaces; choose another, or leave attention out"
                )
        return self
