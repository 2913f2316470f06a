"""``python -m dejavu VERB``: what the workflow's rules call, and what a person can call by hand.

Each verb calls one function. Heavy imports happen inside the verbs, so that ``--help`` is quick.
"""

import errno
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dejavu.cli import data
from dejavu.cli.adoption import adopt
from dejavu.cli.computing import Computing, Timing, Training
from dejavu.cli.options import (
    DEFAULT,
    ExpectOption,
    MethodOption,
    NetworkOption,
    ParamsOption,
    RootOption,
    SeedOption,
    TaskOption,
    find_run,
    progress_bar,
)
from dejavu.cli.provenance import recorded, why
from dejavu.runtime.errors import DejaVuError, ParamsError

if TYPE_CHECKING:
    from dejavu.study.layout import Layout
    from dejavu.study.run import Run

app = typer.Typer(
    help="DejaVu: conditional regenerative learning for dense prediction.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(data.app, name="data")
app.command()(why)
app.command()(adopt)


_CURES = {
    errno.ENOSPC: "free some space",
    errno.EDQUOT: "free some of the quota",
    errno.EFBIG: "raise the limit on file sizes (ulimit -f)",
    errno.EROFS: "mount it for writing",
    errno.EACCES: "give the permission",
}


def main() -> None:
    """Run the command line; a user's mistake is a message and exit code 1, not a traceback."""
    os.environ.pop("MPLBACKEND", None)  # figures are files: no verb opens a window
    try:
        app()
    except (DejaVuError, ImportError) as error:  # an extra that is not installed says which
        typer.echo(f"dejavu: {error}", err=True)
        sys.exit(1)
    except OSError as error:
        if error.errno not in _CURES:
            raise
        cure = f"{_CURES[error.errno]}, then run the same command again: it continues"
        typer.echo(f"dejavu: {error.filename}: {error.strerror}; {cure}", err=True)
        sys.exit(1)


@app.callback()
def _root(root: RootOption = None) -> None:
    """Take the folder of the study's data set, before the verb."""
    from dejavu.datasets.reading.roots import use_root

    use_root(root)


@app.command()
def rooms(
    params: ParamsOption = DEFAULT,
    sheet: Annotated[bool, typer.Option(help="Also draw 48 scenes of the training pool.")] = False,
) -> None:
    """Render the study's procedural rooms: one array file per split, and a manifest."""
    from dejavu.datasets.rooms import prepare_rooms
    from dejavu.datasets.rooms.scenes import RoomsSpec

    layout = _layout(params)
    if layout.params.data.rooms is None:
        raise ParamsError(f"{params}: reads {layout.params.data.name}, and renders no rooms")
    settings = layout.params.data.rooms.model_dump()
    counts = {split: settings.pop(split) for split in ("train", "val", "test")}
    with recorded("data", layout), progress_bar("rooms") as step:
        prepare_rooms(RoomsSpec(**settings), counts, layout.data, step)
    typer.echo(f"prepared {counts} scenes in {layout.data}")
    if sheet:
        from dejavu.reporting.figures import save
        from dejavu.reporting.rooms_sheet import contact_sheet

        save(contact_sheet(layout.data, 48), layout.data / "sheet.png")
        typer.echo(f"drew {layout.data / 'sheet.png'}")


@app.command(cls=Training)
def train(
    task: TaskOption,
    method: MethodOption,
    params: ParamsOption = DEFAULT,
    network: NetworkOption = None,
    seed: SeedOption = 0,
    expect: ExpectOption = None,
) -> None:
    """Train one run, or resume it, or find it finished."""
    from dejavu.runtime.launch import is_first
    from dejavu.study.layout import STORE
    from dejavu.training.loop import train as train_run

    layout, run = _run(params, task, network, method, seed, expect)
    path = layout.checkpoint(run)
    data, pair = layout.data, layout.text_pair
    try:
        with (
            recorded("train", layout, run) as record,
            progress_bar(f"{task} {method} seed {seed}") as step,
        ):
            trained = train_run(run, data, STORE, path, step, pair, describe=record.keep)
            record.take(trained.folder)
    except ValueError as error:  # what only the library can judge, such as a CLIP model's name
        raise ParamsError(f"{params}: methods.{method}: {error}") from error
    if is_first():
        how = "trained" if trained.fresh else "already trained"
        typer.echo(f"{path}: {how} (run {run.hash})")


@app.command(cls=Computing)
def evaluate(
    task: TaskOption,
    method: MethodOption,
    params: ParamsOption = DEFAULT,
    network: NetworkOption = None,
    seed: SeedOption = 0,
    expect: ExpectOption = None,
) -> None:
    """Score one trained run by the study's protocol."""
    from dejavu.evaluation.score import evaluate as evaluate_run

    layout, run = _run(params, task, network, method, seed, expect)
    with recorded("evaluate", layout, run):
        _show(evaluate_run(run, layout.checkpoint(run), layout.data, layout.metrics(run)))


@app.command(cls=Computing)
def gap(task: TaskOption, params: ParamsOption = DEFAULT) -> None:
    """Measure the oracle gap of the study's redactions for one task, on val."""
    from dejavu.evaluation.gap import measure_gaps

    layout = _layout(params)
    _known_task(layout, task)
    with recorded("gap", layout, task):
        rows = measure_gaps(layout, task)
    for row in rows:
        typer.echo(
            f"{row['redaction']:>36}  L_DV {row['zeros']:.4f} with zeros, "
            f"{row['ground_truth']:.4f} with the ground truth: gap {row['gap']:6.1%}"
        )


@app.command(cls=Computing)
def probes(task: TaskOption, params: ParamsOption = DEFAULT) -> None:
    """Measure on val what the trained regenerations need: zeros, predictions or the truth."""
    from dejavu.evaluation.probes import measure_probes
    from dejavu.study.layout import STORE

    layout = _layout(params)
    _known_task(layout, task)
    with recorded("probes", layout, task):
        rows = measure_probes(layout, task, STORE)
    for row in rows:
        told = ("zeros", "detached", "live", "ground_truth")
        losses = ", ".join(f"{name} {row[name]:.4f}" for name in told)
        typer.echo(f"{row['method']:>18}  L_DV with {losses}")


@app.command()
def text_pair(params: ParamsOption = DEFAULT) -> None:
    """Train the small image-text pair that stands in for CLIP, on the captions of the rooms."""
    from dejavu.runtime.files import locked
    from dejavu.study.layout import STORE
    from dejavu.study.phases import text_pair_hash
    from dejavu.training.text_pair import train_text_pair

    layout = _layout(params)
    files = layout.text_pair, layout.text_pair_metrics
    alone = locked(STORE / f"text_pair-{text_pair_hash(layout.params)}")
    with alone, recorded("text_pair", layout), progress_bar("text pair") as step:
        measured = train_text_pair(layout.data, layout.params.text_pair, *files, step)
    for encoder in ("trained", "untrained"):
        typer.echo(f"{encoder:>9}: recall at 1 {measured[encoder]['recall_at_1']:.1%} on val")


@app.command(cls=Timing)
def cost(task: TaskOption, params: ParamsOption = DEFAULT) -> None:
    """Measure what each method costs in training, beside the reference method."""
    from dejavu.evaluation.cost import measure_costs

    layout = _layout(params)
    _known_task(layout, task)
    with recorded("cost", layout, task):
        rows = measure_costs(layout, task)
    for row in rows:
        typer.echo(
            f"{row['method']:>18}  step {row['step_seconds'] * 1e3:.1f} ms "
            f"({row['step_ratio']:.2f} x), memory {row['memory_ratio']:.2f} x"
        )


@app.command()
def tables(params: ParamsOption = DEFAULT) -> None:
    """Write the study's tables; print the main one."""
    from dejavu.reporting.study import write_tables

    layout = _layout(params)
    with recorded("tables", layout):
        folder = write_tables(layout)
    for name in ("main.md", "findings.md"):
        typer.echo((folder / name).read_text(encoding="utf-8"))


@app.command()
def readme(params: ParamsOption = DEFAULT) -> None:
    """Write the study's headline and paired differences into README.md."""
    from dejavu.reporting.readme import render_readme
    from dejavu.runtime.files import write_text

    path = Path("README.md")
    write_text(path, render_readme(path.read_text(encoding="utf-8"), _layout(params)))
    typer.echo(f"wrote {path}")


@app.command()
def figures(params: ParamsOption = DEFAULT) -> None:
    """Draw the study's figures."""
    from dejavu.reporting.study import draw_figures

    layout = _layout(params)
    with recorded("figures", layout):
        folder = draw_figures(layout)
    typer.echo(f"drew {folder}")


@app.command()
def report(params: ParamsOption = DEFAULT) -> None:
    """Write the study's report: one page that needs nothing else."""
    from dejavu.reporting.study import write_study_report

    layout = _layout(params)
    with recorded("report", layout):
        path = write_study_report(layout)
    typer.echo(f"wrote {path}")


@app.command()
def gallery(
    output: Annotated[Path, typer.Option(help="Folder to write to.")] = Path("docs"),
    steps: Annotated[
        int, typer.Option(min=1, help="Training steps of each regeneration module.")
    ] = 500,
) -> None:
    """Draw every redaction, its spectrum and its regeneration, on photographs and on rooms."""
    from dejavu.reporting.gallery import draw_gallery

    with progress_bar("gallery") as step:
        drawn = draw_gallery(output, steps, step)
    for path in drawn:
        typer.echo(f"drew {path}")


@app.command()
def predict(
    checkpoint: Annotated[Path, typer.Argument(help="A trained run's .safetensors file.")],
    images: Annotated[list[Path], typer.Argument(help="Images that Pillow can read.")],
    output: Annotated[Path, typer.Option(help="Folder to write to.")] = Path("predictions"),
) -> None:
    """Predict for images of one's own: an array (.npy) and a picture (.png) each."""
    from dejavu.reporting.predict import predict_image

    for image in images:
        array, picture = predict_image(checkpoint, image, output)
        typer.echo(f"{image}: {array}, {picture}")


@app.command(name="save")
def save_run(
    task: TaskOption,
    method: MethodOption,
    output: Annotated[Path, typer.Argument(help="Folder to write to.")],
    params: ParamsOption = DEFAULT,
    network: NetworkOption = None,
    seed: SeedOption = 0,
) -> None:
    """Save a run's predictions for the evaluated split, as the data set's own tools read them."""
    from dejavu.evaluation.predictions import save_predictions

    layout, run = _run(params, task, network, method, seed, None)
    with progress_bar("predicting") as step:
        files = save_predictions(layout, run, output, step)
    typer.echo(f"wrote {len(files)} predictions to {output}")


@app.command()
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

    layout, run = _run(params, task, network, method, seed, None)
    _show(score_predictions(layout, run, predictions, output))


@app.command(name="strip")
def strip_checkpoint(
    checkpoint: Annotated[Path, typer.Argument(help="A trained run's .safetensors file.")],
    output: Annotated[Path, typer.Argument(help="The .safetensors file to write.")],
) -> None:
    """Write a trained run's network alone, without the regeneration module."""
    from dejavu.evaluation.export import strip

    strip(checkpoint, output)
    typer.echo(f"wrote {output}")


@app.command()
def onnx(
    checkpoint: Annotated[Path, typer.Argument(help="A trained run's .safetensors file.")],
    output: Annotated[Path, typer.Argument(help="The .onnx file to write.")],
    height: Annotated[int, typer.Option(help="Image height in pixels.")] = 64,
    width: Annotated[int, typer.Option(help="Image width in pixels.")] = 64,
) -> None:
    """Export a trained run's network to ONNX, for any batch size."""
    from dejavu.evaluation.export import export_onnx

    export_onnx(checkpoint, output, height, width)
    typer.echo(f"wrote {output}")


@app.command(name="params")
def show_params(
    params: ParamsOption = DEFAULT,
    write: Annotated[
        bool, typer.Option(help="Write the default study, the schema and the reference anew.")
    ] = False,
) -> None:
    """Check a params file and print its runs with their hashes."""
    from dejavu.config.generated import generated_files
    from dejavu.runtime.files import write_text

    for path, text in generated_files().items() if write else ():
        write_text(path, text)
        typer.echo(f"wrote {path}")
    for run in () if write else _layout(params).runs():
        typer.echo(f"{run.hash}  {run.task} {run.network} {run.method} seed {run.seed}")


@app.command()
def phases(
    params: ParamsOption = DEFAULT,
    write: Annotated[bool, typer.Option(help="Write the file anew.")] = False,
) -> None:
    """Check that workflow/phases.json, which DVC's stages depend on, is of the present code."""
    from dejavu.runtime.files import write_text
    from dejavu.study.phases import PHASES_FILE, render_codes

    text = render_codes(_layout(params).params)
    if write:
        write_text(PHASES_FILE, text)
        typer.echo(f"wrote {PHASES_FILE}")
    elif not PHASES_FILE.is_file() or PHASES_FILE.read_text(encoding="utf-8") != text:
        raise DejaVuError(
            f"{PHASES_FILE}: older than the code, so that DVC would take stale results for current "
            "ones; write it anew: python -m dejavu phases --write. Where the code computes what it "
            "did, adopt the results first: python -m dejavu adopt"
        )
    else:
        typer.echo(f"{PHASES_FILE}: of the present code")


def _layout(path: Path) -> "Layout":
    from dejavu.config import load_params
    from dejavu.study.layout import Layout

    return Layout(load_params(path))


def _run(
    path: Path, task: str, network: str | None, method: str, seed: int, expect: str | None
) -> tuple["Layout", "Run"]:
    layout = _layout(path)
    run = find_run(layout.params, task, network, method, seed)
    if expect not in (None, run.hash):
        raise ParamsError(
            f"{path}: the run was planned as {expect} but is {run.hash} now: params or code "
            "changed while the workflow ran; start it again"
        )
    return layout, run


def _show(result: dict[str, Any]) -> None:
    for metric in result["metrics"]:
        typer.echo(f"{metric['name']:>18} {metric['value']:10.4f} {metric['unit']}")


def _known_task(layout: "Layout", task: str) -> None:
    if task not in layout.params.tasks:
        raise ParamsError(f"tasks: the study has no {task!r}; it has: {layout.params.tasks}")
