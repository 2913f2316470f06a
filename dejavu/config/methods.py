"""Method params: the DejaVu loss with its extensions, shared attention, and the controls."""

from typing import Literal

from pydantic import Field, model_validator

from dejavu.config.base import Count, Section, Weight
from dejavu.config.redactions import RedactionParams
from dejavu.config.tasks import Gamma


class CRMParams(Section):
    """Size of the conditional regeneration module (CRM)."""

    width: Count = Field(16, description="channels of the hidden layers")
    depth: int = Field(3, ge=2, description="number of 3 x 3 convolutions")
    stride: int = Field(2, ge=1, description="patch size in pixels (1: full resolution)")
    normalisation: Literal["none", "group"] = Field(
        "none", description="normalisation of the hidden layers"
    )
    passes: Count = Field(
        1, description="number of passes; each after the first starts from the last output"
    )

    @property
    def receptive_field(self) -> int:
        """Side in pixels of the square of pixels that one output pixel depends on, as `CRM`'s.

        Example:
            >>> CRMParams().receptive_field
            18
        """
        dilations = 1 << (self.depth - 1)  # 1, 2, 4, ... and 1 again
        return self.stride * (1 + 2 * self.passes * dilations)


class CyclicParams(Section):
    """DejaVu-CL: a loss on the network's second prediction, from the regenerated image.

    The second prediction is compared with the ``ground_truth``, by the task loss, or with the
    detached first ``prediction``, by the mean squared error of the two conditions.
    """

    gamma: Gamma = Field(description="weight of the cyclic loss: a number, or one per task")
    reference: Literal["ground_truth", "prediction"] = Field(
        "ground_truth", description="reference of the second prediction"
    )
    gradient: Literal["image", "network", "both"] = Field(
        "both", description="path of the gradient: the regenerated image, the network, or both"
    )


class TextParams(Section):
    """DejaVu-TS: distance of regenerated image and caption in a frozen image-text encoder.

    ``stand_in`` is the small encoder that the study trains on the captions of the rooms
    (`text_pair`); ``untrained`` is its control, the same encoder before training; ``clip`` is an
    open_clip model with weights on disk.
    """

    gamma: Gamma = Field(description="weight of the text loss: a number, or one per task")
    encoder: Literal["stand_in", "untrained", "clip"] = Field(
        "stand_in", description="the frozen image-text encoder"
    )
    clip_model: str = Field(
        "ViT-B-32-quickgelu",
        description="open_clip model name (clip only); OpenAI's weights need a -quickgelu name",
    )
    clip_weights: str | None = Field(None, description="path of its weights (clip only)")

    @model_validator(mode="after")
    def _weights_are_named(self) -> "TextParams":
        if self.encoder == "clip" and self.clip_weights is None:
            raise ValueError("clip_weights: encoder 'clip' needs the file of the model's weights")
        return self


class DejaVuParams(Section):
    """The DejaVu loss: redaction, regeneration and weight.

    The condition is the network's prediction (``live``), the same without gradient
    (``detached``), the ``ground_truth`` or ``zeros``. All but ``live`` train exactly the
    baseline's network, so they probe the regeneration and verify the pairing of runs (except
    with shared attention or a cyclic loss, which still pass a gradient to the network). Two
    conditions are controls: another image's prediction (``deranged``, with the gradient to that
    image) and a 1 x 1 projection of the network's dense ``features`` to as many channels.
    """

    redaction: RedactionParams = Field(description="redaction of the image")
    gamma: Gamma = Field(description="weight of the DejaVu loss: a number, or one per task")
    condition: Literal["live", "detached", "ground_truth", "zeros", "deranged", "features"] = Field(
        "live", description="condition of the CRM"
    )
    region: Literal["removed", "all"] | None = Field(
        None, description="pixels compared; null: removed ones (spatial) or all (spectral)"
    )
    distance: dict[Literal["mse", "l1", "ssim", "lpips"], Weight] = Field(
        {"mse": 1.0}, min_length=1, description="terms of L_DV and their weights"
    )
    crm: CRMParams = Field(default_factory=CRMParams)
    cyclic: CyclicParams | None = Field(None, description="DejaVu-CL; null: off")
    text: TextParams | None = Field(None, description="DejaVu-TS; null: off")


class AttentionParams(Section):
    """DejaVu-SA: attention in the network whose map is shared by refinement and regeneration.

    It is kept at inference. With ``dejavu``, it replaces the CRM and regenerates from its own
    redaction; without, it only refines, as the reference for its cost.
    """

    redaction: RedactionParams = Field(
        description="redaction of its image, in training and at inference"
    )
    width: Count = Field(32, description="channels of queries, keys and values")
    heads: Count = Field(2, description="number of attention heads; must divide the width")
    cell: Count = Field(4, description="patch size of a token in pixels")

    @model_validator(mode="after")
    def _divisible(self) -> "AttentionParams":
        if self.width % 4 or self.width % self.heads:
            raise ValueError(f"width ({self.width}) must be a multiple of 4 and of heads")
        return self


class MethodParams(Section):
    """One method of the comparison; by default, the task loss alone."""

    dejavu: DejaVuParams | None = Field(None, description="the DejaVu loss; null: off")
    attention: AttentionParams | None = Field(None, description="shared attention; null: off")
    boundary_weight: float = Field(
        0.0, ge=0, description="control: extra weight of the task loss near the target's edges"
    )
    boundary_width: Count = Field(
        2, description="largest distance to an edge in pixels (with boundary_weight)"
    )
    erasing: float = Field(
        0.0,
        ge=0,
        le=1,
        description="control: probability of erasing a random rectangle of an image",
    )
    steps_factor: float = Field(
        1.0,
        gt=0,
        le=1000,
        description="control: number of training steps as a multiple of train.steps",
    )

    @property
    def has_controls(self) -> bool:
        """Whether a control changes its training steps (`dejavu.training.controls`)."""
        return bool(self.boundary_weight or self.erasing)

    @model_validator(mode="after")
    def _attention_sees_its_own_redaction(self) -> "MethodParams":
        if self.attention and self.dejavu:
            if self.dejavu.redaction != self.attention.redaction:
                raise ValueError(
                    "dejavu.redaction and attention.redaction must be the same: shared attention "
                    "regenerates from its own redacted image"
                )
            if self.dejavu.condition == "features":
                raise ValueError(
                    "dejavu.condition: 'features' is a control of the CRM, which shared attention "
                    "replaces; choose another, or remove attention"
                )
        return self


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
