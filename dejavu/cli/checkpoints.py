"""Verbs on a trained run: predict, export, and score saved predictions."""

from pathlib import Path
from typing import Annotated

import typer

from dejavu.cli.options import (
    DEFAULT,
    MethodOption,
    NetworkOption,
    ParamsOption,
    SeedOption,
    TaskOption,
    print_metrics,
    progress_bar,
    read_run,
)
from dejavu.runtime.outputs import require_apart


def predict(
    checkpoint: Annotated[Path, typer.Argument(help="Checkpoint of a trained run (.safetensors).")],
    images: Annotated[list[Path], typer.Argument(help="Images, or folders of images.")],
    output: Annotated[Path, typer.Option(help="Folder to write to.")] = Path("predictions"),
) -> None:
    """Predict for your own images; write an array (.npy) and a picture (.png) of each."""
    from dejavu.reporting.predict import predict_images

    for image, array, picture in predict_images(checkpoint, images, output):
        typer.echo(f"{image}: {array}, {picture}")


def save_run(
    task: TaskOption,
    method: MethodOption,
    output: Annotated[Path, typer.Argument(help="Folder to write to.")],
    params: ParamsOption = DEFAULT,
    network: NetworkOption = None,
    seed: SeedOption = 0,
) -> None:
    """Save a run's predictions for the evaluated split, in the data set's official format."""
    from dejavu.evaluation.predictions import save_predictions

    layout, run = read_run(params, task, network, method, seed)
    with progress_bar("predicting") as step:
        files = save_predictions(layout, run, output, step)
    typer.echo(f"wrote {len(files)} predictions to {output}")


def score(
    task: TaskOption,
    method: MethodOption,
    predictions: Annotated[Path, typer.Argument(help="Folder of saved predictions.")],
    output: Annotated[Path, typer.Argument(help="Metrics file to write.")],
    params: ParamsOption = DEFAULT,
    network: NetworkOption = None,
    seed: SeedOption = 0,
) -> None:
    """Score saved predictions by the study's protocol."""
    from dejavu.evaluation.predictions import score_predictions

    layout, run = read_run(params, task, network, method, seed)
    require_apart([output], [params])
    print_metrics(score_predictions(layout, run, predictions, output))


def strip_checkpoint(
    checkpoint: Annotated[Path, typer.Argument(help="Checkpoint of a trained run (.safetensors).")],
    output: Annotated[Path, typer.Argument(help="The .safetensors file to write.")],
) -> None:
    """Export a trained run's network without the regeneration module."""
    from dejavu.evaluation.export import strip

    strip(checkpoint, output)
    typer.echo(f"wrote {output}")


def onnx(
    checkpoint: Annotated[Path, typer.Argument(help="Checkpoint of a trained run (.safetensors).")],
    output: Annotated[Path, typer.Argument(help="The .onnx file to write.")],
    height: Annotated[int, typer.Option(help="Image height in pixels.")] = 64,
    width: Annotated[int, typer.Option(help="Image width in pixels.")] = 64,
) -> None:
    """Export a trained run's network to ONNX, for any batch size."""
    from dejavu.evaluation.export import export_onnx

    export_onnx(checkpoint, output, height, width)
    typer.echo(f"wrote {output}")
