"""Checkpoints: the weights of a finished run, with their provenance.

One safetensors file holds the base network under its plain state-dict names and, for a run with
the DejaVu loss, the regeneration module under the prefix ``criterion.``. Deployment reads the
plain names alone.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from dejavu.runtime.errors import CheckpointError
from dejavu.runtime.files import whole_file
from dejavu.runtime.strict_json import from_json, to_json
from dejavu.tasks.base import Task
from dejavu.training.build import build_network, build_task

if TYPE_CHECKING:
    from dejavu.method.loss import RegenerationLoss

_CRITERION = "criterion."
_METADATA = "dejavu"


@dataclass(frozen=True)
class Provenance:
    """The origin of a run's weights, stored with them.

    Attributes:
        run: hash of the run.
        identity: the fields that define the run (see `dejavu.study.run`).
        palette: one RGB colour (0 to 255) per class of the data.
        data: fingerprint of the training images and of the task's ground truth.
        weights: SHA-256 of the encoder's pretrained weights; None for random initialisation.
    """

    run: str
    identity: dict[str, Any]
    palette: Sequence[Sequence[int]]
    data: str
    weights: str | None = None


@dataclass(frozen=True)
class Checkpoint:
    """A finished run.

    Attributes:
        provenance: the origin of its weights.
        task: the task, with the palette of the provenance.
        model: the base network with its trained weights, in evaluation mode.
        criterion: the trained DejaVu loss, or None for a run without one.
    """

    provenance: Provenance
    task: Task
    model: nn.Module
    criterion: "RegenerationLoss | None"


def save_checkpoint(
    path: Path, provenance: Provenance, model: nn.Module, criterion: nn.Module | None
) -> None:
    """Write a finished run's weights to ``path`` atomically."""
    tensors = {name: tensor.contiguous() for name, tensor in model.state_dict().items()}
    for name, tensor in criterion.state_dict().items() if criterion else ():
        tensors[_CRITERION + name] = tensor.contiguous()
    # A single key: safetensors writes several keys in an order that varies between files.
    metadata = {_METADATA: to_json(asdict(provenance))}
    with whole_file(path) as temporary:
        # Not save_file: it leaves its own temporary file behind, and hides a full disk.
        temporary.write_bytes(save(tensors, metadata))


def load_checkpoint(path: Path, criterion: bool = True) -> Checkpoint:
    """Rebuild a finished run's networks from its checkpoint.

    Args:
        path: the checkpoint.
        criterion: whether to rebuild the DejaVu loss too; it may need weights of its own.

    Raises:
        CheckpointError: the file is missing, truncated, or was not written by this project.
    """
    tensors, provenance = _read(path)
    try:
        identity = provenance.identity
        task = build_task(identity, provenance.palette)
        model = build_network(identity, task, pretrained=False)
        loss = _build_criterion(identity, task, model) if criterion else None
    except (KeyError, TypeError, ValueError) as error:
        raise _other_version(path, error) from None
    own = {k: v for k, v in tensors.items() if k.startswith(_CRITERION)}
    try:
        model.load_state_dict({k: v for k, v in tensors.items() if k not in own})
        if loss:
            loss.load_state_dict({k.removeprefix(_CRITERION): v for k, v in own.items()})
    except RuntimeError as error:
        reason = " ".join(str(error).split())
        raise CheckpointError(
            f"{path}: the weights do not fit the network of its params ({reason}); train it again"
        ) from None
    model.eval()
    return Checkpoint(provenance, task, model, loss)


def _build_criterion(
    identity: dict[str, Any], task: Task, model: nn.Module
) -> "RegenerationLoss | None":
    if identity["method"]["dejavu"] is None:
        return None
    from dejavu.training.criterion import build_criterion

    return build_criterion(identity, task, model)


def check_checkpoint(path: Path, run: str) -> None:
    """Check that a file is a complete checkpoint of the run with this hash.

    Raises:
        CheckpointError: it is missing, truncated, not of this project, or of another run.
    """
    found = _read(path)[1].run
    if found != run:
        raise CheckpointError(f"{path}: belongs to run {found}, not {run}; delete it and run again")


def load_model(path: str | Path) -> nn.Module:
    """Load the trained base network without the CRM, ready for inference.

    The network maps B x 3 x H x W images, normalised as `dejavu.data.sample.normalise` does, to
    raw outputs of the same size.

    Args:
        path: checkpoint of a trained run, or the output of `strip`.

    Raises:
        CheckpointError: the file is missing, truncated, or was not written by this project.
    """
    return load_checkpoint(Path(path), criterion=False).model


def _read(path: Path) -> tuple[dict[str, Tensor], Provenance]:
    if not path.is_file():
        raise CheckpointError(f"{path}: no such checkpoint; train it, or run `dvc pull`")
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
            metadata = file.metadata() or {}
    except SafetensorError as error:
        raise CheckpointError(
            f"{path}: truncated or not a safetensors file ({error}); delete it and run again"
        ) from None
    if _METADATA not in metadata:
        raise CheckpointError(
            f"{path}: not a checkpoint of this project: its metadata lacks the key {_METADATA!r}"
        )
    try:
        return tensors, Provenance(**from_json(metadata[_METADATA]))
    except (TypeError, ValueError) as error:
        raise _other_version(path, error) from None


def _other_version(path: Path, error: Exception) -> CheckpointError:
    return CheckpointError(
        f"{path}: was written by another version of this project ({error!r}); train it again"
    )


def best_device() -> torch.device:
    """Return the accelerator of this process, or the CPU if it has none."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")
