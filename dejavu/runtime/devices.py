"""Leases of GPUs for jobs, by kernel locks that end with the process, even if it is killed.

Snakemake counts devices but assigns none. So each computing job locks one slot of every device it
uses, in a folder shared by all of a user's checkouts on a machine, and restricts CUDA to these
devices. Devices are identified by the UUIDs that nvidia-smi lists; neither torch nor CUDA is
queried, because CUDA reads ``CUDA_VISIBLE_DEVICES`` only once, when it starts. Without a device
nothing is leased, and torch computes on whatever it finds, usually the CPU.
"""

import os
import re
import shlex
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from itertools import product, takewhile
from pathlib import Path

from dejavu.runtime.errors import DejaVuError
from dejavu.runtime.locks import lock, open_by_name

VARIABLE = "CUDA_VISIBLE_DEVICES"
"""Environment variable that lists the devices CUDA may use, by index, UUID or start of a UUID."""

_LINE = re.compile(r"(?:GPU (?P<index>\d+):|\s+MIG ).*\(UUID: (?P<uuid>\S+)\)")
_POLL = 0.5
_PATIENCE = 10.0
_ANSWER = 60.0
"""Seconds between attempts to lease, until a wait is reported, and until nvidia-smi times out (it
may hang when a device is lost)."""


def visible_devices() -> list[str]:
    """List the devices that this process may use, as CUDA would order them.

    The devices of ``nvidia-smi -L``, restricted to ``CUDA_VISIBLE_DEVICES`` if that is set; a GPU
    that is split is replaced by its MIG instances. Unknown names are skipped, and names after an
    empty or negative one are ignored. Without nvidia-smi, the names in the variable are trusted.

    Returns:
        UUIDs without duplicates; empty if the job computes on the CPU.
    """
    names = _named()
    if names == []:
        return []
    listed = _listed()
    if listed is None:
        devices = [n for n in names or () if n.isdigit() or n.startswith(("GPU-", "MIG-"))]
    elif names is None:
        devices = [device for _, _, device in listed]
    else:
        devices = [
            device
            for name in names
            for index, gpu, device in listed
            if name == index or gpu.startswith(name) or device.startswith(name)
        ]
    return list(dict.fromkeys(devices))


@contextmanager
def leased_devices(count: int = 1, slots: int = 1) -> Iterator[list[str]]:
    """Lease devices for a block, hide all others from CUDA, and yield the leased UUIDs.

    Waits until enough devices are free, and takes the least occupied. Jobs that share devices and
    jobs that need them alone wait for each other. Without a device the list is empty, and the job
    computes on the CPU. Enter the block before CUDA starts in this process.

    Args:
        count: devices to lease, at least 1.
        slots: jobs that may share a device, this one included, at least 1.

    Raises:
        ValueError: an argument is below 1.
        DejaVuError: there are devices, but fewer than ``count``; or others can write into the
            folder of the lock files, or its file system has no locks.
        OSError: the folder of the lock files cannot be written.

    Example:
        >>> with leased_devices() as devices:
        ...     len(devices) <= 1
        True
    """
    if min(count, slots) < 1:
        raise ValueError(f"count and slots must be 1 or more, got {count} and {slots}")
    devices = visible_devices()
    if not devices:
        yield []
        return
    if len(devices) < count:
        raise DejaVuError(
            f"{count} devices are needed, but only {len(devices)} found ({', '.join(devices)}): "
            f"lower train.processes, or list more in {VARIABLE}"
        )
    leased, locks = _wait(devices, count, slots)
    before = os.environ.get(VARIABLE)
    with locks:
        os.environ[VARIABLE] = ",".join(leased)
        try:
            yield leased
        finally:
            os.environ.pop(VARIABLE, None)
            if before is not None:
                os.environ[VARIABLE] = before


def _named() -> list[str] | None:
    """Return the names in the variable up to an empty or a negative one; None if it is unset."""
    value = os.environ.get(VARIABLE)
    if value is None:
        return None
    names = [name.strip() for name in value.split(",")]
    return [*takewhile(lambda name: name and not name.startswith("-"), names)]


def _listed() -> list[tuple[str, str, str]] | None:
    """Return (GPU index, GPU UUID, device UUID) of each device; None without nvidia-smi."""
    try:
        done = subprocess.run(
            ["nvidia-smi", "-L"], capture_output=True, text=True, check=False, timeout=_ANSWER
        )
    except OSError:
        return None
    except subprocess.TimeoutExpired:
        return _none(f"no answer in {_ANSWER:.0f} s")
    # The exit code is ignored: when one device is lost, nvidia-smi may still list the others.
    devices: list[tuple[str, str, str]] = []
    index = gpu = ""
    for line in done.stdout.splitlines():
        found = _LINE.match(line)
        if found and found["index"]:
            index, gpu = found["index"], found["uuid"]
            devices.append((index, gpu, gpu))
        elif found:
            whole = (index, gpu, gpu)
            devices = [device for device in devices if device != whole]
            devices.append((index, gpu, found["uuid"]))
    return devices or _none(" ".join((done.stdout + done.stderr).split()))


def _none(reason: str) -> list[tuple[str, str, str]]:
    print(f"dejavu: nvidia-smi lists no device ({reason}): none is leased", file=sys.stderr)
    return []


def _wait(devices: list[str], count: int, slots: int) -> tuple[list[str], ExitStack]:
    """Lease devices as soon as enough are free; after a while, print their holders."""
    started, told = time.monotonic(), False
    while (lease := _lease(devices, count, slots)) is None:
        if not told and time.monotonic() - started >= _PATIENCE:
            holders = "; ".join(_holders(devices))
            print(f"dejavu: waiting for {count} of the devices: {holders}", file=sys.stderr)
            told = True
        time.sleep(_POLL)
    return lease


def _lease(devices: list[str], count: int, slots: int) -> tuple[list[str], ExitStack] | None:
    """Lock a slot on each of ``count`` devices, or none at all."""
    leased: list[str] = []
    with open_by_name(_path("gate")) as gate, ExitStack() as locks:
        # One job searches at a time, so that two jobs with several devices each cannot deadlock.
        lock(gate, wait=True)
        for slot, device in product(range(slots), devices):
            if device not in leased and (slot_lock := _lock(device, slot, slots > 1)):
                locks.enter_context(slot_lock)
                leased.append(device)
            if len(leased) == count:
                return leased, locks.pop_all()
    return None


def _lock(device: str, slot: int, shared: bool) -> ExitStack | None:
    """Lock a device (shared or exclusively) and one of its slots; None if either is taken."""
    with ExitStack() as locks:
        for name, is_shared in ((device, shared), (f"{device}.{slot}", False)):
            file = locks.enter_context(open_by_name(_path(name)))
            if not lock(file, is_shared):
                return None
        file.truncate(0)
        file.write(f"process {os.getpid()} ({shlex.join(sys.argv[1:])})")
        file.flush()
        return locks.pop_all()
    return None


def _holders(devices: list[str]) -> Iterator[str]:
    """Yield the holder of each locked slot, as text."""
    for device in devices:
        for path in sorted(_path(device).parent.glob(f"{_path(device).name}.*")):
            with path.open(encoding="utf-8") as file:
                if not lock(file, shared=True):
                    yield f"{device} is held by {file.read()}"


def _path(name: str) -> Path:
    return _folder() / name.replace("/", "_")


def _folder() -> Path:
    """Return the folder of the lock files; everybody can guess its name, so it is checked.

    Not in XDG_RUNTIME_DIR, which jobs of a scheduler do not share with a login, and which is
    removed at the end of the last login, while a job that nohup protects still holds its lease.

    Raises:
        DejaVuError: others could have put it there, or can write into it.
    """
    folder = Path(tempfile.gettempdir()) / f"dejavu-devices-{os.getuid()}"
    with suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    found = folder.lstat()
    if not (stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid()) or found.st_mode & 0o077:
        raise DejaVuError(
            f"{folder}: the leases of devices need a folder that is yours, with access for nobody "
            "else (mode 0700), and no link; remove this one, or set TMPDIR to a folder of your own"
        )
    return folder
