"""One look for all figures: the only place that names a colour, a font size or a line width."""

import textwrap
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

INK = "#24292f"
BETTER = "#00694d"
MUTED = "#6e7781"
NEUTRAL = "#8c959f"
REFERENCE = "#57606a"
# Okabe and Ito (2008), without black and yellow, then three of Paul Tol's muted scheme: all can be
# told apart with colour-blind eyes.
METHODS = [
    *("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9"),
    *("#882255", "#999933", "#332288"),
]
DASHES = ["-", "--", ":"]
"""Of curves, one for each time that the palette is gone through."""

_STYLE: Any = {
    "font.family": "DejaVu Sans",
    "font.size": 10,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.titlepad": 10,
    "axes.edgecolor": NEUTRAL,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e4e8ec",
    "grid.linewidth": 0.8,
    "xtick.color": NEUTRAL,
    "ytick.color": NEUTRAL,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.labelsize": 9,
    "ytick.labelsize": 9,
    "legend.frameon": False,
    "legend.fontsize": 10,
    "figure.facecolor": "white",
    "axes.facecolor": "white",
    "savefig.facecolor": "white",
    "mathtext.fontset": "dejavusans",
}


def styled() -> AbstractContextManager[None]:
    """Return a context in which artists are made in the project's style."""
    return mpl.rc_context(_STYLE)


def method_colours(methods: Sequence[str], reference: str) -> dict[str, str]:
    """Give each method one colour: grey to the reference, the palette in order to the others.

    Example:
        >>> method_colours(["baseline", "dejavu"], "baseline")
        {'baseline': '#57606a', 'dejavu': '#0072B2'}
    """
    others = [method for method in methods if method != reference]
    colours = {method: METHODS[i % len(METHODS)] for i, method in enumerate(others)}
    return {reference: REFERENCE} | colours


def method_lines(methods: Sequence[str], reference: str) -> dict[str, dict[str, Any]]:
    """Give each method's curve a colour and, where the palette repeats, another dash pattern.

    Example:
        >>> method_lines(["baseline", "dejavu"], "baseline")["dejavu"]
        {'color': '#0072B2', 'linestyle': '-'}
    """
    colours = method_colours(methods, reference)
    repeats = [0, *(i // len(METHODS) for i in range(len(colours) - 1))]
    return {
        method: {"color": colour, "linestyle": DASHES[repeat % len(DASHES)]}
        for (method, colour), repeat in zip(colours.items(), repeats, strict=True)
    }


def panels(
    rows: int, columns: int, width: float, height: float, labels: float = 0
) -> tuple[Figure, list[list[Axes]]]:
    """Return a figure with a grid of axes, each about ``width`` x ``height`` inches.

    Long labels at the left get ``labels`` inches beside that.
    """
    figure = Figure(figsize=(labels + width * columns, height * rows), layout="constrained")
    figure.get_layout_engine().set(w_pad=0.12, h_pad=0.12)  # type: ignore[union-attr, call-arg]
    axes = figure.subplots(rows, columns, squeeze=False)
    return figure, [list(row) for row in axes]


def caption(figure: Figure, text: str) -> None:
    """Write a line below a figure, wrapped to its width."""
    characters = int(13 * figure.get_figwidth())
    figure.supxlabel(textwrap.fill(text, characters), fontsize=9.5, color=MUTED)
