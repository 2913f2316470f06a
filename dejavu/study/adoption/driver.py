"""Runs verbs of the importable version of the package, and writes their results.

This file runs as a script on code of any commit, so it relies on little: the verbs, their files,
and that training saves its state with ``torch.save``, under the keys step, model, criterion
and optimizer. It is called as ``python driver.py plan.json result.json CODE`` in an empty folder.
"""

import csv
import hashlib
import importlib.util
import json
import runpy
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from safetensors import safe_open

State = dict[str, Any]
_TIMES = ("seconds", "step_seconds", "step_ratio")
_LABELS = ("run", "checkpoint")


class Saved(BaseException):
    """Stops training at its first resume state."""


def drive(plan: list[dict[str, Any]]) -> dict[str, Any]:
    """Run each step of a plan; return its results by the step's name and part."""
    found: dict[str, Any] = {}
    for step in plan:
        for part, value in STEPS[step["kind"]](step):
            found[f"{step['name']}: {part}"] = value
    return found


def train_twice(step: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """Train the first steps of a run, then its last steps from the resulting state."""
    checkpoint = Path(step["checkpoint"])
    state = _first_state(step["argv"])
    (work,) = Path(".runs").glob(f"{state['run']}-*")
    yield "first steps", _digest(_compared(state))
    yield "log of the first steps", _log(work / "log.jsonl")
    planted = state | {"step": step["late"], "log_bytes": 0, "seconds": 0.0}
    torch.save(planted, work / "state.pt")
    with _saving() as saved:
        _call(step["argv"])
    yield "last steps", [_digest(_compared(state)) for state in saved]
    yield "log of the last steps", _log(checkpoint.with_suffix(".jsonl"))
    yield "checkpoint", _checkpoint(checkpoint)


def _first_state(argv: list[str]) -> State:
    states: list[State] = []

    def stop(state: State, *args: Any, **named: Any) -> None:
        states.append(_detached(state))
        raise Saved

    try:
        with patch.object(torch, "save", stop):
            _call(argv)
    except Saved:
        return states[0]
    raise SystemExit(f"{' '.join(argv)}: ended without a resume state")


@contextmanager
def _saving() -> Iterator[list[State]]:
    """Collect copies of the states that training saves."""
    states: list[State] = []
    save = torch.save

    def keep(state: State, *args: Any, **named: Any) -> None:
        states.append(_detached(state))
        save(state, *args, **named)

    with patch.object(torch, "save", keep):
        yield states


def _detached(state: State) -> State:
    """Copy a state, since training goes on to change its tensors."""
    if isinstance(state, dict):
        return {key: _detached(value) for key, value in state.items()}
    if isinstance(state, list):
        return [_detached(value) for value in state]
    return state.detach().clone() if isinstance(state, torch.Tensor) else state


def _compared(state: State) -> State:
    return {key: state[key] for key in ("step", "model", "criterion", "optimizer")}


def run_verb(step: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """Call a verb, and read its output files."""
    _call(step["argv"])
    for name in step["files"]:
        yield name, _read(Path(name))


STEPS = {"train": train_twice, "verb": run_verb}


def _call(argv: list[str]) -> None:
    """Call a verb in this process; a failure ends the script with the verb's own message."""
    sys.argv = ["dejavu", *argv]
    try:
        runpy.run_module("dejavu", run_name="__main__")
    except SystemExit as ended:
        if ended.code:
            raise SystemExit(f"python -m dejavu {' '.join(argv)} failed") from None


def _read(path: Path) -> Any:
    if path.suffix == ".safetensors":
        return _checkpoint(path)
    if path.suffix == ".jsonl":
        return _log(path)
    if path.suffix == ".json":
        return _without_times(json.loads(path.read_text(encoding="utf-8")))
    if path.suffix == ".csv":
        return [*csv.reader(path.read_text(encoding="utf-8").splitlines())]
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _checkpoint(path: Path) -> Any:
    with safe_open(path, framework="pt") as file:
        return {name: _digest(file.get_tensor(name)) for name in sorted(file.keys())}


def _log(path: Path) -> list[Any]:
    lines = path.read_text(encoding="utf-8").splitlines()
    return [_without_times(json.loads(line)) for line in lines]


def _without_times(value: Any) -> Any:
    """Remove times, which differ between calls, and hashes, which differ between versions."""
    if isinstance(value, dict):
        kept = {k: v for k, v in value.items() if k not in (*_TIMES, *_LABELS)}
        return {key: _without_times(item) for key, item in kept.items()}
    return [_without_times(item) for item in value] if isinstance(value, list) else value


def _digest(value: Any) -> Any:
    """Replace each tensor by its type, shape and the SHA-256 of its bytes."""
    if isinstance(value, dict):
        return {str(key): _digest(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_digest(item) for item in value]
    if not isinstance(value, torch.Tensor):
        return value
    flat = value.detach().cpu().contiguous().flatten()
    sha256 = hashlib.sha256(flat.view(torch.uint8).numpy().tobytes()).hexdigest()
    return f"{value.dtype} {[*value.shape]} {sha256}"


if __name__ == "__main__":
    plan_file, result_file, code = map(Path, sys.argv[1:4])
    package = importlib.util.find_spec("dejavu")
    if package is None or not Path(str(package.origin)).resolve().is_relative_to(code.resolve()):
        raise SystemExit(f"{code}: has no package dejavu that could be imported")
    result = drive(json.loads(plan_file.read_text(encoding="utf-8")))
    result_file.write_text(json.dumps(result), encoding="utf-8")
