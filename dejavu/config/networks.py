"""Networks in params."""

from typing import Literal

from pydantic import Field, model_validator

from dejavu.config.base import Count, Section

DEFAULT_WIDTH = 32

ENCODER_FAMILIES = {
    "deeplabv3plus": "",
    "upernet": "",
    "segformer": "",
    "fpn": "",
    "dpt": "tu-",
    "hrnet": "tu-hrnet",
    "mask2former": "tu-",
}
"""Architectures that are built around an encoder, and how the name of one that fits begins."""


POOLED = ("deeplabv3plus", "upernet")
"""Architectures that normalise one value per image and channel over a batch: it cannot be one."""


class NetworkParams(Section):
    """A network by name, its size or its encoder, and the weights that it starts from."""

    architecture: Literal[
        "feature_pyramid",
        "fcn_resnet50",
        "fcn_resnet101",
        "deeplabv3_resnet50",
        "deeplabv3_resnet101",
        "deeplabv3_mobilenet_v3_large",
        "lraspp_mobilenet_v3_large",
        "deeplabv3plus",
        "upernet",
        "segformer",
        "dpt",
        "fpn",
        "hrnet",
        "mask2former",
    ] = Field(
        "feature_pyramid",
        description="our small network, one of torchvision's, or one around an encoder",
    )
    width: Count = Field(DEFAULT_WIDTH, description="channels at stride 2 (feature_pyramid only)")
    encoder: str | None = Field(
        None,
        description="of segmentation_models_pytorch (resnet50), or tu-NAME of timm; see docs",
    )
    pretrained: bool = Field(
        False, description="start from the encoder's ImageNet weights (with encoder)"
    )

    @model_validator(mode="after")
    def _consistent(self) -> "NetworkParams":
        if self.architecture != "feature_pyramid" and self.width != DEFAULT_WIDTH:
            raise ValueError(f"width: {self.architecture} has a width of its own; leave it out")
        if self.architecture not in ENCODER_FAMILIES:
            for key in ("encoder", "pretrained"):
                if getattr(self, key):
                    raise ValueError(
                        f"{key}: {self.architecture} has no encoder to choose; leave it out, or "
                        f"take one of {', '.join(ENCODER_FAMILIES)}"
                    )
            return self
        prefix = ENCODER_FAMILIES[self.architecture]
        if not self.encoder or not self.encoder.startswith(prefix):
            given = f"{self.encoder!r} does not fit" if self.encoder else "missing, but needed by"
            wanted = f"one of timm, {prefix}..." if prefix else "such as resnet50 or mit_b2"
            raise ValueError(f"encoder: {given} {self.architecture}; give {wanted}")
        return self

    @property
    def tasks(self) -> tuple[str, ...] | None:
        """The tasks that the network can be trained for; None for all.

        Example:
            >>> NetworkParams(architecture="mask2former", encoder="tu-resnet50").tasks
            ('segmentation',)
        """
        return ("segmentation",) if self.architecture == "mask2former" else None

    @property
    def has_dense_head(self) -> bool:
        """Whether shared attention and the condition ``features`` can read its dense features.

        Example:
            >>> NetworkParams(architecture="segformer", encoder="mit_b0").has_dense_head
            True
        """
        return self.architecture != "mask2former"
