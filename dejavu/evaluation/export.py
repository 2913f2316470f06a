"""What is deployed: a trained run without what only training needed."""

from dataclasses import replace
from pathlib import Path

import torch

from dejavu.data.sample import IMAGE_MEAN
from dejavu.method.attention import SharedAttention
from dejavu.runtime.errors import DejaVuError
from dejavu.runtime.files import whole_file
from dejavu.training.checkpoint import load_checkpoint, save_checkpoint


def strip(checkpoint: Path, output: Path) -> None:
    """Write a trained run's network alone: the DejaVu loss and its CRM are left behind.

    The file has the state-dict keys and shapes of the same network trained without the loss, and
    `dejavu.load_model` reads it.

    Args:
        checkpoint: a trained run.
        output: safetensors file to write.

    Raises:
        CheckpointError: the checkpoint is missing, damaged or foreign.
    """
    trained = load_checkpoint(checkpoint, criterion=False)
    identity = trained.provenance.identity
    method = identity["method"] | {"dejavu": None}
    provenance = replace(trained.provenance, identity=identity | {"method": method})
    save_checkpoint(output, provenance, trained.model, None)


def export_onnx(checkpoint: Path, output: Path, height: int, width: int) -> None:
    """Write a trained run's network as an ONNX file: ``image`` in, raw ``output`` out.

    Args:
        checkpoint: a trained run.
        output: file to write.
        height: image height in pixels.
        width: image width in pixels. The batch's size stays free.

    Raises:
        CheckpointError: the checkpoint is missing, damaged or foreign.
        DejaVuError: the exporter is not installed, or the network has shared attention.
    """
    model = load_checkpoint(checkpoint, criterion=False).model
    if isinstance(model, SharedAttention):
        raise DejaVuError(
            f"{checkpoint}: has shared attention, which redacts its image at inference too; a "
            "graph cannot hold the draws of a redaction, so it cannot be exported"
        )
    example = torch.zeros(2, len(IMAGE_MEAN), height, width)
    try:
        program = torch.onnx.export(
            model,
            (example,),
            input_names=["image"],
            output_names=["output"],
            dynamic_shapes=({0: torch.export.Dim("batch")},),
            dynamo=True,
            verbose=False,
        )
    except ImportError as error:
        raise DejaVuError(f"{error.name or error}: pip install 'dejavu-dense[onnx]'") from None
    assert program is not None
    with whole_file(output) as temporary:
        program.save(temporary)
