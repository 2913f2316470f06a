"""kill -9, dozens of times at random moments; by hand: `make soak`.

Victims are a training process alone, Snakemake alone (its jobs live on), `dvc repro` alone (its
Snakemake lives on), and all of them. After each kill the same commands are given again, and
nothing else is done. What must hold: no run is trained by two processes at once, no training
falls back behind its last resume state, and the checkpoints and numbers are, byte for byte, those
of a study that nobody killed.
"""

import math
import os
import random
import shutil
import signal
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryFile

import pytest

from tests.support.pipeline import ENVIRONMENT, clone, run, write_study
from tests.support.studies import TINY

pytestmark = pytest.mark.soak
SEED = int(os.environ.get("DEJAVU_SOAK_SEED", "1"))
KILLS = int(os.environ.get("DEJAVU_SOAK_KILLS", "52"))
EVERY = 5
COMMANDS = {"snakemake": ["snakemake", "--cores", "2"], "dvc": ["dvc", "repro"]}
# How /proc shows their command lines.
VICTIMS = {"training": "-m dejavu train", "snakemake": "/snakemake --cores", "dvc": "/dvc repro"}
REFUSED = "another run is at work in this folder"


def processes(tree: Path) -> dict[int, str]:
    """Processes that work in a tree, with their command lines; the oldest first."""
    found = {}
    for process in sorted(int(p.name) for p in Path("/proc").iterdir() if p.name.isdigit()):
        try:
            if Path(f"/proc/{process}/cwd").readlink() == tree:
                line = Path(f"/proc/{process}/cmdline").read_text()
                found[process] = line.replace("\0", " ").strip()
        except OSError:  # it ended meanwhile
            continue
    return {process: line for process, line in found.items() if line}  # no zombies


def seconds_used(tree: Path) -> float:
    """CPU seconds of the processes of a tree: the soak's clock, the same on a busy machine."""
    ticks = 0
    for process in processes(tree):
        try:
            fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        ticks += sum(map(int, fields[11:15]))  # its own, and those of children that it waited for
    return ticks / os.sysconf("SC_CLK_TCK")


@dataclass
class Watch:
    """Looks at every run's log many times a second: who has it open, and how far it is."""

    tree: Path
    problems: set[str] = field(default_factory=set)
    looks: int = 0
    reached: Counter[Path] = field(default_factory=Counter)
    lock: threading.Lock = field(default_factory=threading.Lock)
    end: threading.Event = field(default_factory=threading.Event)

    def watch(self) -> None:
        while not self.end.wait(0.05):
            try:
                with self.lock:
                    self.look()
            except Exception as error:  # a watchman who sleeps must be noticed, too
                self.problems.add(repr(error))

    def look(self) -> None:
        self.looks += 1
        writers = Counter(log for process in processes(self.tree) for log in opened_logs(process))
        self.problems |= {f"{n} processes train {log}" for log, n in writers.items() if n > 1}
        for log in self.tree.glob(".runs/*/log.jsonl"):
            self.look_at(log)

    def look_at(self, log: Path) -> None:
        lines = log.read_bytes().count(b"\n")
        if lines < self.reached[log]:
            self.problems.add(f"{log}: fell back to step {lines} of {self.reached[log]}")
        # A resume state is written just after its lines: the last may not be there yet.
        self.reached[log] = max(self.reached[log], (lines // EVERY - 1) * EVERY)

    def empty(self) -> None:
        """Remove all that was made, to begin the study anew."""
        with self.lock:
            for folder in ("results", "data/default", ".runs", ".snakemake", "logs"):
                shutil.rmtree(self.tree / folder, ignore_errors=True)
            (self.tree / "dvc.lock").unlink(missing_ok=True)
            self.reached.clear()


@contextmanager
def watching(tree: Path) -> Iterator[Watch]:
    watch = Watch(tree)
    thread = threading.Thread(target=watch.watch)
    thread.start()
    try:
        yield watch
    finally:
        watch.end.set()
        thread.join()


def opened_logs(process: int) -> set[Path]:
    """Training logs that a process has open."""
    with suppress(OSError):
        files = [file.readlink() for file in Path(f"/proc/{process}/fd").iterdir()]
        return {file for file in files if file.match(".runs/*/log.jsonl")}
    return set()


def make_study(folder: Path) -> Path:
    tree = clone(folder)
    shutil.rmtree(tree / "results")
    (tree / "dvc.lock").unlink()
    train = TINY["train"] | {"steps": 150, "log_every": 1, "checkpoint_every": EVERY}
    methods = {name: TINY["methods"][name] for name in ("baseline", "dejavu-spatial")}
    write_study(tree, tasks=["depth"], methods=methods, train=train)
    run(tree, "git", "add", "-A")
    run(tree, "git", "commit", "-q", "-m", "a study whose training takes some seconds")
    return tree


def results(tree: Path) -> dict[str, bytes]:
    folder = tree / "results/default"
    files = [*folder.rglob("*.safetensors"), folder / "metrics/runs.csv"]
    return {str(file.relative_to(folder)): file.read_bytes() for file in sorted(files)}


def kill(tree: Path, victim: str) -> bool:
    """Kill the newest process of a kind, or all; return whether there was one."""
    alive = processes(tree)
    chosen = [*alive]
    if victim != "group":
        chosen = [p for p, line in alive.items() if VICTIMS[victim] in f"/{line}"][-1:]
    for process in chosen:
        with suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)
    return bool(chosen)


def attempt(tree: Path, name: str, victim: str, moment: float) -> tuple[int | None, str]:
    """Give a command; kill after so many CPU seconds. Return its exit (None: killed), its words."""
    start = seconds_used(tree)
    with TemporaryFile("w+") as output:
        command = subprocess.Popen(
            COMMANDS[name], cwd=tree, env=ENVIRONMENT, stdout=output, stderr=subprocess.STDOUT
        )
        killed = False
        while command.poll() is None and not killed:
            time.sleep(0.05)
            killed = seconds_used(tree) - start > moment and kill(tree, victim)
        command.wait()
        output.seek(0)
        return None if killed else command.returncode, output.read()


def settle(tree: Path) -> None:
    """Wait for what still works there without its Snakemake."""
    while processes(tree):
        time.sleep(0.5)


def test_kills(tmp_path: Path) -> None:
    print(f"\nDEJAVU_SOAK_SEED={SEED} DEJAVU_SOAK_KILLS={KILLS}", flush=True)
    draw = random.Random(SEED)
    tree = make_study(tmp_path / "tree")
    run(tree, "dvc", "repro")
    expected = results(tree)
    kills: Counter[str] = Counter()
    refused = finished = 0
    with watching(tree) as watch:
        watch.empty()
        while kills.total() < KILLS or not finished:
            victim = draw.choice([*VICTIMS, "group"])
            name = "dvc" if victim == "dvc" else draw.choice([*COMMANDS])
            moment = draw.uniform(1, 30) if kills.total() < KILLS else math.inf
            exit_code, said = attempt(tree, name, victim, moment)
            ended = f"killed {victim}" if exit_code is None else f"exit {exit_code}"
            print(f"{kills.total():3} {moment:5.1f} s {name:>9}: {ended}", flush=True)
            assert not watch.problems
            if exit_code is None:
                kills[victim] += 1
                finished = 0
            elif exit_code:
                assert REFUSED in " ".join(said.split()), said
                refused += 1
                time.sleep(1)
            else:
                settle(tree)
                assert results(tree) == expected
                finished += 1
                if kills.total() < KILLS:
                    watch.empty()
    print(f"{dict(kills)}, {refused} refused, {watch.looks} looks", flush=True)
    run(tree, "dvc", "repro")
    assert "up to date" in run(tree, "dvc", "status")
    assert not [*tree.glob("results/**/.*.tmp")]
