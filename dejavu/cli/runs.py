"""Verbs that train, evaluate and measure, most of them on a device."""

from collections.abc import Callable

import typer

from dejavu.cli.computing import Computing, Timing
from dejavu.cli.options import (
    DEFAULT,
    ExpectOption,
    MethodOption,
    NetworkOption,
    ParamsOption,
    SeedOption,
    TaskOption,
    check_task,
    print_metrics,
    progress_bar,
    read_layout,
    read_run,
)
from dejavu.cli.provenance import recorded
from dejavu.runtime.errors import ParamsError


def text_pair(params: ParamsOption = DEFAULT) -> None:
    """Train the small image-text encoder that stands in for CLIP on the captions of the rooms."""
    from dejavu.runtime.files import locked
    from dejavu.study.layout import STORE
    from dejavu.study.phases import text_pair_hash
    from dejavu.training.text_pair import train_text_pair

    layout = read_layout(params)
    files = layout.text_pair, layout.text_pair_metrics
    alone = locked(STORE / f"text_pair-{text_pair_hash(layout.params)}")
    with alone, recorded("text_pair", layout), progress_bar("text pair") as step:
        measured = train_text_pair(layout.data, layout.params.text_pair, *files, step)
    for encoder in ("trained", "untrained"):
        typer.echo(f"{encoder:>9}: recall at 1 {measured[encoder]['recall_at_1']:.1%} on val")


def train(
    task: TaskOption,
    method: MethodOption,
    params: ParamsOption = DEFAULT,
    network: NetworkOption = None,
    seed: SeedOption = 0,
    expect: ExpectOption = None,
) -> None:
    """Train one run; resume it if interrupted, skip it if finished."""
    from dejavu.runtime.launch import is_first
    from dejavu.study.layout import STORE
    from dejavu.training.loop import train as train_run

    layout, run = read_run(params, task, network, method, seed, expect)
    path = layout.checkpoint(run)
    data, pair = layout.data, layout.text_pair
    try:
        with (
            recorded("train", layout, run) as record,
            progress_bar(f"{task} {method} seed {seed}") as step,
        ):
            trained = train_run(run, data, STORE, path, step, pair, describe=record.keep)
            record.take(trained.folder)
    except ValueError as error:  # found only by the library, such as an unknown CLIP model
        raise ParamsError(f"{params}: methods.{method}: {error}") from error
    if is_first():
        how = "trained" if trained.fresh else "already trained"
        typer.echo(f"{path}: {how} (run {run.hash})")


def evaluate(
    task: TaskOption,
    method: MethodOption,
    params: ParamsOption = DEFAULT,
    network: NetworkOption = None,
    seed: SeedOption = 0,
    expect: ExpectOption = None,
) -> None:
    """Evaluate one trained run by the study's protocol."""
    from dejavu.evaluation.score import evaluate as evaluate_run

    layout, run = read_run(params, task, network, method, seed, expect)
    with recorded("evaluate", layout, run):
        print_metrics(evaluate_run(run, layout.checkpoint(run), layout.data, layout.metrics(run)))


def gap(task: TaskOption, params: ParamsOption = DEFAULT) -> None:
    """Measure the oracle gap of the study's redactions for one task, on val."""
    from dejavu.evaluation.gap import measure_gaps

    layout = read_layout(params)
    check_task(layout, task)
    with recorded("gap", layout, task):
        rows = measure_gaps(layout, task)
    for row in rows:
        typer.echo(
            f"{row['redaction']:>36}  L_DV {row['zeros']:.4f} with zeros, "
            f"{row['ground_truth']:.4f} with the ground truth: gap {row['gap']:6.1%}"
        )


def probes(task: TaskOption, params: ParamsOption = DEFAULT) -> None:
    """Measure L_DV of trained runs on val, by condition: zeros, predictions, ground truth."""
    from dejavu.evaluation.probes import measure_probes
    from dejavu.study.layout import STORE

    layout = read_layout(params)
    check_task(layout, task)
    with recorded("probes", layout, task):
        rows = measure_probes(layout, task, STORE)
    for row in rows:
        conditions = ("zeros", "detached", "live", "ground_truth")
        losses = ", ".join(f"{name} {row[name]:.4f}" for name in conditions)
        typer.echo(f"{row['method']:>18}  L_DV with {losses}")


def cost(task: TaskOption, params: ParamsOption = DEFAULT) -> None:
    """Measure time and memory of each method's training, relative to the reference method."""
    from dejavu.evaluation.cost import measure_costs

    layout = read_layout(params)
    check_task(layout, task)
    with recorded("cost", layout, task):
        rows = measure_costs(layout, task)
    for row in rows:
        typer.echo(
            f"{row['method']:>18}  step {row['step_seconds'] * 1e3:.1f} ms "
            f"({row['step_ratio']:.2f} x), memory {row['memory_ratio']:.2f} x"
        )


MEASUREMENTS: dict[Callable[..., None], type[Computing]] = {
    gap: Computing,
    probes: Computing,
    cost: Timing,
}
"""Verbs that measure a task, and how each holds its device."""
