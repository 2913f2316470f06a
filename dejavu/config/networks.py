"""Networks in params."""

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Literal

from pydantic import Field, model_validator

from dejavu.config.base import Count, Section
from dejavu.runtime.declarations import declarations

DEFAULT_WIDTH = 32


@dataclass(frozen=True)
class Architecture:
    """What the module of a network says of an architecture in its ``ARCHITECTURES``.

    Attributes:
        module: the module that builds it, below the package.
        encoder: how the name of an encoder that fits begins; None where there is none to choose.
        has_width: whether its width can be chosen.
        is_pooled: whether it normalises one value per image and channel over a batch, which must
            then have two images or more.
        stride: the coarsest stride of its features in pixels.
        tasks: the tasks that it can be trained for; None for all.
        has_dense_head: whether shared attention and the condition ``features`` can read its dense
            features.
    """

    module: str
    encoder: str | None = None
    has_width: bool = False
    is_pooled: bool = False
    stride: int = 16
    tasks: tuple[str, ...] | None = None
    has_dense_head: bool = True


@cache
def architectures() -> dict[str, Architecture]:
    """Return every architecture that a module of ``dejavu/networks`` declares, by name.

    Example:
        >>> architectures()["mask2former"].tasks
        ('segmentation',)
    """
    return {
        name: Architecture(f"networks.{module}", **facts)
        for module, declared in declarations("networks", "ARCHITECTURES").items()
        for name, facts in declared.items()
    }


if TYPE_CHECKING:
    ArchitectureName = str
else:
    ArchitectureName = Literal[tuple(architectures())]


class NetworkParams(Section):
    """A network by name, its size or its encoder, and the weights that it starts from."""

    architecture: ArchitectureName = Field(
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
        if not self.facts.has_width and self.width != DEFAULT_WIDTH:
            raise ValueError(f"width: {self.architecture} has a width of its own; leave it out")
        prefix = self.facts.encoder
        if prefix is None:
            others = [name for name, facts in architectures().items() if facts.encoder is not None]
            for key in ("encoder", "pretrained"):
                if getattr(self, key):
                    raise ValueError(
                        f"{key}: {self.architecture} has no encoder to choose; leave it out, or "
                        f"take one of {', '.join(others)}"
                    )
        elif not self.encoder or not self.encoder.startswith(prefix):
            given = f"{self.encoder!r} does not fit" if self.encoder else "missing, but needed by"
            wanted = f"one of timm, {prefix}..." if prefix else "such as resnet50 or mit_b2"
            raise ValueError(f"encoder: {given} {self.architecture}; give {wanted}")
        return self

    @property
    def facts(self) -> Architecture:
        """What the architecture can do and needs, and the module that builds it.

        Example:
            >>> NetworkParams(architecture="segformer", encoder="mit_b0").facts.module
            'networks.encoder_decoder'
        """
        return architectures()[self.architecture]
