"""The style of all figures: theme, colours, dashes and the arrangement of axes.

matplotlib and seaborn are imported only to draw, so that tables start sooner.
"""

import math
import os
import sys
import textwrap
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK = "#24292f"
BETTER = "#00694d"
MUTED = "#6e7781"
NEUTRAL = "#8c959f"
REFERENCE = "#57606a"
# Okabe and Ito (2008), without black and yellow, then three of Paul Tol's muted scheme: all are
# safe for colour-blind readers.
METHODS = [
    *("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9"),
    *("#882255", "#999933", "#332288"),
]
Dashes = tuple[float, ...]
# On, off, ... in line widths. Gaps reveal the curve beneath, and dashes distinguish methods without
# colour; together with nine colours, they distinguish 36 methods.
DASHES: list[Dashes] = [(4, 1.2), (1.5, 1), (6, 1.2, 1.5, 1.2), ()]
SMALL = 9
"""Font size of tick and axis labels, in points."""

# Changes to seaborn's "whitegrid".
_STYLE: dict[str, Any] = {
    "font.family": "DejaVu Sans",  # part of matplotlib, so the same everywhere
    "mathtext.fontset": "dejavusans",
    "font.size": 10,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.labelsize": SMALL,
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.titlepad": 10,
    "axes.edgecolor": NEUTRAL,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "grid.color": "#e4e8ec",
    "grid.linewidth": 0.8,
    "xtick.bottom": True,
    "xtick.color": NEUTRAL,
    "xtick.major.size": 3.5,
    "xtick.major.width": 0.8,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.labelsize": SMALL,
    "ytick.labelsize": SMALL,
    "legend.frameon": False,
    "legend.fontsize": 10,
    "legend.handlelength": 3,
    "savefig.facecolor": "white",
}


@contextmanager
def styled() -> Iterator[None]:
    """Draw in the project's style, whatever matplotlib settings the caller's session has."""
    _import_matplotlib()
    import matplotlib.style
    import seaborn as sns

    theme = [sns.axes_style("whitegrid"), sns.plotting_context("notebook"), _STYLE]
    with matplotlib.style.context(["default", *theme]):
        yield


def _import_matplotlib() -> None:
    """Import matplotlib without MPLBACKEND: a backend that is not installed would fail the import.

    An installed one is set afterwards, as the import would have done.
    """
    if "matplotlib" in sys.modules:
        return
    backend = os.environ.pop("MPLBACKEND", None)
    try:
        import matplotlib as mpl
    finally:
        if backend is not None:
            os.environ["MPLBACKEND"] = backend
    if backend:
        with suppress(ValueError):
            mpl.rcParams["backend"] = backend


def method_colours(methods: Sequence[str], reference: str) -> dict[str, str]:
    """Assign each method a colour: grey to the reference, the palette in order to the others.

    Example:
        >>> method_colours(["baseline", "dejavu"], "baseline")
        {'baseline': '#57606a', 'dejavu': '#0072B2'}
    """
    others = [method for method in methods if method != reference]
    colours = {method: METHODS[i % len(METHODS)] for i, method in enumerate(others)}
    return {reference: REFERENCE} | colours


def method_dashes(methods: Sequence[str], reference: str) -> dict[str, Dashes]:
    """Assign each method a dash pattern: the reference's line is solid, beneath the others.

    Example:
        >>> method_dashes(["baseline", "dejavu"], "baseline")
        {'baseline': (), 'dejavu': (4, 1.2)}
    """
    others = [method for method in methods if method != reference]
    return {reference: ()} | {m: DASHES[i % len(DASHES)] for i, m in enumerate(others)}


def panels(
    rows: int, columns: int, width: float, height: float, labels: float = 0
) -> "tuple[Figure, list[list[Axes]]]":
    """Return a figure with a grid of axes, each about ``width`` x ``height`` inches.

    Long labels on the left get a further ``labels`` inches.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(labels + width * columns, height * rows), layout="constrained")
    figure.get_layout_engine().set(w_pad=0.12, h_pad=0.12)  # type: ignore[union-attr, call-arg]
    axes = figure.subplots(rows, columns, squeeze=False)
    return figure, [list(row) for row in axes]


def pairs_of_panels(
    columns: int, width: float, height: float, labels: float = 0
) -> "tuple[Figure, list[tuple[Axes, Axes]]]":
    """Return a figure with two axes per column, stacked; a single pair is side by side."""
    if columns == 1:
        figure, [[first, second]] = panels(1, 2, width, height, labels)
        return figure, [(first, second)]
    figure, rows = panels(2, columns, width, height, labels)
    return figure, list(zip(*rows, strict=True))


def caption(figure: "Figure", text: str) -> None:
    """Write a caption below a figure, in as few lines of similar length as its width allows."""
    lines = math.ceil(len(text) / (13 * figure.get_figwidth()))
    wrapped = textwrap.fill(text, len(text) // lines + 8) if lines > 1 else text
    figure.supxlabel(wrapped, fontsize=9.5, color=MUTED)


def note(ax: "Axes", text: str) -> None:
    """Explain in the middle of empty axes why they are empty."""
    ax.text(0.5, 0.5, text, transform=ax.transAxes, ha="center", va="center", color=MUTED)
    ax.set(xticks=[], yticks=[])
    ax.grid(False)
    ax.spines[:].set_visible(False)


def text_width(text: str, size: float) -> float:
    """Return the width of the longest line of a text, ``size`` points high, in inches."""
    from matplotlib.textpath import TextPath

    return (
        max(float(TextPath((0, 0), line, size=size).get_extents().x1) for line in text.split("\n"))
        / 72
    )
