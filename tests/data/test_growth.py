import sys
from pathlib import Path

import pytest

from benchmarks.planning import SHAPES, study
from benchmarks.processes import Cost, Growth, MeasurementError, measure
from benchmarks.storage import index_rows
from dejavu.study.layout import Layout


@pytest.mark.parametrize("runs", [6, 108])
def test_every_run_of_a_study_is_another_one(runs: int) -> None:
    """Runs with one hash would be planned several times but trained once."""
    hashes = [run.hash for run in Layout(study(runs)).runs()]
    assert len({*hashes}) == len(hashes) == runs


def test_shapes_have_the_runs_that_they_are_named_for() -> None:
    for runs, (networks, methods, seeds) in SHAPES.items():
        assert 3 * networks * methods * seeds == runs


def test_added_seeds_keep_the_other_runs() -> None:
    before, after = ({run.hash for run in Layout(study(6, more)).runs()} for more in (0, 1))
    assert before < after
    assert len(after) == 12


def test_memory_is_the_commands_own(tmp_path: Path) -> None:
    """The peak of a large parent process, such as this one, is not its children's."""
    here = bytearray(200 << 20)
    _, small = measure(tmp_path, sys.executable, "-c", "pass")
    _, large = measure(tmp_path, sys.executable, "-c", "x = bytearray(64 << 20)")
    assert len(here) >> 20 > small.peak_mib
    assert 60 < large.peak_mib - small.peak_mib < 80


def test_cpu_time_leaves_waiting_out(tmp_path: Path) -> None:
    said, cost = measure(tmp_path, sys.executable, "-c", "import time; time.sleep(0.5); print(7)")
    assert said.strip() == "7"
    assert cost.wall > 0.5 > cost.cpu > 0


def test_a_command_that_fails_is_no_measurement(tmp_path: Path) -> None:
    with pytest.raises(MeasurementError, match=r"(?s)ended with 3:.*why"):
        measure(tmp_path, sys.executable, "-c", "print('why'); raise SystemExit(3)")


def test_an_index_is_measured_per_image() -> None:
    read, disk, held = index_rows(50)
    assert read.cost is not None
    assert disk.amount is not None
    assert held.amount is not None
    # One image's text: two checksums of 64, twice the name of 18 and it in two paths, sizes.
    assert 240 < disk.amount < 300
    # NumPy holds four bytes a character, eight a number: the longest of each column.
    widths = (18, 18, len("images/training/.jpg") + 18, len("annotations/training/.png") + 18)
    assert held.amount == 4 * (sum(widths) + 2 * 64 + 4 * 1) + 4 * 8


def test_rows_are_written_in_their_units() -> None:
    assert Growth("a", "b", 1008, Cost(1.26, 0.84, 1234.4)).line() == (
        "| b | 1,008 | 1.3 | 0.8 | 1,234 |  |"
    )
