"""Nothing of the caller's session reaches a result."""

import subprocess
from pathlib import Path

import pytest

from tests.support.pipeline import run

pytestmark = pytest.mark.pipeline
RESULTS = Path("results/default")
VERBS = ("evaluate --task depth --method baseline", "tables", "figures", "report")
SESSION = {
    "MPLBACKEND": "nonsense",
    "MATPLOTLIBRC": "odd",
    "PYTHONIOENCODING": "latin-1",
    "LC_ALL": "C",
    "PYTHONWARNINGS": "error",
    "TZ": "Asia/Kathmandu",
    "COLUMNS": "20",
    "NO_COLOR": "1",
    "TMPDIR": "/none",
    "OMP_NUM_THREADS": "7",
}


def results(tree: Path) -> dict[str, bytes]:
    """All results but the records, which hold times."""
    files = [path for path in (tree / RESULTS).rglob("*") if path.is_file()]
    return {str(path): path.read_bytes() for path in files if "records" not in path.parts}


def test_results_are_the_same_in_an_odd_session(finished: Path) -> None:
    before = results(finished)
    (finished / "odd").mkdir()
    (finished / "odd/matplotlibrc").write_text("font.size: 23\naxes.facecolor: red\n")
    session = [f"{name}={value}" for name, value in SESSION.items()]
    for verb in VERBS:
        command = f"umask 077; python -m dejavu {verb} > odd/said"  # not UTF-8
        run(finished, "env", *session, "bash", "-c", command)
    assert results(finished) == before


def test_a_full_folder_for_temporary_files_stops_no_plan(finished: Path) -> None:
    """Snakemake's solver writes its problem there. The mount is seen by this run alone."""
    inside = ["unshare", "--mount", "--map-root-user"]
    if subprocess.run([*inside, "true"], check=False).returncode:
        pytest.skip("this machine gives no mount namespaces")
    (finished / "full").mkdir()
    (finished / RESULTS / "tables/main.md").unlink()
    mount = "mount -t tmpfs -o size=16k full full && head -c 16k /dev/zero > full/x"
    make = f"TMPDIR=$PWD/full snakemake --cores 1 {RESULTS}/tables/main.md"
    run(finished, *inside, "bash", "-c", f"({mount}); {make}")
    assert (finished / RESULTS / "tables/main.md").exists()
