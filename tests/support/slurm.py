"""A real Slurm of one node on this machine, for the time of a test."""

import os
import platform
import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from time import monotonic, sleep

DAEMONS = ("munged", "slurmctld", "slurmd")
# Jobs find no other place: an environment variable that names one does not reach them.
ETC = Path("/etc/slurm")
# Without accounting, with a key of its own for munge, and with two files that stand for GPUs.
CONFIG = """\
ClusterName=test
SlurmUser=root
SlurmctldHost={node}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
AuthInfo=socket={folder}/munge.socket
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
SchedulerParameters=batch_sched_delay=0,sched_interval=1
GresTypes=gpu
NodeName={node} NodeAddr=127.0.0.1 CPUs={cpus} RealMemory={memory} Gres=gpu:2
PartitionName=test Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""
DEVICES = "Name=gpu File=/dev/null\nName=gpu File=/dev/zero\n"


def why_not() -> str:
    """What this machine lacks to start a Slurm; empty if nothing."""
    missing = [name for name in (*DAEMONS, "sbatch") if not shutil.which(name, path=_path())]
    if missing:
        return f"{', '.join(missing)} not installed"
    return "" if os.geteuid() == 0 else "only root can start Slurm's daemons"


@contextmanager
def cluster(folder: Path) -> Iterator[None]:
    """Run Slurm while the block runs; state, key and logs are in the folder."""
    with ExitStack() as stack:
        for name, text in (("slurm.conf", _config(folder)), ("gres.conf", DEVICES)):
            stack.enter_context(_replaced(ETC / name, text, folder / f"{name}.before"))
        for command in _commands(folder):
            stack.enter_context(_running(command))
            if command[0] == "munged":  # the others ask it at once
                _wait_for((folder / "munge.socket").exists, "munged", folder)
        _wait_for(lambda: ask("sinfo", "-h", "-o", "%T") == "idle", "the node", folder)
        try:
            yield
        finally:  # jobs outlive the daemons
            ask("scancel", "--user=root")
            _wait_for(lambda: not ask("squeue", "-h"), "an empty queue", folder)


def ask(*command: str) -> str:
    """What a Slurm command answers, its errors left out."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.strip()


def jobs() -> list[dict[str, str]]:
    """What Slurm knows of every job, finished ones too, oldest first."""
    rows = ask("scontrol", "show", "job", "-o").splitlines()
    return [dict(word.partition("=")[::2] for word in row.split()) for row in rows]


def _path() -> str:
    """Daemons are in sbin, which PATH may lack."""
    return os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin"])


def _config(folder: Path) -> str:
    for name in ("state", "spool"):
        (folder / name).mkdir(parents=True)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**20
    return CONFIG.format(
        node=platform.node().partition(".")[0],
        folder=folder,
        ports=_free_ports(),
        cpus=os.cpu_count(),
        memory=memory * 9 // 10,  # MiB; a node with less than it claims is refused
    )


def _commands(folder: Path) -> list[list[str]]:
    key = folder / "munge.key"
    key.write_bytes(os.urandom(128))
    key.chmod(0o400)
    files = {"key-file": key} | {
        f"{name}-file": folder / f"munged.{name}" for name in ("pid", "log", "seed")
    }
    # Forced: root, and a key in a folder that others may enter.
    munge = ["munged", "--foreground", "--force", f"--socket={folder}/munge.socket"]
    munge += [f"--{option}={path}" for option, path in files.items()]
    return [munge, ["slurmctld", "-D"], ["slurmd", "-D"]]


@contextmanager
def _replaced(path: Path, text: str, before: Path) -> Iterator[None]:
    """Write a file; afterwards what was there is back."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists():
        shutil.move(path, before)
    path.write_text(text)
    try:
        yield
    finally:
        path.unlink()
        if before.exists():
            shutil.move(before, path)


@contextmanager
def _running(command: list[str]) -> Iterator[None]:
    program = shutil.which(command[0], path=_path())
    daemon = subprocess.Popen(
        command, executable=program, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        yield
    finally:
        daemon.terminate()
        try:
            daemon.wait(10)
        except subprocess.TimeoutExpired:
            daemon.kill()
            daemon.wait()


def _wait_for(ready: Callable[[], bool], who: str, folder: Path) -> None:
    end = monotonic() + 30
    while not ready():
        logs = [path.read_text(errors="replace")[-2000:] for path in folder.glob("*log")]
        assert monotonic() < end, f"{who} is not ready:\n" + "\n".join(logs)
        sleep(0.1)


def _free_ports() -> list[int]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(2)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
