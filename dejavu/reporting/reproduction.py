"""Compare a study's scores with the committed ones, within the spread between processors.

Another kind of processor rounds differently, and training amplifies the difference. How far
apart two processors end is measured by reruns (``make spread``), and not assumed.
"""

import io
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from dejavu.runtime.errors import DejaVuError

RUN = ["task", "network", "method", "seed", "metric"]
CELL = ["task", "network", "method", "metric"]
METRIC = ["task", "metric"]
WIDTH = 4.0
"""Standard errors within which a mean counts as reproduced: the largest of some hundred means of
normal differences stays within it in 199 of 200 comparisons."""


def committed_text(path: Path) -> str | None:
    """Return a file as it was last committed; None without such a file, commit or repository."""
    name = Path(os.path.relpath(path)).as_posix()
    try:
        shown = subprocess.run(["git", "show", f"HEAD:./{name}"], capture_output=True, check=False)
    except FileNotFoundError:  # no git
        return None
    return shown.stdout.decode("utf-8") if shown.returncode == 0 else None


def committed_scores(path: Path) -> pd.DataFrame:
    """Return the scores that were last committed.

    Raises:
        DejaVuError: none are.
    """
    text = committed_text(path)
    if text is None:
        raise DejaVuError(f"{path}: is not committed: there is nothing to compare with")
    return parse_scores(text, path)


def read_scores(path: Path) -> str:
    """Return the text of a study's ``metrics/runs.csv``.

    Raises:
        DejaVuError: there is no such file.
    """
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DejaVuError(f"{path}: no scores can be read here: {error}") from None


def parse_scores(text: str, path: Path) -> pd.DataFrame:
    """Parse the text of a file ``metrics/runs.csv``, or of the measured spread.

    Raises:
        DejaVuError: it is no such table; the message names the path.
    """
    try:
        frame = pd.read_csv(io.StringIO(text))
    except ValueError as error:
        raise DejaVuError(f"{path}: is no table of scores: {error}") from None
    if not {*METRIC, "unit"} <= {*frame.columns}:
        raise DejaVuError(f"{path}: is no table of scores: it lacks {', '.join(METRIC)} or unit")
    return frame


def measure_spread(committed: pd.DataFrame, reruns: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Measure how far a run's score moves when another processor trains it.

    Args:
        committed: scores of the study, one row per run and metric.
        reruns: the same of reruns under other processor settings.

    Returns:
        One row per task and metric: its unit, the root mean square of (rerun - committed) over all
        runs and reruns (``spread``), and the number of such differences (``count``).

    Raises:
        DejaVuError: a rerun has other runs or metrics, or all values of all reruns equal the
            committed ones.
    """
    joined = [_join(rerun, committed) for rerun in reruns]
    # A rerun with the committed bytes was made as the study was: it is no other processor.
    joined = [frame for frame in joined if (frame["difference"] != 0).any()]
    if not joined:
        raise DejaVuError("all reruns equal the committed scores: none is another processor's")
    squares = pd.concat(joined).assign(square=lambda frame: frame["difference"] ** 2)
    grouped = squares.groupby([*METRIC, "unit"], sort=False)["square"].agg(["mean", "count"])
    spread = grouped.assign(spread=grouped["mean"] ** 0.5).reset_index()
    return spread[[*METRIC, "unit", "spread", "count"]]


def compare_scores(
    found: pd.DataFrame, committed: pd.DataFrame, spread: pd.DataFrame
) -> pd.DataFrame:
    """Compare the means over seeds with the committed ones.

    Args:
        found: scores of the study as made here, one row per run and metric.
        committed: the committed ones.
        spread: the measured spread (see `measure_spread`).

    Returns:
        One row per task, network, method and metric: the committed mean, the mean found, their
        ``difference``, the ``limit`` of its size (``WIDTH`` * spread / sqrt(number of seeds)) and
        whether it is ``within`` the limit.

    Raises:
        DejaVuError: runs or metrics differ, or the spread of a metric was not measured.
    """
    joined = _join(found, committed).merge(spread[[*METRIC, "spread"]], on=METRIC, how="left")
    if joined["spread"].isna().any():
        unknown = (
            joined.loc[joined["spread"].isna(), METRIC].drop_duplicates().agg(" ".join, axis=1)
        )
        raise DejaVuError(f"no spread was measured for {', '.join(unknown)}: make spread")
    cells = joined.groupby([*CELL, "unit"], sort=False)
    means = cells[["committed", "value", "spread"]].mean().rename(columns={"value": "found"})
    means["difference"] = cells["difference"].apply(lambda one: one.mean(skipna=False))
    means["limit"] = WIDTH * means["spread"] / cells.size() ** 0.5
    means["within"] = means["difference"].abs() <= means["limit"]
    return means.drop(columns="spread").reset_index()


def describe_comparison(compared: pd.DataFrame) -> list[str]:
    """Say the outcome: how many means agree, the farthest of each task, and all outside.

    Args:
        compared: the frame of `compare_scores`.
    """
    equal, within = (compared["difference"] == 0).sum(), compared["within"].sum()
    lines = [
        f"{len(compared)} means over seeds: {equal} equal the committed ones, "
        f"{within} lie within the spread between processors"
    ]
    share = compared["difference"].abs() / compared["limit"].where(compared["limit"] > 0)
    farthest = share.groupby(compared["task"], sort=False).idxmax()
    shown = compared.loc[sorted({*farthest.dropna(), *compared.index[~compared["within"]]})]
    for row in shown.itertuples():
        verdict = "within" if row.within else "OUTSIDE"
        lines.append(
            f"{verdict}: {row.task} {row.network} {row.method} {row.metric}: {row.found:.4g}, "
            f"committed {row.committed:.4g} ({row.difference:+.2g} {row.unit}; "
            f"limit {row.limit:.2g})"
        )
    return lines


def _join(found: pd.DataFrame, committed: pd.DataFrame) -> pd.DataFrame:
    """Put the values of the same runs side by side: ``value``, ``committed``, ``difference``."""
    others = committed[[*RUN, "value"]].rename(columns={"value": "committed"})
    joined = found.merge(others, on=RUN, how="outer", indicator=True, validate="one_to_one")
    alone = joined[joined["_merge"] != "both"]
    if len(alone):
        row = alone.iloc[0]
        where = "here" if row["_merge"] == "left_only" else "among the committed results"
        raise DejaVuError(
            f"{len(alone)} scores exist on one side alone: {row['metric']} of {row['task']} "
            f"{row['network']} {row['method']} seed {row['seed']} only {where}"
        )
    undefined = joined["value"].isna() & joined["committed"].isna()
    return joined.assign(difference=(joined["value"] - joined["committed"]).mask(undefined, 0.0))
