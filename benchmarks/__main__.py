"""Measure everything and write benchmarks/results.md and results.json."""

import argparse
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import torch

from benchmarks.inference import inference_rows
from benchmarks.redaction import loop_rows, share_rows
from benchmarks.report import Row, write_report
from benchmarks.scale import QUICK, Scale
from benchmarks.training import embedded_rows, extension_rows, large_rows

PARTS: tuple[Callable[[Scale], list[Row]], ...] = (
    *(share_rows, loop_rows),
    *(embedded_rows, large_rows),
    *(inference_rows, extension_rows),
)
_LARGE_PART = 5  # the large network is slow: it is timed a fifth as often


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the benchmarks from the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--rounds", type=int, help="timed rounds (large network: a fifth of it)")
    parser.add_argument("--quick", action="store_true", help="tiny sizes, as a smoke test")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent, metavar="FOLDER")
    options = parser.parse_args(arguments)
    if options.rounds is not None and options.rounds < 2:
        parser.error(f"--rounds {options.rounds}: must be at least 2, to have quartiles")
    torch.set_num_threads(1)
    torch.manual_seed(0)
    scale = QUICK if options.quick else Scale()
    if options.rounds:
        large = max(2, math.ceil(options.rounds / _LARGE_PART))
        scale = replace(scale, rounds=options.rounds, large_rounds=large)
    rows = [row for part in PARTS for row in part(scale)]
    write_report(rows, (scale.rounds, scale.large_rounds), options.output)
    print((options.output / "results.md").read_text(encoding="utf-8"), end="")


if __name__ == "__main__":
    main()
