import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from PIL import Image

from dejavu.reporting.collect import (
    CURVE_COLUMNS,
    GAP_COLUMNS,
    RUN_COLUMNS,
    Measured,
    Runs,
    Spec,
    TaskProtocol,
    collect_curves,
    collect_gaps,
    collect_runs,
)
from dejavu.reporting.figures import (
    QualitativeRow,
    draw_gap,
    draw_paired_differences,
    draw_qualitative,
    draw_training_curves,
    save,
)
from dejavu.reporting.style import METHODS, NEUTRAL, REFERENCE
from dejavu.reporting.tables import Design, main_table

METRICS = {
    "segmentation": (Spec("miou", "%", True), Spec("boundary_iou", "%", True)),
    "depth": (Spec("rmse", "m", False), Spec("edge_rmse", "m", False)),
    "normals": (Spec("mean_angle", "deg", False), Spec("edge_mean_angle", "deg", False)),
}
LONG = ["baseline", *(f"random-blocks-with-a-long-name-{i:02d}" for i in range(11))]


def long_names(tasks: int) -> Design:
    """Twelve methods on some tasks."""
    return Design([*METRICS][:tasks], ["fpn"], LONG, "baseline")


def made_up_runs(design: Design, seeds: int, **undefined: int) -> Runs:
    """Values of every run of a design; by method, the seed whose values are NaN."""
    draws = np.random.default_rng(0)

    def value(method: str, seed: int) -> float:
        return math.nan if undefined.get(method) == seed else draws.normal(50, 2)

    rows = [
        ("s", "rooms", task, network, name, seed, "val", spec.name, spec.unit, value(name, seed))
        for task in design.tasks
        for network in design.networks
        for name in design.methods
        for seed in range(seeds)
        for spec in METRICS[task]
    ]
    protocols = {
        task: TaskProtocol(METRICS[task][0].name, METRICS[task][1].name, 8, {}, (), METRICS[task])
        for task in design.tasks
    }
    return Runs("s", "val", pd.DataFrame(rows, columns=RUN_COLUMNS), protocols)


def made_up_curves(design: Design, seeds: int = 1) -> pd.DataFrame:
    rows = [
        (task, network, name, seed, step, 1.0, None if name == design.reference else 1.0)
        for task in design.tasks
        for network in design.networks
        for name in design.methods
        for seed in range(seeds)
        for step in (0, 9)
    ]
    return pd.DataFrame(rows, columns=CURVE_COLUMNS).astype({"dejavu_loss": float})


def made_up_gap(design: Design) -> Measured:
    label = "random_choice(random_blocks(block=8, keep=0.1), high_pass(cutoff=0.{}))"
    rows = [
        (task, label.format(i), method, "choice", 1, 1, (i - 5) / 40)
        for task in design.tasks
        for i, method in enumerate(design.treated)
    ]
    return Measured(pd.DataFrame(rows, columns=GAP_COLUMNS), {"split": "val"})


def means(ax: Axes) -> list[tuple[float, float, str]]:
    """Position and colour of each mean, from the top; a line of marks has gaps for the others."""
    marks = [
        (x, y, line.get_color())
        for line in ax.lines
        if line.get_marker() == "D"
        for x, y in line.get_xydata()
        if math.isfinite(x)
    ]
    return sorted(marks, key=lambda mark: mark[1])


def intervals(ax: Axes) -> list[tuple[float, float]]:
    """Ends of the horizontal lines that have ends, from the top."""
    lines = [np.asarray(line.get_xydata()) for line in ax.lines if line.get_marker() != "D"]
    level = [xy for xy in lines if len(xy) == 2 and np.isfinite(xy).all() and np.ptp(xy[:, 1]) == 0]
    return [(xy[0, 0], xy[1, 0]) for xy in sorted(level, key=lambda xy: xy[0, 1])]


def assert_nothing_is_clipped(figure: Figure) -> None:
    """All that is drawn lies on the page, and no panel is squeezed."""
    figure.draw_without_rendering()  # which lays it out
    drawn, (width, height) = figure.get_tightbbox(), figure.get_size_inches()
    assert min(drawn.x0, drawn.y0, width - drawn.x1, height - drawn.y1) > 0
    for ax in figure.axes:
        panel = ax.get_window_extent()
        assert panel.width > 2 * figure.dpi
        assert panel.height > 0.7 * figure.dpi


def test_a_png_is_the_same_bytes_whatever_the_order_of_files(
    run_paths: list[Path], design: Design, tmp_path: Path
) -> None:
    for name, paths in (("a.png", run_paths), ("b.png", run_paths[::-1])):
        save(draw_paired_differences(collect_runs(paths), design), tmp_path / name)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    with Image.open(tmp_path / "a.png") as image:
        assert not {"Software", "Creation Time", "date:create"} & set(image.info)
    assert {p.name for p in tmp_path.glob("*")} == {"a.png", "b.png", "runs"}


def test_differences_are_those_of_the_table(run_paths: list[Path], design: Design) -> None:
    runs = collect_runs(run_paths)
    figure = draw_paired_differences(runs, design)
    table = main_table(runs, design).dropna(subset="delta")
    panels = [figure.axes[i] for i in (0, 2, 1, 3)]  # the table's order: task by task
    for ax, row in zip(panels, table.to_dict("records"), strict=True):
        assert means(ax) == [(pytest.approx(row["delta"]), 0, METHODS[0])]
        np.testing.assert_allclose(intervals(ax), [(row["delta_low"], row["delta_high"])])
        assert list(np.asarray(ax.lines[0].get_xdata())) == [0, 0]
    dots = np.asarray(panels[0].collections[0].get_offsets())
    np.testing.assert_allclose(np.sort(dots[:, 0]), [0, 0.5, 1])


def test_each_method_is_drawn_on_its_own_line_in_its_own_colour() -> None:
    design = Design(["depth"], ["fpn"], ["b", "baseline", "a"], "baseline")
    runs = made_up_runs(design, 10)
    ax = draw_paired_differences(runs, design).axes[0]
    table = main_table(runs, design).dropna(subset="delta").query("metric == 'rmse'")
    assert [label.get_text() for label in ax.get_yticklabels()] == ["b", "a"]
    assert means(ax) == [
        (pytest.approx(delta), line, METHODS[line]) for line, delta in enumerate(table["delta"])
    ]
    np.testing.assert_allclose(intervals(ax), table[["delta_low", "delta_high"]])
    dots = ax.collections[0]
    lines = np.round(np.asarray(dots.get_offsets())[:, 1])
    colours = [METHODS.index(to_hex(colour).upper()) for colour in dots.get_facecolors()]
    assert lines.tolist() == colours == [0] * 10 + [1] * 10
    assert ax.get_ylim()[0] > ax.get_ylim()[1]  # the first method is on top


def test_zero_is_in_the_middle_and_the_better_side_is_named_and_shaded(
    run_paths: list[Path], design: Design
) -> None:
    figure = draw_paired_differences(collect_runs(run_paths), design)
    miou, rmse = figure.axes[:2]
    for ax in (miou, rmse):
        low, high = ax.get_xlim()
        assert low == -high
    assert "better →" in [text.get_text() for text in miou.texts]
    assert "← better" in [text.get_text() for text in rmse.texts]
    (up,), (down,) = miou.patches, rmse.patches
    assert isinstance(up, Rectangle)
    assert isinstance(down, Rectangle)
    assert (up.get_x(), up.get_x() + up.get_width()) == (0, pytest.approx(miou.get_xlim()[1]))
    assert (down.get_x(), down.get_x() + down.get_width()) == (rmse.get_xlim()[0], 0)


def test_differences_have_titles_and_units() -> None:
    design = Design([*METRICS], ["fpn"], ["baseline", "dejavu"], "baseline")
    figure = draw_paired_differences(made_up_runs(design, 2), design)
    assert [ax.get_xlabel() for ax in figure.axes[:3]] == [
        *("difference (points)", "difference (metres)", "difference (degrees)")
    ]
    assert [ax.get_title("left") for ax in figure.axes[2:4]] == [
        *("normals: mean angle", "segmentation: boundary IoU")
    ]


def test_one_seed_draws_no_interval(run_paths: list[Path], design: Design) -> None:
    runs = collect_runs(path for path in run_paths if path.name == "seed0.json")
    ax = draw_paired_differences(runs, design).axes[0]
    assert intervals(ax) == []
    assert means(ax) == [(pytest.approx(0.5), 0, METHODS[0])]


def test_a_method_that_is_undefined_for_a_seed_has_no_mean() -> None:
    """The mean of its other seeds would be another than the tables', which have none."""
    design = Design(["depth"], ["fpn"], ["baseline", "gone", "here"], "baseline")
    ax = draw_paired_differences(made_up_runs(design, 3, gone=1), design).axes[0]
    assert [(line, colour) for _, line, colour in means(ax)] == [(1, METHODS[1])]
    assert len(intervals(ax)) == 1
    assert len(ax.collections[0].get_offsets()) == 5
    assert [text.get_text() for text in ax.texts][:1] == ["mean undefined"]
    alone = Design(["depth"], ["fpn"], ["baseline", "gone"], "baseline")
    ax = draw_paired_differences(made_up_runs(alone, 3, gone=1), alone).axes[0]
    assert means(ax) == []
    assert [label.get_text() for label in ax.get_yticklabels()] == ["gone"]


def test_a_reference_alone_is_drawn_and_has_nothing_to_be_compared_with(tmp_path: Path) -> None:
    design = Design(["depth"], ["fpn"], ["baseline"], "baseline")
    figure = draw_paired_differences(made_up_runs(design, 1), design)
    save(figure, tmp_path / "differences.png")
    for ax in figure.axes:
        assert [text.get_text() for text in ax.texts] == ["no method to compare with baseline"]
    curves = draw_training_curves(made_up_curves(design), design)
    save(curves, tmp_path / "curves.png")
    task_loss, dejavu_loss = curves.axes
    assert len(task_loss.lines) == 2  # a seed and the mean
    assert [text.get_text() for text in dejavu_loss.texts] == ["no method has this loss"]


@pytest.mark.parametrize("tasks", [1, 3])
def test_twelve_methods_with_long_names_fit(tasks: int) -> None:
    design = long_names(tasks)
    for figure in (
        draw_paired_differences(made_up_runs(design, 10), design),
        draw_training_curves(made_up_curves(design), design),
        draw_gap(made_up_gap(design), design),
    ):
        assert len(figure.axes) in (tasks, 2 * tasks)
        assert_nothing_is_clipped(figure)


def test_curves_are_thin_seeds_and_a_thick_mean(log_paths: list[Path], design: Design) -> None:
    figure = draw_training_curves(collect_curves(log_paths), design)
    task_loss, dejavu_loss = figure.axes[0], figure.axes[2]
    thick = [line for line in task_loss.lines if line.get_linewidth() > 1]
    assert len(task_loss.lines) == 6
    assert [line.get_color() for line in thick] == [REFERENCE, METHODS[0]]
    assert [line.is_dashed() for line in thick] == [False, True]  # the first shows in the gaps
    # Seeds 0 and 1 start at 2 and 3.
    np.testing.assert_allclose(np.asarray(thick[0].get_ydata()), [2.5, 2.0, 1.6])
    thin = [line.get_ydata() for line in task_loss.lines if line.get_linewidth() < 1]
    np.testing.assert_allclose(thin[:2], [[2, 1.5, 1.1], [3, 2.5, 2.1]])
    assert len(dejavu_loss.lines) == 3  # the reference has no L_DV
    assert [ax.get_ylim()[0] for ax in figure.axes] == [0, 0, 0, 0]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["dejavu", "baseline"]


def test_the_legend_shows_each_curve_as_it_is_drawn(log_paths: list[Path], design: Design) -> None:
    figure = draw_training_curves(collect_curves(log_paths), design)
    lines = [line for line in figure.axes[0].lines if line.get_linewidth() > 1]
    drawn = {line.get_color(): line._unscaled_dash_pattern for line in lines}
    dejavu, baseline = figure.legends[0].get_lines()
    for handle, colour in ((dejavu, METHODS[0]), (baseline, REFERENCE)):
        assert handle.get_color() == colour
        assert handle._unscaled_dash_pattern == drawn[colour]


def test_curves_have_labels_and_their_negative_losses_are_shown(
    log_paths: list[Path], design: Design
) -> None:
    curves = collect_curves(log_paths)
    figure = draw_training_curves(curves.assign(task_loss=-curves["task_loss"]), design)
    assert figure.axes[0].get_ylim()[0] < -3
    assert [ax.get_ylabel() for ax in figure.axes] == [
        *("task loss", "", "regeneration loss $L_{DV}$", "")
    ]
    assert [ax.get_xlabel() for ax in figure.axes] == ["", "", "step", "step"]
    assert [ax.get_title("left") for ax in figure.axes[:2]] == ["segmentation", "depth"]


def bars(ax: Axes) -> list[Rectangle]:
    """The bars of a panel, from the top."""
    found = [bar for bar in ax.patches if isinstance(bar, Rectangle) and bar.get_height()]
    return sorted(found, key=lambda bar: bar.get_y())


def test_gap_bars(gap_paths: list[Path], design: Design) -> None:
    figure = draw_gap(collect_gaps(gap_paths), design)
    ax = figure.axes[0]
    assert [bar.get_width() for bar in bars(ax)] == pytest.approx([50, 15, -1])
    colours = [to_hex(bar.get_facecolor()) for bar in bars(ax)]
    assert colours == [NEUTRAL, METHODS[0].lower(), NEUTRAL]
    labels = [text.get_text() for text in ax.get_yticklabels()]
    assert labels == ["blank", "low_pass(cutoff=0.06)\ndejavu", "identity"]
    assert ax.get_ylim()[0] > ax.get_ylim()[1]  # the widest is on top
    assert [text.get_text() for text in ax.texts] == ["50.0", "15.0", "\N{MINUS SIGN}1.0"]
    assert [list(line.get_xdata()) for line in ax.lines] == [[0, 0]]
    assert ax.get_xlabel() == "oracle gap (%)"
    assert figure.axes[1].get_xlim() == ax.get_xlim()


def test_gap_bars_keep_their_redaction_where_tasks_rank_them_differently() -> None:
    design = Design(["segmentation", "depth"], ["fpn"], ["baseline", "a"], "baseline")
    gaps = {"segmentation": (0.3, 0.1, 0.2), "depth": (-0.3, 0.0, 0.2)}
    names = (("x", None), ("y", "a"), ("z", None))
    rows = [
        (task, redaction, method, "", 1, 1, gap)
        for task, values in gaps.items()
        for (redaction, method), gap in zip(names, values, strict=True)
        if gap
    ]
    frame = pd.DataFrame(rows, columns=GAP_COLUMNS)
    figure = draw_gap(Measured(frame, {"split": "val"}), design)
    labels = [text.get_text() for text in figure.axes[0].get_yticklabels()]
    assert labels == ["z", "y\na", "x"]
    widths = [[(round(b.get_y() + 0.31), b.get_width()) for b in bars(ax)] for ax in figure.axes]
    assert widths[0] == [(0, pytest.approx(20)), (1, pytest.approx(10)), (2, pytest.approx(30))]
    assert widths[1] == [(0, pytest.approx(20)), (2, pytest.approx(-30))]  # y was not measured


def test_numbers_of_gap_bars_lie_within_their_panel() -> None:
    design = long_names(3)
    figure = draw_gap(made_up_gap(design), design)
    figure.draw_without_rendering()
    for ax in figure.axes:
        page = ax.get_window_extent().padded(3)
        for text in ax.texts:
            box = text.get_window_extent()
            assert page.x0 <= box.x0
            assert box.x1 <= page.x1


def test_a_long_redaction_goes_on_in_the_next_line() -> None:
    design = long_names(1)
    ax = draw_gap(made_up_gap(design), design).axes[0]
    lines = [line for text in ax.get_yticklabels() for line in text.get_text().split("\n")]
    assert len(lines) == 3 * len(design.treated)
    assert max(map(len, lines)) <= 36


@pytest.mark.parametrize("tasks", [1, 2])
def test_a_legend_of_many_methods_neither_leaves_the_figure_nor_covers_it(tasks: int) -> None:
    methods = [f"a-method-of-some-length-{i}" for i in range(25)]
    design = Design([*METRICS][:tasks], ["fpn"], methods, methods[0])
    figure = draw_training_curves(made_up_curves(design), design)
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
