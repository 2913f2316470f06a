"""Figures of a study, drawn by seaborn; each function returns one, unknown to pyplot.

Sheets of pictures are drawn by matplotlib alone: seaborn has no chart for them.
"""

import math
import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dejavu.reporting.charts import (
    draw_bars,
    draw_curves,
    draw_differences,
    share_scale,
)
from dejavu.reporting.collect import Measured, Runs
from dejavu.reporting.labels import metric_label
from dejavu.reporting.style import (
    NEUTRAL,
    SMALL,
    Dashes,
    caption,
    method_colours,
    method_dashes,
    note,
    pairs_of_panels,
    panels,
    styled,
    text_width,
)
from dejavu.reporting.tables import Design, paired_values
from dejavu.runtime.files import whole_file

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from dejavu.reporting.numbers import Numbers
    from dejavu.study.layout import Layout

DPI = 150
"""Pixels per inch of a saved figure."""

_LABEL_CHARACTERS = 36  # in a line of a redaction's label, before it wraps


@dataclass(frozen=True)
class QualitativeRow:
    """One scene of a qualitative sheet.

    Attributes:
        title: name of the scene.
        panels: (column title, H x W x 3 uint8 RGB) from left to right.
    """

    title: str
    panels: Sequence[tuple[str, NDArray[np.uint8]]]


def save(figure: "Figure", path: Path) -> None:
    """Write a figure as PNG, atomically; the same figure gives the same bytes."""
    with styled(), whole_file(path) as temporary:
        figure.savefig(temporary, format="png", dpi=DPI, metadata={"Software": None})


def draw_training_curves(curves: pd.DataFrame, design: Design) -> "Figure":
    """Draw task loss and L_DV by step: thin lines for seeds, thick ones for their mean.

    Args:
        curves: result of `collect_curves`.
        design: tasks, networks and methods, in order.

    Returns:
        A column per task and network, with the task loss above the unweighted L_DV; a single pair
        is side by side. The reference has no L_DV.
    """
    colours = method_colours(design.methods, design.reference)
    dashes = method_dashes(design.methods, design.reference)
    columns = _columns(design)
    width = 3.9 if len(columns) > 1 else 4.8
    with styled():
        legend_columns, legend_height = _legend_size(design.methods, width * max(2, len(columns)))
        height = 2.6 + legend_height / 2 if len(columns) > 1 else 3.2 + legend_height
        figure, axes = pairs_of_panels(len(columns), width, height)
        for (task, network), (upper, lower) in zip(columns, axes, strict=True):
            cell = curves[(curves["task"] == task) & (curves["network"] == network)]
            upper.set_title(_title(task, network, design, "", width))
            draw_curves(upper, cell, "task_loss", colours, dashes)
            draw_curves(lower, cell, "dejavu_loss", colours, dashes)
        axes[0][0].set_ylabel("task loss")
        axes[0][1].set_ylabel("regeneration loss $L_{DV}$")
        _add_legend(figure, design.methods, colours, dashes, legend_columns)
    return figure


def draw_paired_differences(runs: Runs, design: Design) -> "Figure":
    """Draw each seed's difference to the reference, the mean and its interval.

    Args:
        runs: the scored runs.
        design: the comparison; every method but the reference gets a row.

    Returns:
        A column per task and network, with the primary metric above the boundary metric; a
        single pair is side by side. A method whose metric is undefined for some seed has no mean.
    """
    pairs = paired_values(runs, design)
    colours = method_colours(design.methods, design.reference)
    columns = _columns(design)
    height = 1.75 + 0.3 * max(1, len(design.treated))
    with styled():
        labels = max((text_width(name, SMALL) for name in design.treated), default=0)
        figure, axes = pairs_of_panels(len(columns), 3.5, height, labels)
        for (task, network), pair in zip(columns, axes, strict=True):
            protocol = runs.protocols[task]
            for ax, name in zip(pair, (protocol.primary, protocol.boundary), strict=True):
                drawn = {m: pairs[task, network, m, name] for m in design.treated}
                ax.set_title(_title(task, network, design, f": {metric_label(name)}", 3.5))
                if not drawn:
                    note(ax, f"no method to compare with {design.reference}")
                    continue
                draw_differences(ax, drawn, protocol.spec(name), colours, design.confidence)
        if design.treated:
            caption(figure, _differences_caption(design))
    return figure


def draw_gap(gap: Measured, design: Design) -> "Figure":
    """Draw each redaction's oracle gap as a bar, in its method's colour or in grey.

    Args:
        gap: result of `collect_gaps`.
        design: tasks and methods, in order.

    Returns:
        A column per task, all on one scale; the redaction with the largest mean gap is on top.
    """
    frame, order, palette = _bars(gap.frame, design)
    lines = max(label.count("\n") for label in order) + 1
    with styled():
        labels = max(text_width(label, SMALL) for label in order)
        width = 3.0 if len(design.tasks) > 1 else 5.0
        height = 1.4 + max(0.3, 0.06 + 0.15 * lines) * len(order)
        figure, [axes] = panels(1, len(design.tasks), width, height, labels)
        for task, ax in zip(design.tasks, axes, strict=True):
            draw_bars(ax, frame[frame["task"] == task], order, palette)
            ax.set_title(task)
        share_scale(axes)
        caption(
            figure,
            f"oracle gap: how far $L_{{DV}}$ on {gap.conditions['split']} falls when the "
            "regeneration is given the ground truth instead of zeros; in colour: redactions of "
            "the study's methods, which are named below them",
        )
    return figure


def draw_qualitative(rows: Sequence[QualitativeRow]) -> "Figure":
    """Draw one scene per row, each pixel as a square.

    Raises:
        ValueError: there is no row, a row's columns differ from the first row's, or a panel is
            not H x W x 3 uint8.
    """
    _check_sheet(rows)
    titles = [title for title, _ in rows[0].panels]
    height, width = rows[0].panels[0][1].shape[:2]
    with styled():
        figure, axes = panels(len(rows), len(titles), 1.75, 1.75 * height / width)
        figure.get_layout_engine().set(w_pad=0.03, h_pad=0.03, wspace=0, hspace=0)  # type: ignore[union-attr, call-arg]
        for line, row in zip(axes, rows, strict=True):
            line[0].set_ylabel(row.title, fontsize=9.5)
            for ax, (_, picture) in zip(line, row.panels, strict=True):
                ax.imshow(picture, interpolation="nearest")
                ax.set(xticks=[], yticks=[])
                ax.grid(False)
                ax.spines[:].set_visible(False)
        for ax, title in zip(axes[0], titles, strict=True):
            ax.set_title(title, fontsize=9.5, fontweight="normal", loc="center", pad=5)
    return figure


def _add_legend(
    figure: "Figure",
    methods: Sequence[str],
    colours: Mapping[str, str],
    dashes: Mapping[str, Dashes],
    columns: int,
) -> None:
    """Add a legend below all axes: inside them it would cover curves."""
    from matplotlib.lines import Line2D

    handles = [
        Line2D([], [], linewidth=2, color=colours[name], dashes=dashes[name]) for name in methods
    ]
    figure.legend(handles, list(methods), loc="outside lower center", ncols=columns)


def _legend_size(labels: Sequence[str], width: float) -> tuple[int, float]:
    """Return how many columns fit into ``width`` inches, and the height in inches of the rows."""
    widest = 0.85 + max(text_width(label, 10) for label in labels)
    columns = max(1, min(len(labels), int(width / widest)))
    return columns, 0.21 * math.ceil(len(labels) / columns)


def _bars(gaps: pd.DataFrame, design: Design) -> tuple[pd.DataFrame, list[str], dict[str, str]]:
    """Add the columns ``label`` and ``percent``; return the labels from the top and colours too."""
    methods = gaps["method"].fillna("").astype(str)
    labels = [_bar_label(*row) for row in zip(gaps["redaction"], methods, strict=True)]
    frame = gaps.assign(label=labels, percent=100 * gaps["gap"].astype(float))
    means = frame.groupby("label", sort=False)["percent"].mean()
    order = means.sort_values(ascending=False, kind="stable").index.tolist()
    colours = method_colours(design.methods, design.reference)
    palette = {
        label: colours.get(method, NEUTRAL) for label, method in zip(labels, methods, strict=True)
    }
    return frame, order, palette


def _bar_label(redaction: str, method: str) -> str:
    """Return the label of a redaction and, below it, of the method that uses it, if any."""
    parts = [redaction, method] if method else [redaction]
    return "\n".join(textwrap.fill(part, _LABEL_CHARACTERS) for part in parts)


def _differences_caption(design: Design) -> str:
    return (
        f"difference to {design.reference}, paired by seed: seeds (dots), mean (diamond), "
        f"{100 * design.confidence:g} % Student-t interval (bar)"
    )


def _columns(design: Design) -> list[tuple[str, str]]:
    return [(task, network) for task in design.tasks for network in design.networks]


def _title(task: str, network: str, design: Design, rest: str, width: float) -> str:
    """Return the title of a panel of ``width`` inches; a long title wraps."""
    where = f"{task}, {network}" if len(design.networks) > 1 else task
    return textwrap.fill(where + rest, int(width / 0.105))


def _check_sheet(rows: Sequence[QualitativeRow]) -> None:
    if not rows or not rows[0].panels:
        raise ValueError("rows: a sheet needs at least one row with one panel")
    first = [title for title, _ in rows[0].panels]
    for row in rows:
        titles = [title for title, _ in row.panels]
        if titles != first:
            raise ValueError(f"{row.title}: columns are {titles}, but the first row's are {first}")
        for title, picture in row.panels:
            if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] != 3:
                raise ValueError(
                    f"{row.title}, {title}: must be H x W x 3 uint8, not "
                    f"{picture.shape} {picture.dtype}"
                )


def _draw_sheet(_: "Numbers", layout: "Layout", task: str) -> "Figure":
    from dejavu.reporting.qualitative import qualitative_rows  # tables do without torch

    return draw_qualitative(qualitative_rows(layout, task))


DRAW: Mapping[str, Callable[["Numbers", "Layout", str], "Figure"]] = {
    "paired_differences": lambda n, *_: draw_paired_differences(n.runs, n.design),
    "training_curves": lambda n, *_: draw_training_curves(n.curves, n.design),
    "gap": lambda n, *_: draw_gap(n.gaps, n.design),
    "qualitative": _draw_sheet,
}
"""What draws each of ``FIGURES``, by its name: of a study's numbers, its files, and a task."""
