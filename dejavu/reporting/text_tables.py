"""Text tables of a study for readers, laid out from its data frames."""

import math
from collections.abc import Mapping
from typing import Any

import pandas as pd

from dejavu.reporting.collect import PROBE_COLUMNS, Measured, Runs
from dejavu.reporting.findings import outcome_of
from dejavu.reporting.formats import Section, Table
from dejavu.reporting.labels import difference_text, metric_header, value_text
from dejavu.reporting.tables import PILOT_BELOW, Design, records

Row = Mapping[str, Any]

NO_PROBES = "No method of the study regenerates from a live prediction."
_PROBE_NOTES = [
    "Conditions: zeros; the live prediction, trained together with the module, as the method "
    "itself does; the detached prediction, which sends no gradient, so that the network is the "
    "reference's; the ground truth.",
    "Arg-max: the module of the live prediction, given that prediction made hard (one-hot); empty "
    "where the task has no hard prediction. Where it lies above live, the module reads more than "
    "the class from soft values, or is not used to hard ones.",
    "Oracle gap: 1 - ground truth / zeros. Used: 1 - live / zeros. One run each, no interval: "
    "small differences claim nothing.",
]


def lay_out_main(table: pd.DataFrame, runs: Runs, design: Design) -> Table:
    """Lay out `main_table`: a section per task, a row per network and method.

    Args:
        table: result of `main_table`.
        runs: its runs, which name the protocol.
        design: the comparison.
    """
    sections = []
    for task in design.tasks:
        protocol = runs.protocols[task]
        rows = records(table[table["task"] == task])
        cells = {(row["network"], row["method"], row["metric"]): row for row in rows}
        header = [task, "network", "n"]
        for name in (protocol.primary, protocol.boundary):
            spec = protocol.spec(name)
            header += [metric_header(name, spec.unit, spec.higher_is_better), "Δ"]
        body = [
            [
                *(method, network, str(cells[network, method, protocol.primary]["n"])),
                *_pair(cells[network, method, protocol.primary], design),
                *_pair(cells[network, method, protocol.boundary], design),
            ]
            for network in design.networks
            for method in design.methods
        ]
        sections.append(Section(header, body))
    caption = f"Study {runs.study}, {runs.split} split: {_seeds_text(table)}."
    return Table("main", caption, sections, 2, _run_notes(runs, design))


def lay_out_all_metrics(table: pd.DataFrame, runs: Runs, design: Design) -> Table:
    """Lay out `all_metrics_table`: a section per task, a row per metric, network and method."""
    sections = []
    for task in design.tasks:
        rows = records(table[table["task"] == task])
        # Sorted by metric, so that methods stand below each other.
        order = {spec.name: i for i, spec in enumerate(runs.protocols[task].metrics)}
        rows.sort(key=lambda row: order[row["metric"]])
        header = [task, "method", "network", "n", "value", "Δ"]
        body = [
            [
                metric_header(row["metric"], row["unit"], row["higher_is_better"]),
                *(row["method"], row["network"], str(row["n"])),
                *_pair(row, design),
            ]
            for row in rows
        ]
        sections.append(Section(header, body))
    caption = (
        f"Study {runs.study}, {runs.split} split, every metric: {_seeds_text(table)}. "
        "Exploratory beyond the metrics of the main table."
    )
    return Table("all_metrics", caption, sections, 3, _run_notes(runs, design))


def lay_out_gap(gap: Measured, design: Design) -> Table:
    """Lay out the oracle gaps: a section per task, widest gap first."""
    sections = []
    for task in design.tasks:
        rows = records(gap.frame[gap.frame["task"] == task])
        rows.sort(key=lambda row: -row["gap"])
        header = [task, "kind", "used by", "L_DV, zeros", "L_DV, ground truth", "gap (%)"]
        body = [
            [
                *(row["redaction"], row["kind"], _optional(row["method"])),
                *(f"{row['zeros']:.4f}", f"{row['ground_truth']:.4f}", f"{100 * row['gap']:.1f}"),
            ]
            for row in rows
        ]
        sections.append(Section(header, body))
    caption = (
        f"Study {gap.conditions['study']}, oracle gap: how far the regeneration loss L_DV on the "
        f"{gap.conditions['split']} split falls when the regeneration module is given the ground "
        f"truth instead of zeros, after {gap.conditions['steps']} training steps of it alone."
    )
    note = "Where the gap is near zero, the redacted image tells enough: no gain is possible."
    return Table("gap", caption, sections, 3, [note])


def lay_out_probes(probes: Measured, design: Design) -> Table:
    """Lay out the probes: a section per probed task, a row per network and method."""
    sections = []
    for task in design.tasks:
        rows = records(probes.frame[probes.frame["task"] == task])
        header = [
            *(task, "network", "redaction", "zeros", "live", "detached", "ground truth"),
            *("arg-max", "oracle gap (%)", "used (%)"),
        ]
        body = [
            [
                *(row["method"], row["network"], row["redaction"]),
                *(_loss(row[key]) for key in PROBE_COLUMNS[4:]),
                *(f"{100 * (1 - row[key] / row['zeros']):.1f}" for key in ("ground_truth", "live")),
            ]
            for row in rows
        ]
        if body:
            sections.append(Section(header, body))
    c = probes.conditions
    caption = (
        f"Study {c['study']}, probes: the regeneration loss L_DV on the {c['split']} split of "
        f"modules trained alike for {c['steps']} steps (seed {c['seed']}), each with another "
        "condition in the place of the prediction."
    )
    return Table("probes", caption, sections, 3, _PROBE_NOTES if sections else [NO_PROBES])


def lay_out_cost(cost: Measured, design: Design) -> Table:
    """Lay out the costs: a section per task, a row per network and method."""
    sections = []
    for task in design.tasks:
        rows = records(cost.frame[cost.frame["task"] == task])
        header = [
            *(task, "network", "step (ms)", "ratio", "memory (MiB)", "ratio"),
            *("parameters", "in training", "MFLOPs per image"),
        ]
        body = [
            [
                *(row["method"], row["network"]),
                *(f"{1e3 * row['step_seconds']:.1f}", f"{row['step_ratio']:.2f}"),
                *(f"{row['memory_bytes'] / 2**20:,.0f}", f"{row['memory_ratio']:.2f}"),
                *(f"{row['parameters']:,}", f"{row['training_parameters']:,}"),
                f"{row['flops'] / 1e6:,.1f}",
            ]
            for row in rows
        ]
        sections.append(Section(header, body))
    c = cost.conditions
    size = " x ".join(map(str, c["image_size"]))
    note = (
        f"Device: {c['device']}; batches of {c['batch_size']} images of {size}; medians of "
        f"{c['rounds']} rounds in which every method takes one step; ratios to "
        f"{design.reference}, taken within the round."
    )
    return Table("cost", "What training costs, and what is deployed.", sections, 2, [note])


def protocol_lines(runs: Runs, design: Design) -> list[str]:
    """State the evaluation's split, images, ground truth and settings, and notes on the data.

    Tasks with the same protocol share a line.
    """
    tasks: dict[str, list[str]] = {}
    for task in design.tasks:
        protocol = runs.protocols[task]
        settings = ", ".join(f"{k} = {_setting(v)}" for k, v in protocol.protocol.items())
        text = f"{runs.split} split, {protocol.images} images; {settings}"
        tasks.setdefault(text, []).append(task)
    notes = dict.fromkeys(note for task in design.tasks for note in runs.protocols[task].notes)
    return [
        *(f"Protocol of {', '.join(names)}: {text}." for text, names in tasks.items()),
        *(f"Data: {note}." for note in notes),
    ]


def _setting(value: Any) -> str:
    """Format a setting as in a params file."""
    words = {None: "null", True: "true", False: "false"}
    return words[value] if value is None or isinstance(value, bool) else str(value)


def _run_notes(runs: Runs, design: Design) -> list[str]:
    return [
        "Values: mean ± sample standard deviation over the seeds.",
        f"Δ: mean difference to {design.reference} paired by seed, in the metric's own unit "
        f"(points for %), with its {100 * design.confidence:g} % Student-t interval, marked better "
        "or worse where the interval excludes zero. Not corrected for the number of comparisons.",
        *protocol_lines(runs, design),
    ]


def _pair(row: Row, design: Design) -> list[str]:
    """Return the cells of a value and of its difference, which is empty for the reference."""
    value = value_text(row["mean"], row["std"], row["unit"])
    if row["method"] == design.reference:
        return [value, ""]
    delta, low, high = row["delta"], row["delta_low"], row["delta_high"]
    outcome = outcome_of(delta, low, high, row["higher_is_better"])
    mark = f" {outcome}" if outcome in ("better", "worse") else ""
    return [value, difference_text(delta, low, high, row["unit"]) + mark]


def _seeds_text(table: pd.DataFrame) -> str:
    counts = sorted(set(table["n"]))
    text = f"n = {' or '.join(map(str, counts))} seed{'' if counts == [1] else 's'}"
    return f"{text}, a pilot" if min(counts) < PILOT_BELOW else text


def _loss(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.4f}"


def _optional(value: Any) -> str:
    return value if isinstance(value, str) else ""
