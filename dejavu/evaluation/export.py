"""Export for deployment: a trained network without the modules that only training needs."""

from dataclasses import replace
from pathlib import Path

import torch

from dejavu.data.sample import IMAGE_MEAN
from dejavu.method.attention import SharedAttention
from dejavu.runtime.errors import DejaVuError
from dejavu.runtime.files import whole_file
from dejavu.runtime.outputs import require_apart
from dejavu.training.checkpoint import load_checkpoint, save_checkpoint


def strip(checkpoint: Path, output: Path) -> None:
    """Write a trained run's network without the DejaVu loss and its CRM.

    The file has the state-dict keys and shapes of the same network trained without the loss, and
    `dejavu.load_model` reads it.

    Args:
        checkpoint: checkpoint of a trained run.
        output: safetensors file to write.

    Raises:
        CheckpointError: the checkpoint is missing, damaged or not of this project.
        DejaVuError: the output is the checkpoint, or a folder.
    """
    require_apart([output], [checkpoint])
    trained = load_checkpoint(checkpoint, criterion=False)
    identity = trained.provenance.identity
    method = identity["method"] | {"dejavu": None}
    provenance = replace(trained.provenance, identity=identity | {"method": method})
    save_checkpoint(output, provenance, trained.model, None)


def export_onnx(checkpoint: Path, output: Path, height: int, width: int) -> None:
    """Write a trained run's network as an ONNX file: ``image`` in, raw ``output`` out.

    Args:
        checkpoint: checkpoint of a trained run.
        output: file to write.
        height: image height in pixels.
        width: image width in pixels. The batch size stays dynamic.

    Raises:
        CheckpointError: the checkpoint is missing, damaged or not of this project.
        DejaVuError: the exporter is not installed, or the network has shared attention, or the
            output is the checkpoint, or a folder.
    """
    require_apart([output], [checkpoint])
    model = load_checkpoint(checkpoint, criterion=False).model
    if isinstance(model, SharedAttention):
        raise DejaVuError(
            f"{checkpoint}: its method has shared attention, which redacts the image at inference "
            "too; an ONNX graph cannot hold these random draws; export a run without it"
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
