"""Adopt a study's results: show that present code computes the same as the recorded code.

For each recorded result, the commit that made it is checked out beside the present code. Both train
the first steps of each run and, from one planted state past the schedule's peak, its last steps;
both render or check the data, evaluate, and measure gap, probes and cost. Except for times, all
results have to be equal, byte for byte. Then the study's file of adopted results maps the present
hashes to the recorded ones.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from dejavu.config import load_params
from dejavu.runtime.code_hash import PACKAGE
from dejavu.runtime.environment import read_commit, read_hardware, read_versions
from dejavu.runtime.errors import DejaVuError
from dejavu.runtime.files import write_text
from dejavu.study.adoption import driver_file
from dejavu.study.adoption.adopted import Adopted, Comparison, adopted_file, read_adopted
from dejavu.study.adoption.plan import Step, plan_steps, write_params
from dejavu.study.hashing import without_off
from dejavu.study.jobs import JOBS, Job
from dejavu.study.layout import Layout
from dejavu.study.measurements import MEASUREMENTS
from dejavu.study.phase_codes import PHASES_FILE, REPORTING, phase_codes
from dejavu.study.record import Execution, Record, read_record
from dejavu.study.run import Run

ROOT = PACKAGE.parent
_MEASURED = ("evaluate", *(one.verb for one in MEASUREMENTS))
_PHASES = (("data",), ("text_pair",), ("train",), _MEASURED)
"""Verbs whose results are adopted; hashes of earlier verbs are part of later verbs' hashes."""
_SHOWN = 10


@dataclass(frozen=True)
class Candidate:
    """A recorded result whose hash differs from that of present params and code.

    Attributes:
        job: the present job that makes it.
        of: its run or task, if any.
        record: its record.
        commit: commit of the code that made it.
    """

    job: Job
    of: Run | str | None
    record: Record
    commit: str


def adopt(file: Path, steps: int = 3) -> dict[str, int]:
    """Adopt all results of a study, or none.

    Args:
        file: the study's params.
        steps: number of training steps to compare at each end of a run.

    Returns:
        Number of adopted results, by verb.

    Raises:
        DejaVuError: the results cannot be adopted; the message names the reason or the difference.
    """
    layout = Layout(load_params(file))
    now = read_commit(ROOT)
    if now.dirty is not False:
        raise DejaVuError(
            "adopt compares committed code, and this tree has uncommitted changes in dejavu/ or "
            "params/, or is no git repository: commit first"
        )
    candidates = [*find_candidates(layout)]
    for candidate in candidates:
        _require_adoptable(candidate)
    comparisons = []
    for commit in dict.fromkeys(candidate.commit for candidate in candidates):
        plan = plan_steps(layout, ((c.job, c.of) for c in candidates if c.commit == commit), steps)
        _compare(file, commit, plan, steps)
        comparisons.append(_comparison(commit, now.commit, plan))
    return _write(layout, comparisons) if candidates else {}


def find_candidates(layout: Layout) -> Iterator[Candidate]:
    """Find the recorded results whose hashes differ from those of present params and code."""
    for job, of in _jobs(layout):
        record = read_record(job.record)
        if record is None or record.hashes == job.hashes:
            continue
        if record.execution is None:
            raise DejaVuError(f"{job.record}: lacks the commit that made the result; make it again")
        yield Candidate(job, of, record, record.execution.code.commit)


def _jobs(layout: Layout) -> Iterator[tuple[Job, Run | str | None]]:
    for kind in (JOBS[verb] for verbs in _PHASES for verb in verbs):
        yield from ((kind.job(layout, of), of) for of in kind.every(layout))


def _require_adoptable(candidate: Candidate) -> None:
    """Refuse a result whose code, params or dependencies cannot be compared."""
    job, record = candidate.job, candidate.record
    made: Execution | None = record.execution
    assert made is not None
    where = str(job.record)
    if made.code.dirty is not False:
        raise DejaVuError(
            f"{where}: made by uncommitted code, which cannot be compared; make it again"
        )
    if _git("cat-file", "-e", f"{candidate.commit}^{{commit}}") is None:
        raise DejaVuError(
            f"{where}: made by commit {candidate.commit}, which this repository lacks; fetch it"
        )
    versions = read_versions()
    for name, recorded in made.versions.items():
        if name != "dejavu-dense" and versions.get(name) != recorded:
            raise DejaVuError(
                f"{where}: made with {name} {recorded}, but {versions.get(name, 'none')} is "
                "installed; install the recorded version (requirements.txt of that commit)"
            )
    before, after = (without_off(_decisive(params)) for params in (record.params, job.params))
    for key in before.keys() | after.keys():
        if before.get(key) != after.get(key):
            raise DejaVuError(
                f"{where}: made with {key} {json.dumps(before.get(key))}, and the params say "
                f"{json.dumps(after.get(key))}: other params, not only other code; train it again"
            )


def _decisive(params: dict[str, Any]) -> dict[str, Any]:
    """Return the params without those of the report, which change no result."""
    kept: dict[str, Any] = json.loads(json.dumps(params))
    kept.pop("report", None)
    return kept


def _compare(file: Path, commit: str, plan: list[Step], steps: int) -> None:
    """Compute a plan by the code of a commit and by present code, and compare the two.

    Raises:
        DejaVuError: a verb fails, or the two differ.
    """
    with TemporaryDirectory(prefix="dejavu-adopt-") as folder, _worktree(commit, folder) as tree:
        sides = {"recorded": tree, "present": ROOT}
        started = {
            side: _start(Path(folder) / side, code, file, plan, steps)
            for side, code in sides.items()
        }
        found = {side: _finish(side, *process) for side, process in started.items()}
    differences = [*differing(found["recorded"], found["present"])]
    if differences:
        listed = "\n  ".join(differences[:_SHOWN])
        more = f"\n  and {len(differences) - _SHOWN} more" if len(differences) > _SHOWN else ""
        raise DejaVuError(f"present code differs from commit {commit}:\n  {listed}{more}")


def differing(before: Any, after: Any, where: str = "") -> Iterator[str]:
    """Name the places at which two JSON-like values differ.

    Example:
        >>> [*differing({"a": [1, 2], "b": 0}, {"a": [1, 3], "b": 0})]
        ['a[1]: 2 became 3']
    """
    if isinstance(before, dict) and isinstance(after, dict):
        for key in [*before, *(k for k in after if k not in before)]:
            inner = f"{where}.{key}" if where else str(key)
            yield from differing(before.get(key), after.get(key), inner)
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for index, (one, other) in enumerate(zip(before, after, strict=True)):
            yield from differing(one, other, f"{where}[{index}]")
    elif before != after or type(before) is not type(after):
        yield f"{where}: {_short(before)} became {_short(after)}"


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


@contextmanager
def _worktree(commit: str, folder: str) -> Iterator[Path]:
    """Check a commit out beside the repository, and remove it afterwards."""
    tree = Path(folder) / "code"
    if _git("worktree", "add", "--detach", str(tree), commit) is None:
        raise DejaVuError(f"git cannot check out {commit}: see `git worktree list`")
    try:
        yield tree
    finally:
        _git("worktree", "remove", "--force", str(tree))


Process = tuple["subprocess.Popen[str]", Path]


def _start(folder: Path, code: Path, file: Path, plan: list[Step], steps: int) -> Process:
    """Start the driver on the code of one side, in its own folder."""
    folder.mkdir()
    write_params(file, folder, steps)
    (folder / "plan.json").write_text(json.dumps(plan), encoding="utf-8")
    process = subprocess.Popen(
        [sys.executable, "-P", str(driver_file()), "plan.json", "result.json"],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(code)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    return process, folder / "result.json"


def _finish(side: str, process: "subprocess.Popen[str]", result: Path) -> dict[str, Any]:
    _, said = process.communicate()
    if process.returncode:
        raise DejaVuError(f"the {side} code failed:\n{said.strip()}")
    found: dict[str, Any] = json.loads(result.read_text(encoding="utf-8"))
    return found


def _comparison(commit: str, now: str, plan: list[Step]) -> Comparison:
    return Comparison(
        recorded=commit,
        adopted_by=now,
        compared=[step["name"] for step in plan],
        processor=read_hardware().processor,
        versions=read_versions(),
    )


def _write(layout: Layout, comparisons: list[Comparison]) -> dict[str, int]:
    """Write the adopted hashes, phase by phase: a phase's hashes may be part of later hashes."""
    counts: dict[str, int] = {}
    study = layout.params.study
    before = read_adopted(study)
    hashes, code = dict(before.hashes), dict(before.code)
    for verbs in _PHASES:
        for candidate in find_candidates(layout):
            if candidate.job.verb not in verbs:
                continue
            counts[candidate.job.verb] = counts.get(candidate.job.verb, 0) + 1
            for name, recorded in candidate.record.hashes.items():
                present = candidate.job.hashes[name]
                if present != recorded and hashes.setdefault(present, recorded) != recorded:
                    raise DejaVuError(
                        f"{candidate.job.record}: {name} {recorded}, but results of other code "
                        f"share its present hash {present}; make them again together"
                    )
        _save(study, Adopted(hashes=hashes, code=code, comparisons=before.comparisons))
    for comparison in comparisons:
        code |= _adopted_code(layout, comparison.recorded)
    comparisons = [*before.comparisons, *comparisons]
    _save(study, Adopted(hashes=hashes, code=code, comparisons=comparisons))
    return counts


def _save(study: str, adopted: Adopted) -> None:
    write_text(adopted_file(study), adopted.model_dump_json(indent=1) + "\n")


def _adopted_code(layout: Layout, commit: str) -> dict[str, str]:
    """Map present code hashes to those in DVC's stages when the results were made."""
    text = _git("show", f"{commit}:{PHASES_FILE}")
    known: dict[str, dict[str, str]] = json.loads(text) if text else {}
    present = phase_codes(layout.params, adopted=False)
    return {
        code: known[stage][name]
        for stage, codes in present.items()
        for name, code in codes.items()
        # Tables, figures and the report are not compared, but made again.
        if name not in REPORTING and known.get(stage, {}).get(name, code) != code
    }


def _git(*command: str) -> str | None:
    """Return the output of git; None if it fails."""
    done = subprocess.run(
        ["git", "-C", str(ROOT), *command], capture_output=True, text=True, check=False
    )
    return done.stdout if done.returncode == 0 else None
