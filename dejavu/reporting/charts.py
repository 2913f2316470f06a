"""Single charts, drawn by seaborn into the axes that `dejavu.reporting.figures` arranges."""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pandas as pd

from dejavu.reporting.collect import Spec
from dejavu.reporting.statistics import paired_difference
from dejavu.reporting.style import BETTER, INK, MUTED, SMALL, Dashes, note
from dejavu.reporting.tables import Pairs

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.container import BarContainer

_UNITS = {"%": "points", "1": "", "deg": "degrees", "m": "metres"}
_MEAN = {
    "linestyle": "none",
    "marker": "D",
    "markersize": 6.5,
    "markeredgecolor": "white",
    "markeredgewidth": 0.9,
    "zorder": 3,
    "err_kws": {"linewidth": 2.6, "solid_capstyle": "butt", "zorder": 2},
}


def draw_curves(
    ax: "Axes",
    cell: pd.DataFrame,
    loss: str,
    colours: Mapping[str, str],
    dashes: Mapping[str, Dashes],
) -> None:
    """Draw one loss by step: a thin line per seed, a thick one per method for the mean.

    Args:
        ax: axes to draw into.
        cell: rows of one task and network, with the columns of `collect_curves`.
        loss: the column to draw; rows without a value are skipped.
        colours: colour of each method; the first is drawn beneath the others.
        dashes: dash pattern of each method's mean.
    """
    import seaborn as sns

    rows = cell[cell[loss].notna()]
    if rows.empty:
        note(ax, "no method has this loss")
        return
    look = {
        "data": rows,
        "x": "step",
        "y": loss,
        "hue": "method",
        "hue_order": list(colours),
        "palette": colours,
        "legend": False,
        "errorbar": None,
        "ax": ax,
    }
    sns.lineplot(**look, units="seed", estimator=None, linewidth=0.8, alpha=0.3)
    sns.lineplot(**look, style="method", style_order=list(dashes), dashes=dashes, linewidth=2)
    ax.set(xlabel="step" if _is_lowest(ax) else "", ylabel="")
    if rows[loss].min() >= 0:
        ax.set_ylim(bottom=0)


def draw_differences(
    ax: "Axes",
    drawn: Mapping[str, Pairs],
    spec: Spec,
    colours: Mapping[str, str],
    confidence: float,
) -> None:
    """Draw a row per method, from the top: a dot per seed, the mean and its interval.

    A method with an undefined value has no mean, as in the tables.

    Args:
        ax: axes to draw into.
        drawn: values of each method, paired by seed; at least one method.
        spec: the metric.
        colours: colour of each method.
        confidence: level of the intervals, in (0, 1).
    """
    import seaborn as sns

    seeds, means = _seeds(drawn), _defined(drawn)
    look = {"x": "difference", "hue": "method", "palette": colours, "legend": False, "ax": ax}
    ax.axvline(0, color=INK, linewidth=1)
    sns.scatterplot(seeds, y="above", **look, s=18, alpha=0.55, linewidth=0)
    if means:
        sns.pointplot(
            seeds[seeds["method"].isin(means)],
            y="line",
            **look,
            orient="y",
            native_scale=True,
            errorbar=lambda values: _interval(values, confidence),
            **_MEAN,
        )
    for line in (line for line, method in enumerate(drawn) if method not in means):
        at = ax.get_yaxis_transform()
        ax.text(0.02, line, "mean undefined", transform=at, fontsize=8, va="top", color=MUTED)
    _label_lines(ax, list(drawn))
    _symmetric_limits(ax)
    _mark_direction(ax, spec)


def _seeds(drawn: Mapping[str, Pairs]) -> pd.DataFrame:
    """Tabulate the differences by seed, with heights for the mean and, above it, the dots."""
    rows = [
        (method, line, line - 0.22, treated - reference)
        for line, (method, pairs) in enumerate(drawn.items())
        for treated, reference in zip(pairs.treated, pairs.reference, strict=True)
    ]
    rows = [row for row in rows if math.isfinite(row[-1])]
    return pd.DataFrame(rows, columns=["method", "line", "above", "difference"])


def _defined(drawn: Mapping[str, Pairs]) -> list[str]:
    """List the methods that have a mean; seaborn would average the defined seeds of the others."""
    return [
        method
        for method, pairs in drawn.items()
        if np.isfinite([*pairs.reference, *pairs.treated]).all()
    ]


def _interval(values: pd.Series, confidence: float) -> tuple[float, float]:
    """Return the ends of the confidence interval, computed as in the tables."""
    found = paired_difference([0.0] * len(values), values.tolist(), confidence)
    return found.low, found.high


def _label_lines(ax: "Axes", methods: Sequence[str]) -> None:
    """Label a row per method, from the top, with room above for the direction."""
    ax.set_yticks(range(len(methods)), list(methods))
    ax.set_ylim(len(methods) - 0.5, -0.95)
    _strip_left(ax)


def _symmetric_limits(ax: "Axes") -> None:
    """Put zero in the middle, so that neither side looks favoured."""
    from matplotlib.ticker import MaxNLocator

    reach = 1.05 * max(abs(limit) for limit in ax.get_xlim())
    ax.set_xlim(-reach, reach)
    ax.xaxis.set_major_locator(MaxNLocator(5, symmetric=True))


def _mark_direction(ax: "Axes", spec: Spec) -> None:
    """Shade and label the side of improvement, and write the unit."""
    low, high = ax.get_xlim()
    side = (0, high) if spec.higher_is_better else (low, 0)
    ax.axvspan(*side, color=BETTER, alpha=0.08, linewidth=0, zorder=0)
    unit = _UNITS.get(spec.unit, spec.unit)
    ax.set(xlabel=f"difference ({unit})" if unit else "difference", ylabel="")
    at, text, align = (
        (0.985, "better →", "right") if spec.higher_is_better else (0.015, "← better", "left")
    )
    ax.annotate(
        text,
        (at, 1),
        xycoords="axes fraction",
        xytext=(0, -2),
        textcoords="offset points",
        fontsize=8.5,
        color=BETTER,
        ha=align,
        va="top",
    )


def draw_bars(
    ax: "Axes", rows: pd.DataFrame, order: Sequence[str], palette: Mapping[str, str]
) -> None:
    """Draw one task's oracle gaps as horizontal bars, each with its number.

    Args:
        ax: axes to draw into.
        rows: rows of one task, with the columns ``label`` and ``percent``.
        order: all labels, from the top; a label without a row has no bar.
        palette: colour of each label.
    """
    import seaborn as sns

    look: dict[str, Any] = {"hue": "label", "palette": palette, "saturation": 1}
    look |= {"order": order, "width": 0.62, "linewidth": 0, "errorbar": None}
    sns.barplot(rows, x="percent", y="label", **look, ax=ax)
    for bars in ax.containers:
        ax.bar_label(cast("BarContainer", bars), fmt=_percent, padding=4, fontsize=SMALL)
    ax.axvline(0, color=INK, linewidth=1)
    ax.grid(visible=False, axis="y")
    ax.set(xlabel="oracle gap (%)", ylabel="")
    _strip_left(ax)


def _percent(value: float) -> str:
    """Format a percentage with a typographic minus; an undefined value gives no text."""
    return "" if math.isnan(value) else f"{value:.1f}".replace("-", "\N{MINUS SIGN}")


def share_scale(axes: "Sequence[Axes]") -> None:
    """Put all tasks on one scale, so that gaps can be compared, with room for the numbers."""
    ends = [0.0, *(limit for ax in axes for limit in ax.dataLim.intervalx if math.isfinite(limit))]
    low, high = min(ends), max(ends)
    room = 0.25 * (high - low) or 1
    for ax in axes:
        ax.set_xlim(low - room if low < 0 else 0, high + room)


def _strip_left(ax: "Axes") -> None:
    """Remove the left spine and ticks; keep tick labels in the first column only."""
    import seaborn as sns

    sns.despine(ax=ax, left=True)
    spec = ax.get_subplotspec()
    ax.tick_params(axis="y", length=0, labelleft=spec is None or spec.is_first_col())


def _is_lowest(ax: "Axes") -> bool:
    spec = ax.get_subplotspec()
    return spec is None or spec.is_last_row()
