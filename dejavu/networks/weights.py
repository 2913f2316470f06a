"""ImageNet weights of encoders: from a local folder, or from the hub if there is internet."""

import os
import re
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from dejavu.networks.encoders import TIMM, model_library
from dejavu.runtime.errors import CheckpointError
from dejavu.runtime.loading import tensors_only

WEIGHTS_FOLDER = "DEJAVU_WEIGHTS"
"""Environment variable: a folder of files ENCODER.safetensors or ENCODER.pth."""


def load_imagenet_weights(encoder: nn.Module, name: str) -> None:
    """Load all of an encoder's ImageNet weights, or raise an error.

    They are read from ``ENCODER.safetensors`` or ``ENCODER.pth`` in the folder that the
    environment variable ``DEJAVU_WEIGHTS`` names, such as ``tu-hrnet_w48.safetensors``, with the
    keys as published by smp (resnet50, mit_b2) or timm (tu-NAME), the classifier included; from
    the hub if the folder has no such file.

    Args:
        encoder: a model of smp or timm; timm's may be built with ``features_only``.
        name: its name, as in params.

    Raises:
        CheckpointError: there are no weights, or they do not fit: the message names the file, the
            folder and the hub's repository, or some of the keys.
    """
    file = _local_file(name)
    try:
        with tensors_only():
            if name.startswith(TIMM):
                _load_timm(encoder, name.removeprefix(TIMM), file)
            else:
                _load_smp(encoder, name, file)
    except Exception as error:  # torch, timm and the hub share no error type
        reason = " ".join(str(error).split())[:400]
        raise CheckpointError(_explain(name, file, reason)) from None


def hub_repository(name: str) -> str | None:
    """Return the hub's repository of an encoder's ImageNet weights; None if it has none.

    Example:
        >>> hub_repository("resnet50"), hub_repository("tu-hrnet_w48")
        ('smp-hub/resnet50.imagenet', 'timm/hrnet_w48.ms_in1k')
    """
    if name.startswith(TIMM):
        settings = model_library("timm").get_pretrained_cfg(name.removeprefix(TIMM))
        return str(settings.hf_hub_id) if settings.hf_hub_id else None
    settings = _smp_settings(name)
    return settings["repo_id"] if settings else None


def _smp_settings(name: str) -> Mapping[str, str] | None:
    known = model_library("segmentation_models_pytorch").encoders.encoders
    settings: Mapping[str, str] | None = known[name]["pretrained_settings"].get("imagenet")
    return settings


def _local_file(name: str) -> Path | None:
    folder = os.environ.get(WEIGHTS_FOLDER)
    if not folder:
        return None
    if not Path(folder).is_dir():
        raise CheckpointError(f"{WEIGHTS_FOLDER}={folder}: no such folder; correct or unset it")
    files = [Path(folder) / f"{name}{suffix}" for suffix in (".safetensors", ".pth")]
    return next((file for file in files if file.is_file()), None)


def _load_smp(encoder: nn.Module, name: str, file: Path | None) -> None:
    if file is None:
        settings = _smp_settings(name)
        if settings is None:
            raise LookupError("smp publishes no ImageNet weights for it")
        hub = model_library("huggingface_hub")
        path = hub.hf_hub_download(
            settings["repo_id"], "model.safetensors", revision=settings["revision"]
        )
        file = Path(path)
    # smp's encoders drop the classifier, and reject any other missing or unexpected key.
    encoder.load_state_dict(_read(file))


def _load_timm(encoder: nn.Module, name: str, file: Path | None) -> None:
    overlay = {"file": str(file)} if file else {}
    # timm loads a whole model strictly, but may skip weights of a model without its classifier
    # silently: so load a whole model first. Its random weights must not shift later draws.
    with torch.random.fork_rng(devices=[]):
        whole = model_library("timm").create_model(
            name, pretrained=True, pretrained_cfg_overlay=overlay
        )
    given = {_flat(key): tensor for key, tensor in whole.state_dict().items()}
    wanted = encoder.state_dict()
    if missing := [key for key in wanted if _flat(key) not in given]:
        raise KeyError(f"missing: {', '.join(missing[:5])}")
    encoder.load_state_dict({key: given[_flat(key)] for key in wanted})


def _flat(key: str) -> str:
    """Undo the changes that timm's feature wrappers make to the name of a weight."""
    return re.sub(r"^(model\.)+", "", key).replace(".", "_")


def _read(file: Path) -> dict[str, Tensor]:
    if file.suffix == ".safetensors":
        return load_file(file)
    weights: dict[str, Tensor] = torch.load(file, map_location="cpu", weights_only=True)
    return weights


def _explain(name: str, file: Path | None, reason: str) -> str:
    repository = hub_repository(name)
    if file is not None:
        source = f"model.safetensors of {repository}" if repository else "a whole file"
        return (
            f"{file}: not the ImageNet weights of encoder {name!r} ({reason}); put {source} there, "
            "as it is published"
        )
    folder = os.environ.get(WEIGHTS_FOLDER)
    place = f"in {folder}" if folder else f"({WEIGHTS_FOLDER} is not set)"
    if repository is None:
        return (
            f"encoder {name!r}: no {name}.safetensors or .pth {place}, and no weights are "
            "published; choose another encoder, or leave pretrained out"
        )
    return (
        f"encoder {name!r}: no {name}.safetensors or .pth {place}, and its ImageNet weights cannot "
        f"be fetched from the hub ({reason}); with internet access, fetch model.safetensors of "
        f"{repository}, save it as {name}.safetensors in a folder, and set {WEIGHTS_FOLDER} to it"
    )
