"""The environment of a program: commit of the code, versions of packages, hardware."""

import os
import platform
import shlex
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from pydantic import BaseModel, Field

_ROOT = Path(__file__).parents[2]
_CODE = ("dejavu", "params")
_PATIENCE = 20.0
"""Timeout of other programs, seconds."""
PACKAGES = (
    *("dejavu-dense", "torch", "torchvision", "numpy", "scipy", "pandas", "matplotlib", "seaborn"),
    *("scikit-image", "pillow", "h5py", "safetensors", "torchmetrics", "lightning"),
    *("timm", "segmentation-models-pytorch", "open_clip_torch", "pydantic", "snakemake", "dvc"),
)
"""Packages that can affect or explain a result; the versions of those installed are recorded."""


class Commit(BaseModel, frozen=True, extra="forbid"):
    """The state of the code in git."""

    commit: str = Field(description="commit that was checked out, or unknown outside git")
    dirty: bool | None = Field(
        description="whether dejavu/ or params/ held changes that are in no commit; null: unknown"
    )


class Hardware(BaseModel, frozen=True, extra="forbid"):
    """The machine that a process ran on."""

    system: str = Field(description="operating system")
    processor: str = Field(description="model of the CPU")
    cores: int = Field(description="cores that the process could use")
    threads: int | None = Field(description="threads that torch computed with; null: no torch")
    gpus: list[str] = Field(description="models of the GPUs that the process could use")
    driver: str | None = Field(description="version of the NVIDIA driver; null: no such GPU")


def read_commit(root: Path = _ROOT) -> Commit:
    """Read the commit of a working tree from git; print why, if git refuses or is missing.

    Args:
        root: top of the tree; an installed package's folder is not one, even inside a repository.
    """
    unknown = Commit(commit="unknown", dirty=None)
    if not (root / ".git").exists():
        return unknown
    # Without locks, so as not to block a concurrent `git commit`.
    command = ["git", "--no-optional-locks", "-C", str(root), "status", "--porcelain=v2"]
    try:
        said = subprocess.check_output(
            [*command, "--branch", "--", *_CODE],
            encoding="utf-8",
            errors="replace",
            stderr=subprocess.PIPE,
            timeout=_PATIENCE,
        )
    except (OSError, subprocess.SubprocessError) as error:
        print(f"dejavu: no commit is recorded: {_why_no_commit(error, root)}", file=sys.stderr)
        return unknown
    lines = said.splitlines()
    heads = [line.split()[-1] for line in lines if line.startswith("# branch.oid ")]
    if heads in ([], ["(initial)"]):
        return unknown
    return Commit(commit=heads[0], dirty=any(not line.startswith("#") for line in lines))


def _why_no_commit(error: OSError | subprocess.SubprocessError, root: Path) -> str:
    if isinstance(error, OSError):
        return "git is not installed"
    said = str(getattr(error, "stderr", None) or error).strip()
    if "dubious ownership" in said:
        return (
            f"git does not trust {root}, which another user owns; to trust it: "
            f"git config --global --add safe.directory {shlex.quote(str(root))}"
        )
    return next(iter(said.splitlines()))


def read_versions() -> dict[str, str]:
    """Return the versions of Python and of the installed packages among `PACKAGES`.

    Example:
        >>> "torch" in read_versions()
        True
    """
    versions = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    return versions


def read_hardware() -> Hardware:
    """Describe the hardware available to this process; threads and GPUs only if torch is loaded.

    Example:
        >>> read_hardware().cores >= 1
        True
    """
    torch = sys.modules.get("torch")  # not imported here: some commands run without torch
    gpus = []
    if torch and torch.cuda.is_available():
        gpus = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    return Hardware(
        system=platform.platform(),
        processor=_processor(),
        cores=len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1,
        threads=torch.get_num_threads() if torch else None,
        gpus=gpus,
        driver=_driver() if gpus else None,
    )


def _processor() -> str:
    """Return the model of the CPU, on Linux from /proc/cpuinfo if it is listed there."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return next(iter(models), platform.processor() or platform.machine())


def _driver() -> str | None:
    """Read the driver version by nvidia-smi, which may be missing, or hang if a device is lost."""
    query = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        said = subprocess.check_output(
            query, text=True, stderr=subprocess.DEVNULL, timeout=_PATIENCE
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return next(iter(said.split()), None)
