from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from PIL import Image

from dejavu.reporting.figures import (
    QualitativeRow,
    draw_gap,
    draw_paired_differences,
    draw_qualitative,
    draw_training_curves,
    save,
)
from dejavu.reporting.sources import CURVE_COLUMNS, collect_curves, collect_gaps, collect_runs
from dejavu.reporting.style import METHODS, REFERENCE, method_colours, method_lines
from dejavu.reporting.tables import Design


def test_a_png_is_the_same_bytes_whatever_the_order_of_files(
    run_paths: list[Path], design: Design, tmp_path: Path
) -> None:
    for name, paths in (("a.png", run_paths), ("b.png", run_paths[::-1])):
        save(draw_paired_differences(collect_runs(paths), design), tmp_path / name)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    with Image.open(tmp_path / "a.png") as image:
        assert not {"Software", "Creation Time", "date:create"} & set(image.info)
    assert {p.name for p in tmp_path.glob("*")} == {"a.png", "b.png", "runs"}


def test_differences_show_seeds_mean_and_interval(run_paths: list[Path], design: Design) -> None:
    figure = draw_paired_differences(collect_runs(run_paths), design)
    miou, rmse = figure.axes[0], figure.axes[1]
    dots, mean = (collection.get_offsets() for collection in miou.collections[:2])
    np.testing.assert_allclose(np.sort(np.asarray(dots)[:, 0]), [0, 0.5, 1])
    np.testing.assert_allclose(np.asarray(mean)[:, 0], [0.5])
    zero, interval = miou.lines[:2]
    assert list(np.asarray(zero.get_xdata())) == [0, 0]
    half = 4.302653 * 0.5 / 3**0.5
    np.testing.assert_allclose(
        np.asarray(interval.get_xdata()), [0.5 - half, 0.5 + half], rtol=1e-6
    )
    assert "better →" in [text.get_text() for text in miou.texts]
    assert "← better" in [text.get_text() for text in rmse.texts]
    low, high = miou.get_xlim()
    assert low == -high


def test_the_better_side_is_shaded(run_paths: list[Path], design: Design) -> None:
    figure = draw_paired_differences(collect_runs(run_paths), design)
    (miou,), (rmse,) = (ax.patches for ax in figure.axes[:2])
    assert miou.get_extents().transformed(figure.axes[0].transData.inverted()).x0 >= -1e-9
    assert rmse.get_extents().transformed(figure.axes[1].transData.inverted()).x1 <= 1e-9


def test_one_seed_draws_no_interval(run_paths: list[Path], design: Design) -> None:
    runs = collect_runs(path for path in run_paths if path.name == "seed0.json")
    assert len(draw_paired_differences(runs, design).axes[0].lines) == 1  # zero alone


def test_curves_are_thin_seeds_and_a_thick_mean(log_paths: list[Path], design: Design) -> None:
    figure = draw_training_curves(collect_curves(log_paths), design)
    task_loss, dejavu_loss = figure.axes[0], figure.axes[2]
    thick = [line for line in task_loss.lines if line.get_linewidth() > 1]
    assert len(task_loss.lines) == 6
    assert [line.get_color() for line in thick] == [REFERENCE, METHODS[0]]
    # Seeds 0 and 1 start at 2 and 3.
    np.testing.assert_allclose(np.asarray(thick[0].get_ydata()), [2.5, 2.0, 1.6])
    assert len(dejavu_loss.lines) == 3  # the reference has no L_DV
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["dejavu", "baseline"]


def test_gap_bars(gap_paths: list[Path], design: Design) -> None:
    figure = draw_gap(collect_gaps(gap_paths), design)
    ax = figure.axes[0]
    bars = [bar for bar in ax.patches if isinstance(bar, Rectangle)]
    assert [bar.get_width() for bar in bars] == pytest.approx([-1, 15, 50])  # widest on top
    assert to_hex(bars[1].get_facecolor()).upper() == METHODS[0]
    labels = [text.get_text() for text in ax.get_yticklabels()]
    assert labels == ["identity", "low_pass(cutoff=0.06)\ndejavu", "blank"]
    assert figure.axes[1].get_xlim() == ax.get_xlim()


def test_drawing_leaves_the_global_style_alone(gap_paths: list[Path], design: Design) -> None:
    before = dict(mpl.rcParams)
    draw_gap(collect_gaps(gap_paths), design)
    assert dict(mpl.rcParams) == before


def test_colours_do_not_depend_on_where_the_reference_stands() -> None:
    first = method_colours(["baseline", "a", "b"], "baseline")
    assert method_colours(["a", "baseline", "b"], "baseline") == first
    assert len(set(first.values())) == 3


def test_twenty_five_methods_have_lines_of_their_own() -> None:
    lines = method_lines([f"m{i}" for i in range(25)], "m3")
    assert len({tuple(line.values()) for line in lines.values()}) == 25
    assert lines["m3"] == {"color": REFERENCE, "linestyle": "-"}


def test_a_legend_of_many_methods_neither_leaves_the_figure_nor_covers_it() -> None:
    methods = [f"a-method-of-some-length-{i}" for i in range(25)]
    design = Design(["depth"], ["fpn"], methods, methods[0])
    rows = [("depth", "fpn", name, 0, step, 1.0, 1.0) for name in methods for step in (0, 9)]
    figure = draw_training_curves(pd.DataFrame(rows, columns=CURVE_COLUMNS), design)
    figure.draw_without_rendering()
    legend, page = figure.legends[0].get_window_extent(), figure.bbox
    assert page.x0 <= legend.x0
    assert legend.x1 <= page.x1
    assert page.y0 <= legend.y0
    for ax in figure.axes:
        assert ax.get_window_extent().y0 > legend.y1
        assert ax.get_window_extent().height > 1.2 * figure.dpi


def _rows(pictures: list[np.ndarray]) -> list[QualitativeRow]:
    return [QualitativeRow(f"scene {i}", [("image", p)]) for i, p in enumerate(pictures)]


def test_sheet_shows_pixels_as_squares(tmp_path: Path) -> None:
    picture = np.zeros((2, 2, 3), np.uint8)
    picture[0, 1] = (255, 0, 0)
    figure = draw_qualitative(_rows([picture, 255 - picture]))
    assert isinstance(figure, Figure)
    assert [ax.get_title("center") for ax in figure.axes] == ["image", ""]
    save(figure, tmp_path / "sheet.png")
    with Image.open(tmp_path / "sheet.png") as image:
        colours = {colour for _, colour in image.convert("RGB").getcolors(1 << 20) or []}
        share = sum(
            count
            for count, colour in image.convert("RGB").getcolors(1 << 20) or []
            if colour == (255, 0, 0)
        ) / (image.width * image.height)
    assert (255, 0, 0) in colours
    assert (128, 0, 0) not in colours  # a blend of neighbours
    assert 0.08 < share < 0.125  # one pixel of four, in one of two pictures


def test_sheet_refuses_what_it_cannot_align() -> None:
    good = np.zeros((2, 2, 3), np.uint8)
    with pytest.raises(ValueError, match="at least one row"):
        draw_qualitative([])
    with pytest.raises(ValueError, match="scene 1: columns are"):
        draw_qualitative([_rows([good])[0], QualitativeRow("scene 1", [("other", good)])])
    for bad in (good[..., 0], good.astype(float), np.zeros((2, 2, 4), np.uint8)):
        with pytest.raises(ValueError, match="scene 1, image: must be H x W x 3 uint8"):
            draw_qualitative(_rows([good, bad]))
