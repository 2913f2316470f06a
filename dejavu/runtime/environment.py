"""What a program ran on: the commit of its code, versions of packages, the machine."""

import os
import platform
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from pydantic import BaseModel, Field

_ROOT = Path(__file__).parents[2]
_CODE = ("dejavu", "params")
_PATIENCE = 20.0
"""Seconds until another program's answer is given up."""
PACKAGES = (
    *("dejavu-dense", "torch", "torchvision", "numpy", "scipy", "pandas", "matplotlib", "seaborn"),
    *("scikit-image", "pillow", "h5py", "safetensors", "torchmetrics", "lightning"),
    *("timm", "segmentation-models-pytorch", "open_clip_torch", "pydantic", "snakemake", "dvc"),
)
"""Packages that can change a result, or that say how it was made; those installed are recorded."""


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
    """Ask git for the commit of a working tree.

    Args:
        root: top of the tree; an installed package's folder is none, though it may lie in one.
    """
    unknown = Commit(commit="unknown", dirty=None)
    if not (root / ".git").exists():
        return unknown
    # Without locks: a look must not be in the way of someone's `git commit`.
    command = ["git", "--no-optional-locks", "-C", str(root), "status", "--porcelain=v2"]
    try:
        said = subprocess.check_output(
            [*command, "--branch", "--", *_CODE],
            text=True,
            stderr=subprocess.DEVNULL,
            timeout=_PATIENCE,
        )
    except (OSError, subprocess.SubprocessError):
        return unknown
    lines = said.splitlines()
    heads = [line.split()[-1] for line in lines if line.startswith("# branch.oid ")]
    if heads in ([], ["(initial)"]):
        return unknown
    return Commit(commit=heads[0], dirty=any(not line.startswith("#") for line in lines))


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
    """Describe this machine as this process may use it; torch is asked where it is loaded.

    Example:
        >>> read_hardware().cores >= 1
        True
    """
    torch = sys.modules.get("torch")  # a verb that computes nothing with it need not load it
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
    """Name the CPU's model; Linux says it in a file, if at all."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return next(iter(models), platform.processor() or platform.machine())


def _driver() -> str | None:
    """Ask nvidia-smi, which may be missing, or hang when a device is lost."""
    query = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        said = subprocess.check_output(
            query, text=True, stderr=subprocess.DEVNULL, timeout=_PATIENCE
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return next(iter(said.split()), None)
