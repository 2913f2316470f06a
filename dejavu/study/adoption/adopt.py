"""Adopt a study's results: show that present code computes the same as the recorded code.

For each recorded result, the commit that made it is checked out beside the present code. Both train
the first steps of each run and, from one planted state past the schedule's peak, its last steps;
both render or check the data, evaluate, and measure gap, probes and cost. Except for times, all
results have to be equal, byte for byte. Then the study's file of adopted results maps the present
hashes to the recorded ones.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from dejavu.config import load_params
from dejavu.runtime.environment import read_commit, read_hardware, read_versions
from dejavu.runtime.errors import DejaVuError
from dejavu.runtime.files import write_text
from dejavu.runtime.strict_json import from_json, to_json
from dejavu.study.adoption.adopted import Adopted, Comparison, adopted_file, read_adopted
from dejavu.study.adoption.compare import ROOT, compare, git
from dejavu.study.adoption.plan import Step, plan_steps
from dejavu.study.hashing import without_off
from dejavu.study.jobs import JOBS, Job
from dejavu.study.layout import Layout
from dejavu.study.measurements import MEASUREMENTS
from dejavu.study.phase_codes import PHASES_FILE, Codes, phase_codes
from dejavu.study.record import Execution, Record, read_record
from dejavu.study.run import TRAINING_WITHOUT_EFFECT, Run

_MEASURED = ("evaluate", *(one.verb for one in MEASUREMENTS))
_PHASES = (("data",), ("text_pair",), ("train",), _MEASURED)
"""Verbs whose results are adopted; hashes of earlier verbs are part of later verbs' hashes."""
_HASH = {"train": "run", "evaluate": "evaluation"}
"""Name of the hash of a verb's own phase, where it is not the verb's."""
_WITHOUT_EFFECT = {
    "report": ("confidence", "scenes"),
    "train": TRAINING_WITHOUT_EFFECT,
    "data": ("cache",),
}
"""Params that change no result, by section."""


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
        _require_one_training(candidate, layout)
    comparisons = []
    for commit in dict.fromkeys(candidate.commit for candidate in candidates):
        plan = plan_steps(layout, ((c.job, c.of) for c in candidates if c.commit == commit), steps)
        compare(file, commit, plan, steps)
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
    if git("cat-file", "-e", f"{candidate.commit}^{{commit}}") is None:
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
                f"{where}: made with {key} {to_json(before.get(key))}, and the params say "
                f"{to_json(after.get(key))}: other params, not only other code; make it again"
            )


def _decisive(params: dict[str, Any]) -> dict[str, Any]:
    """Return the params without those that change no result."""
    kept: dict[str, Any] = from_json(to_json(params))
    for section, names in _WITHOUT_EFFECT.items():
        for name in names if isinstance(kept.get(section), dict) else ():
            kept[section].pop(name, None)
    return kept


def _require_one_training(candidate: Candidate, layout: Layout) -> None:
    """Refuse an evaluation of another training than the recorded one of its run."""
    run = candidate.of
    if candidate.job.verb != "evaluate" or not isinstance(run, Run):
        return
    trained = read_record(layout.record("train", run))
    evaluated = candidate.record.hashes["run"]
    if trained is None or trained.hashes["run"] != evaluated:
        recorded = trained.hashes["run"] if trained else "none"
        raise DejaVuError(
            f"{candidate.job.record}: evaluates run {evaluated}, but the recorded training is "
            f"{recorded}; evaluate it again (`snakemake`)"
        )


def _comparison(commit: str, now: str, plan: list[Step]) -> Comparison:
    return Comparison(
        recorded=commit,
        adopted_by=now,
        compared=[step["name"] for step in plan],
        processor=read_hardware().processor,
        versions=read_versions(),
    )


def _write(layout: Layout, comparisons: list[Comparison]) -> dict[str, int]:
    """Write the adopted hashes, phase by phase: a phase's hashes may be part of later hashes.

    All are written or, after an error, none.
    """
    study = layout.params.study
    file, before = adopted_file(study), read_adopted(study)
    counts: dict[str, int] = {}
    hashes, code = dict(before.hashes), dict(before.code)
    present = phase_codes(layout.params, adopted=False)
    old = file.read_text(encoding="utf-8") if file.exists() else None
    try:
        for verbs in _PHASES:
            candidates = [c for c in find_candidates(layout) if c.job.verb in verbs]
            for candidate in candidates:
                verb = candidate.job.verb
                counts[verb] = counts.get(verb, 0) + 1
                _alias(candidate, hashes)
                _alias_code(candidate, present, code)
            _save(study, Adopted(hashes=hashes, code=code, comparisons=before.comparisons))
    except DejaVuError:
        file.unlink(missing_ok=True) if old is None else write_text(file, old)
        raise
    comparisons = [*before.comparisons, *comparisons]
    _save(study, Adopted(hashes=hashes, code=code, comparisons=comparisons))
    return counts


def _alias(candidate: Candidate, hashes: dict[str, str]) -> None:
    """Map a result's present hash to its recorded one."""
    name = _HASH.get(candidate.job.verb, candidate.job.verb)
    present, recorded = candidate.job.hashes[name], candidate.record.hashes[name]
    if present != recorded and hashes.setdefault(present, recorded) != recorded:
        raise DejaVuError(
            f"{candidate.job.record}: {name} {recorded}, but results of other code share its "
            f"present hash {present}; make them again together"
        )


def _alias_code(candidate: Candidate, codes: Codes, code: dict[str, str]) -> None:
    """Map the present code hash of a phase to the one in DVC's stages when its result was made."""
    stage, name = _phase(candidate)
    present = codes[stage][name]
    recorded = _recorded_codes(candidate.commit).get(stage, {}).get(name, present)
    if recorded == present:
        code.pop(present, None)
    else:
        code[present] = recorded


@cache
def _recorded_codes(commit: str) -> Codes:
    """Read the file of code hashes as it was in a commit; none where it was not there."""
    text = git("show", f"{commit}:{PHASES_FILE}")
    codes: Codes = from_json(text) if text else {}
    return codes


def _phase(candidate: Candidate) -> tuple[str, str]:
    """Return the stage and the name of a result's phase in the file of code hashes."""
    verb, of = candidate.job.verb, candidate.of
    if isinstance(of, Run):
        cell = f"{of.task} {of.network} {of.method}"
        return ("train", cell) if verb == "train" else ("report", f"{verb} {of.task}")
    if of is None:
        return ("data" if verb == "data" else "train"), verb
    return "report", f"{verb} {of}"


def _save(study: str, adopted: Adopted) -> None:
    write_text(adopted_file(study), adopted.model_dump_json(indent=1) + "\n")
