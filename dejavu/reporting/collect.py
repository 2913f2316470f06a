"""Collect metrics files and training logs into frames, and refuse incomparable ones."""

from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from dejavu.runtime.errors import DejaVuError
from dejavu.runtime.strict_json import from_json, number_or_nan

RUN_COLUMNS = [
    *("study", "dataset", "task", "network", "method", "seed", "split"),
    *("metric", "unit", "value"),
]
CURVE_COLUMNS = ["task", "network", "method", "seed", "step", "task_loss", "dejavu_loss"]
GAP_COLUMNS = ["task", "redaction", "method", "kind", "zeros", "ground_truth", "gap"]
PROBE_COLUMNS = [
    *("task", "network", "method", "redaction"),
    *("zeros", "live", "detached", "ground_truth", "argmax"),
]
COST_COLUMNS = [
    *("task", "network", "method", "step_seconds", "step_ratio", "memory_bytes", "memory_ratio"),
    *("parameters", "training_parameters", "flops"),
]
_RUN_KEYS = [
    *("study", "dataset", "task", "network", "method", "seed", "split", "images"),
    *("protocol", "notes", "weights", "primary", "boundary", "metrics"),
]

Files = list[tuple[Path, dict[str, Any]]]


@dataclass(frozen=True)
class Spec:
    """Name, unit and direction of a metric, as its metrics file states them."""

    name: str
    unit: str
    higher_is_better: bool


@dataclass(frozen=True)
class TaskProtocol:
    """The protocol by which all runs of a task were scored.

    Attributes:
        primary: the metric of the accuracy claim.
        boundary: the metric of the boundary claim.
        images: number of images scored.
        protocol: the source of the ground truth, and the settings of the evaluation.
        notes: remarks on the data, for readers of the tables.
        metrics: every metric, in the order of the files.
    """

    primary: str
    boundary: str
    images: int
    protocol: dict[str, Any]
    notes: tuple[str, ...]
    metrics: tuple[Spec, ...]

    def spec(self, name: str) -> Spec:
        """Return the metric called ``name``."""
        return next(spec for spec in self.metrics if spec.name == name)


@dataclass(frozen=True)
class Runs:
    """Scored runs that can be compared in one table.

    Attributes:
        study: name of their study.
        split: the split on which all were scored.
        frame: one row per run and metric, with the columns ``RUN_COLUMNS``.
        protocols: the protocol of each task.
    """

    study: str
    split: str
    frame: pd.DataFrame
    protocols: dict[str, TaskProtocol]


@dataclass(frozen=True)
class Measured:
    """Rows of the gap, probe or cost files, and the conditions of their measurement."""

    frame: pd.DataFrame
    conditions: dict[str, Any]


def collect_runs(paths: Iterable[Path]) -> Runs:
    """Read metrics files, in any order, into one tidy frame.

    Args:
        paths: metrics files written by the evaluation, one per run.

    Returns:
        The runs, sorted by task, network, method and seed; metrics keep the files' order.

    Raises:
        DejaVuError: there is no file, one is damaged, or two cannot be compared: they differ in
            study, data set or split, or in protocol or metrics of the same task, or are of the
            same run. The message names the files.
    """
    files = [(path, _read_run(path)) for path in sorted(paths)]
    _refuse_none(files, "metrics file")
    _refuse_different(files, ("study", "dataset", "split"), lambda run: None)
    common = ("protocol", "notes", "primary", "boundary", "images", "specs")
    _refuse_different(files, common, lambda run: run["task"])
    _refuse_different(files, ("weights",), lambda run: (run["task"], run["network"]))
    _refuse_twice(files)
    rows = [
        {**run, "metric": m["name"], "unit": m["unit"], "value": number_or_nan(m["value"])}
        for _, run in files
        for m in run["metrics"]
    ]
    frame = pd.DataFrame(rows, columns=RUN_COLUMNS)
    frame = frame.sort_values(
        ["task", "network", "method", "seed"], kind="stable", ignore_index=True
    )
    first = files[0][1]
    return Runs(first["study"], first["split"], frame, _protocols(files))


def collect_curves(paths: Iterable[Path]) -> pd.DataFrame:
    """Read training logs (``.../task/network/method/seedK.jsonl``) into ``CURVE_COLUMNS``.

    Raises:
        DejaVuError: there is no log, or one is damaged or misplaced.
    """
    rows = [row for path in paths for row in _read_log(path)]
    if not rows:
        raise DejaVuError("no training log was given, or all are empty; train the study first")
    frame = pd.DataFrame(rows, columns=CURVE_COLUMNS).astype({"dejavu_loss": float})
    return frame.sort_values(CURVE_COLUMNS[:5], kind="stable", ignore_index=True)


def collect_gaps(paths: Iterable[Path]) -> Measured:
    """Read oracle-gap files, one per task or one for all; rows stay in the order given.

    Raises:
        DejaVuError: there is none, or they differ in study, steps or split.
    """
    return _collect_measured(paths, ("study", "steps", "split"), GAP_COLUMNS, "oracle-gap file")


def collect_probes(paths: Iterable[Path]) -> Measured:
    """Read probe files, one per task or one for all; rows stay in the order given.

    Returns:
        Rows with the columns ``PROBE_COLUMNS``; no rows if no method regenerates from a live
        prediction. ``argmax`` is NaN for tasks that have no hard prediction.

    Raises:
        DejaVuError: there is none, or they differ in study, split, seed or steps.
    """
    conditions = ("study", "split", "seed", "steps")
    probes = _collect_measured(paths, conditions, PROBE_COLUMNS, "probe file")
    losses = dict.fromkeys(PROBE_COLUMNS[4:], float)
    return Measured(probes.frame.astype(losses), probes.conditions)


def collect_costs(paths: Iterable[Path]) -> Measured:
    """Read cost files, one per task or one for all; rows stay in the order given.

    Raises:
        DejaVuError: there is none, or they differ in device, batch size, image size or rounds.
    """
    conditions = ("device", "batch_size", "image_size", "rounds")
    return _collect_measured(paths, conditions, COST_COLUMNS, "cost file")


def _collect_measured(
    paths: Iterable[Path], conditions: Sequence[str], columns: list[str], kind: str
) -> Measured:
    files = [(path, _read_object(path, [*conditions, "rows"])) for path in paths]
    _refuse_none(files, kind)
    _refuse_different(files, conditions, lambda file: None)
    rows = [row for path, file in files for row in _complete_rows(path, file["rows"], columns)]
    return Measured(
        pd.DataFrame(rows, columns=columns), {name: files[0][1][name] for name in conditions}
    )


def _complete_rows(path: Path, rows: list[dict[str, Any]], columns: list[str]) -> list[Any]:
    for index, row in enumerate(rows):
        _require(f"{path}: rows[{index}]", row, columns)
    return rows


def _read_run(path: Path) -> dict[str, Any]:
    run = _read_object(path, _RUN_KEYS)
    for index, metric in enumerate(run["metrics"]):
        _require(f"{path}: metrics[{index}]", metric, ["name", "unit", "higher_is_better", "value"])
        if not isinstance(metric["value"], int | float | None):
            raise DejaVuError(
                f"{path}: {metric['name']} is {metric['value']!r}, not a number; "
                "evaluate the run again"
            )
    run["specs"] = tuple(
        Spec(metric["name"], metric["unit"], metric["higher_is_better"])
        for metric in run["metrics"]
    )
    names = [spec.name for spec in run["specs"]]
    for key in ("primary", "boundary"):
        if run[key] not in names:
            raise DejaVuError(
                f"{path}: the {key} metric {run[key]!r} is not among its metrics "
                f"({', '.join(names)}); evaluate the run again"
            )
    return run


def _read_log(path: Path) -> list[dict[str, Any]]:
    if len(path.parts) < 4 or not path.stem.removeprefix("seed").isdecimal():
        raise DejaVuError(f"{path}: a training log is at .../task/network/method/seedK.jsonl")
    task, network, method = path.parts[-4:-1]
    cell = {"task": task, "network": network, "method": method}
    seed = int(path.stem.removeprefix("seed"))
    rows = []
    for number, line in enumerate(_read_text(path).splitlines(), start=1):
        entry = _parse(f"{path}, line {number}", line, ["step", "task_loss", "dejavu_loss"])
        rows.append({**cell, "seed": seed, **entry})
    return rows


def _read_object(path: Path, keys: Sequence[str]) -> dict[str, Any]:
    return _parse(str(path), _read_text(path), keys)


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DejaVuError(f"{path}: cannot be read: {error}") from None


def _parse(source: str, text: str, keys: Sequence[str]) -> dict[str, Any]:
    try:
        tree = from_json(text)
    except ValueError as error:
        raise DejaVuError(f"{source}: not valid JSON ({error}); make it again") from None
    _require(source, tree, keys)
    return dict(tree)


def _require(source: str, tree: Any, keys: Sequence[str]) -> None:
    missing = [key for key in keys if not isinstance(tree, dict) or key not in tree]
    if missing:
        raise DejaVuError(f"{source}: lacks {', '.join(missing)}; make the file again")


def _refuse_none(files: Files, kind: str) -> None:
    if not files:
        raise DejaVuError(f"no {kind} was given; a table needs at least one")


def _refuse_different(
    files: Files, fields: Sequence[str], group: Callable[[dict[str, Any]], Hashable]
) -> None:
    """Refuse two files of one group that disagree in a field."""
    firsts: dict[Hashable, tuple[Path, dict[str, Any]]] = {}
    for path, file in files:
        first_path, first = firsts.setdefault(group(file), (path, file))
        for field in fields:
            if file[field] != first[field]:
                name = "metrics" if field == "specs" else field
                one, other = _contrast(first[field], file[field])
                raise DejaVuError(
                    f"{first_path} and {path} differ in {name} ({one} and {other}): they cannot "
                    "be compared in one table; make both with one study"
                )


def _contrast(one: Any, other: Any) -> tuple[Any, Any]:
    """Return two values to show in a message: of mappings, only the keys that differ."""
    if isinstance(one, dict) and isinstance(other, dict):
        keys = sorted(k for k in {*one, *other} if one.get(k) != other.get(k))
        return {k: one.get(k) for k in keys}, {k: other.get(k) for k in keys}
    return one, other


def _refuse_twice(files: Files) -> None:
    known: dict[tuple[Any, ...], Path] = {}
    for path, run in files:
        key = (run["task"], run["network"], run["method"], run["seed"])
        if key in known:
            task, network, method, seed = key
            raise DejaVuError(
                f"{known[key]} and {path} are both of {task}/{network}/{method} seed {seed}; "
                "remove one"
            )
        known[key] = path


def _protocols(files: Files) -> dict[str, TaskProtocol]:
    return {
        run["task"]: TaskProtocol(
            run["primary"],
            run["boundary"],
            run["images"],
            run["protocol"],
            tuple(run["notes"]),
            run["specs"],
        )
        for _, run in files
    }
