"""Leases of devices, taken and lost by real processes beside a stand-in for nvidia-smi."""

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dejavu.runtime import devices
from dejavu.runtime.devices import VARIABLE, leased_devices, visible_devices
from dejavu.runtime.errors import DejaVuError

Machine = Callable[[str], None]
Holder = Callable[..., "subprocess.Popen[str]"]
TWO = """\
GPU 0: NVIDIA H100 80GB HBM3 (UUID: GPU-aaaa0000-1111)
GPU 1: NVIDIA H100 80GB HBM3 (UUID: GPU-bbbb0000-2222)
"""
A, B = "GPU-aaaa0000-1111", "GPU-bbbb0000-2222"
SPLIT = """\
GPU 0: NVIDIA A100-SXM4-40GB (UUID: GPU-aaaa0000-1111)
  MIG 3g.20gb     Device  0: (UUID: MIG-cccc0000-3333)
  MIG 3g.20gb     Device  1: (UUID: MIG-GPU-aaaa0000-1111/2/0)
GPU 1: NVIDIA A100-SXM4-40GB (UUID: GPU-bbbb0000-2222)
"""
PARTS = ["MIG-cccc0000-3333", "MIG-GPU-aaaa0000-1111/2/0"]
HOLD = """
import sys, time
from dejavu.runtime.devices import leased_devices
count, slots, seconds = map(int, sys.argv[1:4])
with leased_devices(count, slots) as devices:
    assert "torch" not in sys.modules
    print(*devices, flush=True)
    time.sleep(seconds)
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Leases and nvidia-smi of this test alone; at first there is none."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.setattr(devices, "_POLL", 0.02)
    return tmp_path


@pytest.fixture
def machine(folder: Path) -> Machine:
    """Put an nvidia-smi on PATH that prints a given text."""

    def install(listed: str, code: int = 0) -> None:
        script = folder / "nvidia-smi"
        script.write_text(
            f"#!/bin/sh\n[ $1 = -L ] || exit 2\ncat <<'END'\n{listed}END\nexit {code}"
        )
        script.chmod(0o700)

    return install


@pytest.fixture
def holder(tmp_path: Path) -> Iterator[Holder]:
    """Start a process, in another folder, that leases devices; return once it holds them."""
    with ExitStack() as started:

        def hold(count: int = 1, slots: int = 1, seconds: int = 60) -> "subprocess.Popen[str]":
            arguments = map(str, (count, slots, seconds))
            process = started.enter_context(
                subprocess.Popen(
                    [sys.executable, "-c", HOLD, *arguments], stdout=subprocess.PIPE, text=True
                )
            )
            started.callback(process.kill)
            return process

        yield hold


def first_line(process: "subprocess.Popen[str]") -> list[str]:
    assert process.stdout is not None
    return process.stdout.readline().split()


def free(slots: int = 1) -> int:
    """Return how many more jobs could lease a device now."""
    with ExitStack() as held:
        for count in range(99):
            lease = devices._lease(visible_devices(), 1, slots)
            if lease is None:
                return count
            held.enter_context(lease[1])
    raise AssertionError


@pytest.mark.parametrize(
    ("listed", "named", "expected"),
    [
        (TWO, None, [A, B]),
        (TWO, "", []),
        (TWO, "-1", []),
        (TWO, "1", [B]),
        (TWO, "1, 0", [B, A]),
        (TWO, "1,-1,0", [B]),
        (TWO, "0,0", [A]),
        (TWO, f"{B},GPU-aaaa", [B, A]),
        (TWO, "7,1", [B]),
        (TWO, "NoDevFiles", []),
        (SPLIT, None, [*PARTS, B]),
        (SPLIT, "0", PARTS),
        (SPLIT, f"{PARTS[1]},1", [PARTS[1], B]),
        (SPLIT, "MIG-cccc", PARTS[:1]),
        ("No devices were found\n", None, []),
        ("No devices were found\n", "0", []),
    ],
)
def test_devices_are_those_of_the_machine_that_the_variable_names(
    listed: str,
    named: str | None,
    expected: list[str],
    machine: Machine,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    machine(listed)
    if named is not None:
        monkeypatch.setenv(VARIABLE, named)
    assert visible_devices() == expected


def test_without_nvidia_smi_the_variable_is_taken_at_its_word(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert visible_devices() == []
    monkeypatch.setenv(VARIABLE, f"3,{A},void,-1,4")
    assert visible_devices() == ["3", A]


@given(st.permutations(range(12)), st.integers(0, 12))
@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_indices_name_the_devices_that_stand_there(
    machine: Machine, order: list[int], size: int
) -> None:
    """Index 1 is not 10 or 11."""
    machine("".join(f"GPU {i}: NVIDIA (UUID: GPU-{i:04d})\n" for i in range(12)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(VARIABLE, ",".join(map(str, order[:size])))
        assert visible_devices() == [f"GPU-{i:04d}" for i in order[:size]]


def test_a_lost_device_leaves_the_others_or_the_cpu(
    machine: Machine, capsys: pytest.CaptureFixture[str]
) -> None:
    lost = "Unable to determine the device handle for GPU0000:02:00.0: GPU is lost.\n"
    machine(lost + TWO.splitlines(keepends=True)[1], 15)
    with leased_devices() as leased:
        assert leased == [B]
    machine(lost, 15)
    with leased_devices() as leased:
        assert leased == []
        assert VARIABLE not in os.environ
    assert f"nvidia-smi lists no device ({lost.strip()})" in capsys.readouterr().err


def test_an_nvidia_smi_that_hangs_is_given_up(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "nvidia-smi").write_text("#!/bin/sh\nexec sleep 60")
    (folder / "nvidia-smi").chmod(0o700)
    monkeypatch.setattr(devices, "_ANSWER", 0.1)
    assert visible_devices() == []
    assert "no answer" in capsys.readouterr().err


@pytest.mark.parametrize("before", [None, "1,0"])
def test_a_block_sees_its_devices_alone(
    before: str | None, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine(TWO)
    if before:
        monkeypatch.setenv(VARIABLE, before)
    expected = B if before else A
    with suppress(KeyError), leased_devices() as leased:
        assert leased == [expected]
        assert os.environ[VARIABLE] == expected
        assert visible_devices() == [expected]
        raise KeyError
    assert os.environ.get(VARIABLE) == before
    assert free() == 2


def test_jobs_take_the_least_occupied_device(machine: Machine, holder: Holder) -> None:
    machine(TWO)
    assert [first_line(holder(slots=2)) for _ in range(4)] == [[A], [B], [A], [B]]
    assert free(slots=2) == 0
    assert free(slots=3) == 2


def test_a_job_that_shares_and_one_that_does_not_never_meet(
    machine: Machine, holder: Holder
) -> None:
    machine(TWO)
    sharing = holder(slots=2)
    assert first_line(sharing) == [A]
    alone = holder(slots=1)
    assert first_line(alone) == [B]
    assert (free(slots=1), free(slots=2)) == (0, 1)
    sharing.kill()
    sharing.wait()
    assert (free(slots=1), free(slots=2)) == (1, 2)


def test_the_devices_of_a_killed_job_are_free_at_once(machine: Machine, holder: Holder) -> None:
    machine(TWO)
    process = holder(count=2)
    assert first_line(process) == [A, B]
    assert free() == 0
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert free() == 2


def test_a_job_waits_for_its_device_and_says_for_whom(
    machine: Machine,
    holder: Holder,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    machine(TWO)
    monkeypatch.setattr(devices, "_PATIENCE", 0.1)
    started = time.monotonic()
    process = holder(1, 1, 1)
    assert first_line(process) == [A]
    with leased_devices(count=2) as leased:
        assert time.monotonic() - started > 1, "the device was taken from its holder"
        assert leased == [A, B]
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert f"waiting for 2 of the devices: {A} is held by process {process.pid} (1 1 1)" in said
    assert B not in said


def test_jobs_that_want_several_devices_all_get_them(machine: Machine, holder: Holder) -> None:
    """Two jobs that need two devices each would deadlock if each held one."""
    machine(TWO)
    jobs = [holder(2, 1, 0) for _ in range(6)]
    for job in jobs:
        assert job.wait(timeout=300) == 0


def test_no_two_jobs_hold_a_device_at_once(machine: Machine, tmp_path: Path) -> None:
    """Six processes take turns on two devices; each notes when it leases and releases one."""
    machine(TWO)
    code = """
import os, time
from dejavu.runtime import devices
devices._POLL = 0.01
for turn in range(5):
    with devices.leased_devices() as (device,):
        with open(device, "a") as file: file.write("+")
        time.sleep(0.002)
        with open(device, "a") as file: file.write("-")
"""
    jobs = [subprocess.Popen([sys.executable, "-c", code], cwd=tmp_path) for _ in range(6)]
    assert [job.wait(timeout=300) for job in jobs] == [0] * 6
    notes = [(tmp_path / device).read_text() for device in (A, B)]
    assert sum(map(len, notes)) == 6 * 5 * 2
    assert all(re.fullmatch(r"(\+-)+", note) for note in notes)


def test_more_devices_than_there_are_is_an_error(machine: Machine) -> None:
    machine(TWO)
    message = rf"^3 devices .* 2 found \({A}, {B}\).*train\.processes"
    with pytest.raises(DejaVuError, match=message), leased_devices(3):
        pass


@pytest.mark.parametrize(("count", "slots"), [(0, 1), (1, 0), (-1, 2)])
def test_numbers_below_one_are_refused(count: int, slots: int) -> None:
    with pytest.raises(ValueError, match=f"got {count} and {slots}"), leased_devices(count, slots):
        pass
