"""Figures of a study, drawn without pyplot: each function returns a figure of its own."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from dejavu.reporting.sources import Measured, Runs, Spec
from dejavu.reporting.style import (
    BETTER,
    INK,
    NEUTRAL,
    caption,
    method_colours,
    method_lines,
    panels,
    styled,
)
from dejavu.reporting.tables import Design, Pairs, paired_values, records
from dejavu.reporting.wording import metric_label
from dejavu.runtime.files import whole_file

DPI = 150
"""Pixels per inch of a saved figure."""

_UNITS = {"%": "points", "1": "", "deg": "degrees", "m": "metres"}


@dataclass(frozen=True)
class QualitativeRow:
    """One scene of a qualitative sheet.

    Attributes:
        title: name of the scene.
        panels: (column title, H x W x 3 uint8 RGB) from left to right.
    """

    title: str
    panels: Sequence[tuple[str, NDArray[np.uint8]]]


def save(figure: Figure, path: Path) -> None:
    """Write a figure as PNG, whole or not at all; the same figure gives the same bytes."""
    with styled(), whole_file(path) as temporary:
        figure.savefig(temporary, format="png", dpi=DPI, metadata={"Software": None})


def draw_training_curves(curves: pd.DataFrame, design: Design) -> Figure:
    """Draw task loss and L_DV by step: seeds thin, their mean thick.

    Args:
        curves: what `collect_curves` returned.
        design: tasks, networks and methods, in order.

    Returns:
        A column per task and network; the lower row, L_DV unweighted, has no reference.
    """
    columns = [(task, network) for task in design.tasks for network in design.networks]
    lines = method_lines(design.methods, design.reference)
    legend_columns = _legend_columns(design.methods, 3.9 * len(columns))
    legend_height = 0.21 * math.ceil(len(design.methods) / legend_columns)
    with styled():
        figure, axes = panels(2, len(columns), 3.9, 2.6 + legend_height / 2)
        for column, (task, network) in enumerate(columns):
            cell = curves[(curves["task"] == task) & (curves["network"] == network)]
            axes[0][column].set_title(_title(task, network, design))
            _draw_curves(axes[0][column], cell, "task_loss", lines)
            _draw_curves(axes[1][column], cell, "dejavu_loss", lines)
            axes[1][column].set_xlabel("step")
        axes[0][0].set_ylabel("task loss")
        axes[1][0].set_ylabel("regeneration loss $L_{DV}$")
        handles = [Line2D([], [], linewidth=2, **lines[method]) for method in design.methods]
        figure.legend(
            handles, list(design.methods), loc="outside lower center", ncols=legend_columns
        )
    return figure


def draw_paired_differences(runs: Runs, design: Design) -> Figure:
    """Draw each seed's difference to the reference, the mean and its interval.

    Args:
        runs: the scored runs.
        design: what to compare; every method but the reference gets a line.

    Returns:
        A column per task and network; primary metrics above, boundary metrics below.
    """
    pairs = paired_values(runs, design)
    colours = method_colours(design.methods, design.reference)
    columns = [(task, network) for task in design.tasks for network in design.networks]
    height = 1.7 + 0.3 * max(1, len(design.treated))
    with styled():
        figure, axes = panels(2, len(columns), 3.5, height, 1.2)
        for column, (task, network) in enumerate(columns):
            protocol = runs.protocols[task]
            for row, name in enumerate((protocol.primary, protocol.boundary)):
                spec = protocol.spec(name)
                drawn = {m: pairs[task, network, m, name] for m in design.treated}
                _draw_differences(axes[row][column], drawn, spec, colours, design.confidence)
                axes[row][column].set_title(
                    f"{_title(task, network, design)}: {metric_label(name)}"
                )
                if column:
                    axes[row][column].tick_params(labelleft=False)
        caption(
            figure,
            f"difference to {design.reference}, paired by seed: seeds (dots), mean (diamond), "
            f"{100 * design.confidence:g} % Student-t interval (bar)",
        )
    return figure


def draw_gap(gap: Measured, design: Design) -> Figure:
    """Draw each redaction's oracle gap as a bar, in its method's colour or in grey.

    Args:
        gap: what `collect_gaps` returned.
        design: tasks and methods, in order.
    """
    frame = gap.frame.copy()
    frame["method"] = frame["method"].where(frame["method"].notna(), "")
    means = frame.groupby(["redaction", "method"], sort=False)["gap"].mean()
    order = [(str(r), str(m)) for r, m in means.sort_values(kind="stable").index]
    colours = method_colours(design.methods, design.reference)
    with styled():
        figure, axes = panels(1, len(design.tasks), 3.0, 1.1 + 0.36 * len(order), 2.3)
        for column, task in enumerate(design.tasks):
            rows = records(frame[frame["task"] == task])
            _draw_bars(
                axes[0][column],
                {(r["redaction"], r["method"]): r["gap"] for r in rows},
                order,
                colours,
            )
            axes[0][column].set_title(task)
            axes[0][column].tick_params(labelleft=column == 0)
        # One scale for all tasks: their gaps are to be compared.
        reach = [limit for ax in axes[0] for limit in ax.get_xlim()]
        for ax in axes[0]:
            ax.set_xlim(min(reach), max(reach))
        caption(
            figure,
            f"oracle gap: how far $L_{{DV}}$ on {gap.conditions['split']} falls when the "
            "regeneration is given the ground truth instead of zeros (%)",
        )
    return figure


def draw_qualitative(rows: Sequence[QualitativeRow]) -> Figure:
    """Draw scenes below each other, each pixel as a square.

    Raises:
        ValueError: there is no row, rows have other columns than the first, or a panel is not
            H x W x 3 uint8.
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


def _draw_curves(
    ax: Axes, cell: pd.DataFrame, loss: str, lines: Mapping[str, Mapping[str, Any]]
) -> None:
    for method, line in lines.items():
        rows = cell[(cell["method"] == method) & cell[loss].notna()]
        if rows.empty:
            continue
        for _, seed in rows.groupby("seed"):
            ax.plot(seed["step"], seed[loss], linewidth=0.8, alpha=0.3, **line)
        mean = rows.groupby("step")[loss].mean()
        ax.plot(mean.index, mean, linewidth=2, **line)
    ax.set_ylim(bottom=0)


def _draw_differences(
    ax: Axes,
    drawn: Mapping[str, Pairs],
    spec: Spec,
    colours: Mapping[str, str],
    confidence: float,
) -> None:
    ax.axvline(0, color=INK, linewidth=1)
    for line, (method, pairs) in enumerate(drawn.items()):
        colour = colours[method]
        seeds = np.subtract(pairs.treated, pairs.reference)
        ax.scatter(
            seeds, np.full(len(seeds), line - 0.2), s=16, color=colour, alpha=0.55, linewidths=0
        )
        difference = pairs.difference(confidence)
        if not math.isnan(difference.low):
            ax.plot(
                [difference.low, difference.high],
                [line, line],
                color=colour,
                linewidth=2.6,
                solid_capstyle="butt",
            )
        ax.scatter(
            [difference.mean],
            [line],
            marker="D",
            s=36,
            color=colour,
            edgecolors="white",
            linewidths=0.9,
            zorder=3,
        )
    ax.set_yticks(range(len(drawn)), list(drawn))
    ax.set_ylim(len(drawn) - 0.5, -0.85)
    ax.tick_params(axis="y", length=0)
    ax.spines["left"].set_visible(False)
    _symmetric_limits(ax)
    _mark_direction(ax, spec)


def _symmetric_limits(ax: Axes) -> None:
    """Put zero in the middle: neither side is to look favoured."""
    reach = max(abs(limit) for limit in ax.get_xlim())
    ax.set_xlim(-reach, reach)
    ax.xaxis.set_major_locator(MaxNLocator(5, symmetric=True))


def _mark_direction(ax: Axes, spec: Spec) -> None:
    """Shade the side of improvement and name it."""
    low, high = ax.get_xlim()
    side = (0, high) if spec.higher_is_better else (low, 0)
    ax.axvspan(*side, color=BETTER, alpha=0.08, linewidth=0, zorder=0)
    ax.set_xlabel(_UNITS.get(spec.unit, spec.unit), fontsize=9)
    at, text, align = (
        (0.985, "better →", "right") if spec.higher_is_better else (0.015, "← better", "left")
    )
    ax.annotate(
        text,
        (at, 1),
        xycoords="axes fraction",
        xytext=(0, -1),
        textcoords="offset points",
        fontsize=8.5,
        color=BETTER,
        ha=align,
        va="top",
    )


def _draw_bars(
    ax: Axes,
    gaps: Mapping[tuple[str, str], float],
    order: Sequence[tuple[str, str]],
    colours: Mapping[str, str],
) -> None:
    for line, (redaction, method) in enumerate(order):
        if (redaction, method) not in gaps:
            continue
        value = 100 * gaps[redaction, method]
        ax.barh(line, value, height=0.62, color=colours.get(method, NEUTRAL))
        ax.annotate(
            f"{value:.1f}",
            (max(value, 0), line),
            xytext=(4, 0),
            fontsize=9,
            textcoords="offset points",
            va="center",
        )
    labels = [f"{redaction}\n{method}" if method else redaction for redaction, method in order]
    ax.set_yticks(range(len(order)), labels)
    ax.set_ylim(-0.6, len(order) - 0.4)
    ax.axvline(0, color=INK, linewidth=1)
    ax.grid(visible=False, axis="y")
    ax.tick_params(axis="y", length=0)
    ax.spines["left"].set_visible(False)
    ax.margins(x=0.16)


def _legend_columns(labels: Sequence[str], width: float) -> int:
    """Return how many columns of labels, ten points high, fit into ``width`` inches."""
    widest = 0.75 + 0.085 * max(map(len, labels))
    return max(1, min(len(labels), int(width / widest)))


def _title(task: str, network: str, design: Design) -> str:
    return f"{task}, {network}" if len(design.networks) > 1 else task


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
