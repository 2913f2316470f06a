"""Verbs on data: render the rooms; check, download and cache a data set on disk."""

from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dejavu.cli.options import DEFAULT, ParamsOption, RootOption, progress_bar, read_layout
from dejavu.cli.provenance import recorded
from dejavu.runtime.errors import DataError, ParamsError

if TYPE_CHECKING:
    from dejavu.config import DataParams
    from dejavu.data.check import Checked

app = typer.Typer(help="Check, download and cache data sets on disk.", no_args_is_help=True)

NameArgument = Annotated[str, typer.Argument(help="A data set, such as nyuv2.")]


def rooms(
    params: ParamsOption = DEFAULT,
    sheet: Annotated[bool, typer.Option(help="Also draw 48 scenes of the training pool.")] = False,
) -> None:
    """Render the study's procedural rooms: one array file per split, and a manifest."""
    from dejavu.datasets.rooms import prepare_rooms
    from dejavu.datasets.rooms.scenes import RoomsSpec
    from dejavu.training.preflight import check_runs

    layout = read_layout(params)
    if layout.params.data.rooms is None:
        raise ParamsError(f"{params}: data.name is {layout.params.data.name}, not rooms")
    check_runs(layout.params, str(params))
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


@app.command()
def check(
    name: NameArgument,
    root: RootOption = None,
    variant: Annotated[
        str | None, typer.Option(help="A variant of it; the first by default.")
    ] = None,
    task: Annotated[
        list[str] | None,
        typer.Option(help="Check the ground truth of this task only (repeatable)."),
    ] = None,
    params: Annotated[
        Path | None,
        typer.Option(
            help="A study of the data set: take variant and tasks from it, write its manifest.",
            metavar="FILE",
        ),
    ] = None,
    jobs: Annotated[int, typer.Option(min=1, help="Number of decoding processes.")] = 1,
) -> None:
    """Decode every image of a data set once; print a summary, or each problem and its fix."""
    from dejavu.config import load_params
    from dejavu.data.check import check_dataset
    from dejavu.datasets.reading.roots import data_root, use_root
    from dejavu.study.layout import Layout
    from dejavu.training.preflight import check_runs

    use_root(root)
    study = load_params(params) if params else None
    data = study.data if study else _data_params(name, variant)
    if data.name != name:
        raise ParamsError(f"{params}: data.name is {data.name}, not {name}")
    offered = _tasks(data)
    tasks: list[str] = [*study.tasks] if study else task or offered
    if unknown := [one for one in tasks if one not in offered]:
        raise ParamsError(
            f"--task: {name} ({data.variant_name}) has no ground truth for {', '.join(unknown)}; "
            f"it has: {', '.join(offered)}"
        )
    if study:
        check_runs(study, str(params))
    folder, layout = data_root(name), Layout(study) if study else None
    with recorded("data", layout) if layout else nullcontext():
        with progress_bar(f"checking {name}") as step:
            checked = check_dataset(name, data.variant_name, folder, tasks, data.val, jobs, step)
        typer.echo(_summary(checked, tasks))
        if layout:
            checked.write(layout.data, layout.params)
            typer.echo(f"wrote {layout.manifest}")


@app.command()
def download(name: NameArgument, root: RootOption = None) -> None:
    """Download a data set that needs no registration; resume it if interrupted, and verify it."""
    from dejavu.datasets.fetching.http import obtain
    from dejavu.datasets.reading.registry import dataset_class
    from dejavu.datasets.reading.roots import data_root, use_root

    _data_params(name, None)
    use_root(root)
    kind, folder = dataset_class(name), data_root(name)
    if not kind.downloads:
        raise DataError(f"{kind.title} cannot be downloaded automatically: {kind.source}")
    with progress_bar(f"downloading {name}") as step:
        obtain(kind.downloads, folder, step)
    found = kind.find(folder) or folder
    typer.echo(
        f"{kind.title} is in {found}; next: python -m dejavu data check {name} --root {found}"
    )


@app.command()
def cache(
    params: ParamsOption = DEFAULT,
    split: Annotated[str, typer.Option(help="train, val or test.")] = "train",
    root: RootOption = None,
) -> None:
    """Decode a split of a study once and cache the decoded images."""
    from dejavu.data.indexed import IndexedSplit
    from dejavu.data.opening import open_split
    from dejavu.datasets.reading.roots import use_root

    layout = read_layout(params)
    if layout.params.data.is_rooms:
        raise ParamsError(f"{params}: data.name is rooms, which are not decoded and need no cache")
    use_root(root)
    images = open_split(layout.data, layout.params.data, split, layout.params.tasks)
    assert isinstance(images, IndexedSplit)  # all data but rooms
    size = images.decoded_bytes / 1e9
    typer.echo(f"{split}: {len(images)} images, {size:.2f} GB decoded in {layout.data / 'cache'}")
    with recorded("cache", layout, split), progress_bar(f"decoding {split}") as step:
        images.write_cache(step)


def _data_params(name: str, variant: str | None) -> "DataParams":
    from dejavu.config.reading import parse_data

    params = parse_data({"name": name, "variant": variant, "val": 1}, "data")
    _tasks(params)
    return params


def _tasks(data: "DataParams") -> list[str]:
    """Name the tasks with ground truth in a data set on disk, which rooms are not."""
    if data.tasks is None:
        raise ParamsError("rooms are rendered: python -m dejavu rooms --params FILE")
    return [*data.tasks]


def _summary(checked: "Checked", tasks: list[str]) -> str:
    from dejavu.config.tasks import truth_of

    dataset = checked.dataset
    counts = ", ".join(f"{split} {len(found)}" for split, found in checked.splits.items())
    lines = [f"{dataset.title} ({dataset.variant_name}) in {dataset.root} is in order: {counts}"]
    for task in tasks:
        lines.append(f"  {task}: {dataset.variant.truth[truth_of(task)]}")
    return "\n".join(lines + [f"  note: {note}" for note in checked.notes])
