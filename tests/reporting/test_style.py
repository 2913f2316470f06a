"""Colours and dashes; what a caller's session may set, and may not."""

import os
import subprocess
import sys
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt

from dejavu.reporting.collect import collect_gaps, collect_runs
from dejavu.reporting.figures import draw_gap, draw_paired_differences, save
from dejavu.reporting.style import REFERENCE, method_colours, method_dashes
from dejavu.reporting.tables import Design


def test_a_session_keeps_its_style_and_sees_no_figure(
    gap_paths: list[Path], run_paths: list[Path], design: Design, tmp_path: Path
) -> None:
    with mpl.rc_context({"font.size": 23, "axes.facecolor": "red"}):
        before = dict(mpl.rcParams)
        draw_gap(collect_gaps(gap_paths), design)
        save(draw_paired_differences(collect_runs(run_paths), design), tmp_path / "a.png")
        assert dict(mpl.rcParams) == before
    assert plt.get_fignums() == []


ODD_SETTINGS = """
backend: ps
font.family: cursive
font.size: 23
text.usetex: True
axes.facecolor: red
axes.xmargin: 0.4
axes.unicode_minus: False
axes.formatter.use_locale: True
axes.prop_cycle: cycler("color", ["k"])
figure.autolayout: True
figure.dpi: 30
lines.linewidth: 9
lines.dash_capstyle: round
patch.force_edgecolor: True
path.sketch: 4, 80, 2
savefig.bbox: tight
savefig.transparent: True
xtick.direction: in
ytick.right: True
"""
DRAW_ALL = """
import os, sys
from pathlib import Path
import numpy as np
from dejavu.reporting.figures import *
from dejavu.reporting.collect import *
from dejavu.reporting.tables import Design

source, target = map(Path, sys.argv[1:])
design = Design(["segmentation", "depth"], ["fpn"], ["dejavu", "baseline"], "baseline")
found = lambda pattern: sorted(source.glob(pattern))
curves = collect_curves(found("checkpoints/**/*.jsonl"))
picture = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
for name, figure in {
    "differences": draw_paired_differences(collect_runs(found("runs/**/*.json")), design),
    "curves": draw_training_curves(curves, design),
    "gap": draw_gap(collect_gaps(found("gap/*.json")), design),
    "sheet": draw_qualitative([QualitativeRow("scene", [("image", picture)])]),
}.items():
    save(figure, target / f"{name}.png")
print(os.environ.get("MPLBACKEND"))
"""


def run_python(code: str, *arguments: Path, **environment: str) -> str:
    """Run code in a process whose settings of matplotlib are the given ones alone."""
    clean = {k: v for k, v in os.environ.items() if k not in ("MPLBACKEND", "MATPLOTLIBRC")}
    command = [sys.executable, "-c", code, *map(str, arguments)]
    done = subprocess.run(
        command, env=clean | environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_no_setting_of_a_session_reaches_a_figure(
    run_paths: list[Path], log_paths: list[Path], gap_paths: list[Path], tmp_path: Path
) -> None:
    (tmp_path / "matplotlibrc").write_text(ODD_SETTINGS)
    odd = {"MPLBACKEND": "nonsense", "MATPLOTLIBRC": str(tmp_path)}
    assert run_python(DRAW_ALL, tmp_path, tmp_path / "plain") == "None"
    assert run_python(DRAW_ALL, tmp_path, tmp_path / "odd", **odd) == "nonsense"
    for name in ("differences", "curves", "gap", "sheet"):
        plain, drawn = ((tmp_path / folder / f"{name}.png") for folder in ("plain", "odd"))
        assert plain.read_bytes() == drawn.read_bytes(), name


def test_a_backend_that_a_session_asks_for_is_still_its_own() -> None:
    code = (
        "from dejavu.reporting.style import styled\nwith styled(): pass\nimport matplotlib as m\n"
    )
    assert run_python(f"{code}print(m.get_backend())", MPLBACKEND="svg") == "svg"


def test_drawing_packages_are_imported_to_draw_alone() -> None:
    modules = ("figures", "charts", "style", "tables", "text_tables", "formats")
    imports = "".join(f"import dejavu.reporting.{name}\n" for name in modules)
    loaded = run_python(f"import sys\n{imports}print(*sys.modules)").split()
    assert "pandas" in loaded
    assert not {"matplotlib", "seaborn"} & {name.partition(".")[0] for name in loaded}


def test_colours_do_not_depend_on_where_the_reference_stands() -> None:
    first = method_colours(["baseline", "a", "b"], "baseline")
    assert method_colours(["a", "baseline", "b"], "baseline") == first
    assert len(set(first.values())) == 3


def test_thirty_six_methods_have_lines_of_their_own() -> None:
    methods = [f"m{i}" for i in range(37)]
    colours, dashes = method_colours(methods, "m3"), method_dashes(methods, "m3")
    assert len({(colours[name], dashes[name]) for name in methods}) == 37
    assert (colours["m3"], dashes["m3"]) == (REFERENCE, ())
