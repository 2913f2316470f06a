# What all phases share: the study's params, the hashes that decide staleness, the environment.
import os
import platform
import re
import shutil
import sys
import tempfile
from pathlib import Path

from snakemake.exceptions import WorkflowError
from snakemake.settings.types import DeploymentMethod

# The package beside this workflow, whichever one the environment has.
sys.path.insert(0, workflow.basedir)

from dejavu.config import load_params
from dejavu.datasets.reading.roots import ROOT_VARIABLE, use_root
from dejavu.runtime.devices import visible_devices
from dejavu.runtime.environment import read_commit
from dejavu.runtime.errors import DejaVuError
from dejavu.runtime.locks import lock, open_by_name
from dejavu.study.jobs import JOBS
from dejavu.study.layout import Layout
from dejavu.study.measurements import MEASUREMENTS
from dejavu.study.stale import Records

# Rules call the `python` that runs Snakemake, whether or not its environment was activated.
os.environ.update(
    PATH=os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
)
# Snakemake's solver writes where TMPDIR says; Python has tried whether that is missing or full.
if "TMPDIR" in os.environ:
    os.environ.update(TMPDIR=tempfile.gettempdir())


def gpus_of_a_job():
    """As DEJAVU_GPU says, 1 or 0; where it is not set, 1 if this machine has a GPU.

    The login node of a cluster often has none while its nodes do.
    """
    said = os.environ.get("DEJAVU_GPU") or str(int(bool(visible_devices())))
    if said not in ("0", "1"):
        raise WorkflowError(f"DEJAVU_GPU is 1 where jobs use a GPU and 0 where not, got {said!r}")
    return int(said)


GPU = gpus_of_a_job()
ENVIRONMENT = "../envs/cuda.yaml" if GPU else "../envs/cpu.yaml"


def announce(message):
    """Say one line to the person who waits."""
    print(f"dejavu: {message}", file=sys.stderr)


def tell_of_guessed_gpu():
    """Jobs that run elsewhere must not train on CPUs only because this machine has no GPU."""
    if not (GPU or workflow.local_exec or os.environ.get("DEJAVU_GPU")):
        announce(
            "no GPU here, so no job asks the cluster for one: set DEJAVU_GPU=1 where its nodes "
            "have GPUs, DEJAVU_GPU=0 to train on CPUs"
        )


def tell_of_unknown_commit():
    """Results are to know the code that made them: git's trouble is said now, not in logs alone."""
    if read_commit().commit == "unknown" and not Path(workflow.basedir, ".git").exists():
        announce("no git repository here, so no commit is recorded with the results")


def read_study():
    """Load the one study file: --configfile, or the default.

    Its path stands relative to the working directory, so that it is the same for everyone.
    """
    files = [Path(file) for file in workflow.configfiles] or [Path("params/default.yaml")]
    given = dict(workflow.config_settings.config)
    given.pop("root", None)
    if len(files) > 1 or given:
        raise WorkflowError(
            "a study is one complete params file: give a single --configfile and no --config but "
            "root=DIR, the folder of its data set; to change a value, change it in a copy of the "
            "file"
        )
    try:
        use_root(given_root())
        return os.path.relpath(files[0]), Layout(load_params(files[0]))
    except DejaVuError as error:
        raise WorkflowError(f"wrong params: {error}") from None


def given_root():
    """Return the folder in --config root=DIR as it was typed, or None.

    Snakemake reads the values of --config as YAML: 2024_05 as a number, what follows a # as a
    comment.
    """
    entries = dict(entry.split("=", 1) for entry in workflow.config_settings.config_args or ())
    return entries.get("root")


def fall_back_without_conda():
    """Without a conda, --use-conda means the active environment: say so instead of failing."""
    methods = workflow.deployment_settings.deployment_method
    if DeploymentMethod.CONDA in methods and not shutil.which("conda"):
        announce("no conda on PATH: --use-conda is set aside and the active environment is used")
        workflow.deployment_settings.deployment_method = methods - {DeploymentMethod.CONDA}


def refuse_names():
    """Refuse names that Snakemake cannot take, before any job.

    The rules quote what they say to the shell. Snakemake does not, where it starts a job on a
    cluster or activates a conda environment.
    """
    folders = {"the folder of this tree": str(workflow.basedir), "this folder": os.getcwd()}
    names = folders | {"the params file": PARAMS_FILE}
    strict = not workflow.local_exec or (
        DeploymentMethod.CONDA in workflow.deployment_settings.deployment_method
    )
    if strict:
        names[f"the folder of the data ({ROOT_VARIABLE})"] = os.environ.get(ROOT_VARIABLE, "")
        names["the Python that runs Snakemake"] = sys.executable
    for what, name in names.items():
        if not name.isprintable():
            wrong = "characters that cannot be printed"
        elif what in folders and re.search("[{}]", name):
            wrong = "braces, which Snakemake takes for wildcards"
        elif strict and not re.fullmatch(r"[\w@%+=:,./~ -]*", name):
            wrong = "characters that a shell on a cluster or a conda environment would interpret"
        else:
            continue
        raise WorkflowError(f"{what}, {name!r}, has {wrong} in its name: rename it")


def refuse_default_storage():
    """With a default storage provider, files would be where the study's commands do not look."""
    if provider := workflow.storage_settings.default_storage_provider:
        raise WorkflowError(
            f"--default-storage-provider {provider} does not work here, because the study's "
            "commands name their files themselves: keep the tree on a file system that all nodes "
            "share, and its files in object storage with DVC (docs/storage.md)"
        )


def refuse_second_run():
    """Hold a kernel lock while this process lives; a kill lets go of it."""
    global _run_lock
    Path(".snakemake").mkdir(exist_ok=True)
    try:
        _run_lock = open_by_name(Path(".snakemake/dejavu.lock"))
        is_held = not lock(_run_lock)
    except DejaVuError as error:
        raise WorkflowError(str(error)) from None
    if is_held:
        _run_lock.seek(0)
        raise WorkflowError(
            f"another run is at work in this folder ({_run_lock.read().strip()}): wait for it, or "
            "stop it"
        )
    _run_lock.truncate(0)
    print(f"process {os.getpid()} on {platform.node()}", file=_run_lock, flush=True)


def what_was_asked():
    """Name the pages to read, where this command made them or found them current; else its goals."""
    if last := workflow.dag_settings.until:
        return sorted(last)
    outputs = {file for job in workflow.dag.jobs for file in job.output}
    pages = [
        file for file in map(str, (LAYOUT.tables / "main.md", LAYOUT.report)) if file in outputs
    ]
    return pages or sorted({str(job.rule) for job in workflow.dag.targetjobs})


def why_it_ended():
    """Name the logs of the jobs that failed; without such a job, the run was stopped."""
    logs = [file for job in workflow.scheduler.failed for file in job.log]
    if not logs or getattr(workflow.scheduler, "_user_kill", None):  # SIGTERM may reach jobs, too
        return "stopped before its end: the same command continues"
    empty = [log for log in logs if not (os.path.exists(log) and os.path.getsize(log))]
    killed = f"; without a word, so killed (for its memory?): {', '.join(empty)}" if empty else ""
    return f"failed: what went wrong is in {', '.join(sorted(logs))}{killed}"


def memory_mb(rooms):
    """Memory of a job: what it takes on rooms; on images of any size, with their workers, more."""
    return rooms if IS_ROOMS else 8000 + 1500 * LAYOUT.params.train.workers


def reads(verb):
    """What a verb's rule reads.

    Snakemake's notes know what it made itself, not what was made by hand with other params, or was
    brought by git or DVC: where a job's record denies its results, the job is forced.
    """
    kind = JOBS[verb]

    def read(w):
        of = kind.of.named(LAYOUT, w)
        job = kind.job(LAYOUT, of)
        if RECORDS.deny(job):
            workflow.dag.forcefiles.update(map(str, job.outputs))
        return kind.reads(LAYOUT, of)

    return read


def writes(verb, category=None, **captions):
    """What a verb's rule writes, by name; what has a caption is shown in Snakemake's report."""
    files = JOBS[verb].patterns(LAYOUT)
    for name, caption in captions.items():
        files[name] = report(files[name], caption=f"../report/{caption}", category=category)
    return files


def params_file(wildcards):
    """The study's file as a rule's param; of a plain string, Snakemake fills the braces."""
    return PARAMS_FILE


def hashes(verb):
    """The params that make a verb's results stale, by name."""
    kind = JOBS[verb]

    def hashed(made):
        return lambda w: made(LAYOUT.params, kind.of.named(LAYOUT, w))

    return {name: hashed(made) for name, made in kind.hashes.items()}


def made(verb):
    """All files that the study's jobs of a verb write."""
    kind = JOBS[verb]
    return [[*kind.writes(LAYOUT, of).values()] for of in kind.every(LAYOUT)]


PARAMS_FILE, LAYOUT = read_study()
STUDY = LAYOUT.params.study
IS_ROOMS = LAYOUT.params.data.is_rooms
RECORDS = Records(LAYOUT)
fall_back_without_conda()
refuse_names()
refuse_default_storage()


wildcard_constraints:
    study=STUDY,
    task="|".join(LAYOUT.params.tasks),
    network="|".join(LAYOUT.params.networks),
    method="|".join(LAYOUT.params.methods),
    seed="[0-9]+",
