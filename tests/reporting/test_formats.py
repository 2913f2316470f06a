import re
from pathlib import Path

import pandas as pd
import pytest

from dejavu.reporting.collect import collect_costs, collect_gaps, collect_probes, collect_runs
from dejavu.reporting.formats import (
    Section,
    Table,
    escape_tex,
    to_markdown,
    to_tex,
    write_csv,
    write_table,
)
from dejavu.reporting.tables import Design, all_metrics_table, main_table
from dejavu.reporting.text_tables import (
    lay_out_all_metrics,
    lay_out_cost,
    lay_out_gap,
    lay_out_main,
    lay_out_probes,
)
from tests.support.measured import Write


def _main(paths: list[Path], design: Design) -> tuple[pd.DataFrame, Table]:
    runs = collect_runs(paths)
    frame = main_table(runs, design)
    return frame, lay_out_main(frame, runs, design)


def test_files_are_byte_identical_whatever_the_order(
    run_paths: list[Path], design: Design, tmp_path: Path
) -> None:
    contents = []
    for folder, paths in (("a", run_paths), ("b", run_paths[::-1])):
        write_table(*_main(paths, design), tmp_path / folder)
        contents.append([(tmp_path / folder / f"main.{s}").read_bytes() for s in _SUFFIXES])
    assert contents[0] == contents[1]
    assert b"\r" not in b"".join(contents[0])


_SUFFIXES = ("csv", "md", "tex")


def test_csv_text(run_paths: list[Path], design: Design, tmp_path: Path) -> None:
    write_csv(_main(run_paths, design)[0], tmp_path / "main.csv")
    lines = (tmp_path / "main.csv").read_text().splitlines()
    assert lines[0] == (
        "task,network,method,metric,unit,higher_is_better,mean,std,n,delta,delta_low,delta_high"
    )
    assert lines[1].startswith("segmentation,fpn,dejavu,miou,%,True,51.5,1.322875656,3,0.5,-0.742")
    assert lines[3] == "segmentation,fpn,baseline,miou,%,True,51,1,3,,,"


def test_markdown_of_the_main_table(run_paths: list[Path], design: Design) -> None:
    text = to_markdown(_main(run_paths, design)[1])
    lines = text.splitlines()
    assert lines[0] == "Study tiny, val split: n = 3 seeds, a pilot."
    assert "| segmentation | network | n | mIoU (%) ↑ | Δ | boundary IoU (%) ↑ | Δ |" in lines
    assert (
        "| dejavu | fpn | 3 | 51.50 ± 1.32 | +0.50 [-0.74, 1.74] "
        "| 32.00 ± 0.95 | +1.00 [0.75, 1.25] better |"
    ) in lines
    assert "| baseline | fpn | 3 | 51.00 ± 1.00 |  | 31.00 ± 1.00 |  |" in lines
    depth = next(line for line in lines if "0.4600" in line)
    assert "-0.0500 [-0.0525, -0.0475] better" in depth
    assert "worse" in depth
    assert "- Protocol of segmentation, depth: val split, 8 images; boundary_ratio = 0.02" in text


def test_ten_seeds_are_no_pilot(write_run: Write, design: Design) -> None:
    paths = [
        write_run(task, method, seed)
        for task in design.tasks
        for method in design.methods
        for seed in range(10)
    ]
    assert "pilot" not in to_markdown(_main(paths, design)[1])
    assert "pilot" in to_markdown(_main([p for p in paths if "9" not in p.name], design)[1])


def test_an_undefined_difference_is_not_an_empty_cell(
    run_paths: list[Path], write_run: Write, design: Design
) -> None:
    write_run("segmentation", "dejavu", 1, value=float("nan"))
    row = _main(run_paths, design)[1].sections[0].rows[0]
    assert row == ["dejavu", "fpn", "3", "undefined", "undefined", "undefined", "undefined"]


def test_all_metrics_puts_methods_below_each_other(run_paths: list[Path], design: Design) -> None:
    runs = collect_runs(run_paths)
    table = lay_out_all_metrics(all_metrics_table(runs, design), runs, design)
    assert [row[:2] for row in table.sections[0].rows] == [
        ["mIoU (%) ↑", "dejavu"],
        ["mIoU (%) ↑", "baseline"],
        ["boundary IoU (%) ↑", "dejavu"],
        ["boundary IoU (%) ↑", "baseline"],
    ]
    assert "Exploratory" in table.caption


def test_gap_and_cost_tables(gap_paths: list[Path], cost_paths: list[Path], design: Design) -> None:
    gap = lay_out_gap(collect_gaps(gap_paths), design)
    assert gap.sections[0].rows[0] == ["blank", "limit", "", "1.0000", "0.5000", "50.0"]
    assert gap.sections[0].rows[1][2] == "dejavu"
    assert gap.sections[0].rows[2][-1] == "-1.0"
    cost = lay_out_cost(collect_costs(cost_paths), design)
    assert cost.sections[1].rows[1] == [
        *("dejavu", "fpn", "37.5", "1.25", "1", "1.00", "301,234", "301,234", "1.5"),
    ]
    assert "64 x 64" in cost.notes[0]


def test_probe_table(probe_paths: list[Path], design: Design) -> None:
    table = lay_out_probes(collect_probes(probe_paths), design)
    segmentation, depth = table.sections
    assert segmentation.header == [
        *("segmentation", "network", "redaction", "zeros", "live", "detached", "ground truth"),
        *("arg-max", "oracle gap (%)", "used (%)"),
    ]
    redaction = "random_blocks(block=8, keep=0.1)"
    assert segmentation.rows == [
        [
            "dejavu",
            "fpn",
            redaction,
            "0.4000",
            "0.3800",
            "0.3750",
            "0.3300",
            "0.3900",
            "17.5",
            "5.0",
        ]
    ]
    assert depth.rows == [
        ["dejavu", "fpn", redaction, "0.4000", "0.4020", "0.3750", "0.3960", "", "1.0", "-0.5"]
    ]
    assert "val split of modules trained alike for 3 steps (seed 0)" in table.caption


def test_tasks_without_probes_are_left_out(probe_paths: list[Path], design: Design) -> None:
    table = lay_out_probes(collect_probes(probe_paths[1:]), design)
    assert [section.header[0] for section in table.sections] == ["depth"]


def test_a_study_without_probes_says_so(
    no_probe_paths: list[Path], design: Design, tmp_path: Path
) -> None:
    probes = collect_probes(no_probe_paths)
    write_table(probes.frame, lay_out_probes(probes, design), tmp_path)
    csv, md, tex = ((tmp_path / f"probes.{suffix}").read_text() for suffix in _SUFFIXES)
    assert csv == ("task,network,method,redaction,zeros,live,detached,ground_truth,argmax\n")
    assert md.endswith("\n\n- No method of the study regenerates from a live prediction.\n")
    assert "|" not in md
    assert "No method of the study regenerates" in tex
    assert "longtable}{" not in tex


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("5 % of a_b", r"5 \% of a\_b"),
        ("a & b # $ {c} ~ ^", r"a \& b \# \$ \{c\} \textasciitilde{} \textasciicircum{}"),
        ("\\", r"\textbackslash{}"),
        ("± ↑ ↓ Δ °", r"$\pm$ $\uparrow$ $\downarrow$ $\Delta$ $^\circ$"),
        ("-0.3 [-1, 2]", "$-$0.3 [$-$1, 2]"),
        ("dejavu-2 1-2", "dejavu-2 1-2"),
    ],
)
def test_tex_escapes(text: str, expected: str) -> None:
    assert escape_tex(text) == expected


def test_tex_is_balanced_and_ascii(
    run_paths: list[Path], gap_paths: list[Path], probe_paths: list[Path], design: Design
) -> None:
    for table in (
        _main(run_paths, design)[1],
        lay_out_gap(collect_gaps(gap_paths), design),
        lay_out_probes(collect_probes(probe_paths), design),
    ):
        text = to_tex(table)
        assert text.isascii()
        begun, ended = (re.findall(rf"\\{word}{{(\w+)}}", text) for word in ("begin", "end"))
        assert begun == ["longtable"] == ended
        assert [text.count(rf"\{word}group") for word in ("begin", "end")] == [1, 1]
        assert [text.count(rf"\{rule}rule") for rule in ("top", "bottom")] == [1, 1]
        alignment = re.search(r"\\begin{longtable}{([lr]+)}", text)
        assert alignment
        caption, *rows = [line for line in text.splitlines() if line.endswith(r"\\")]
        assert re.fullmatch(r"\\caption{.*}\\label{tab:\w+}\\\\", caption)
        assert {len(re.findall(r"(?<!\\)&", row)) + 1 for row in rows} == {len(alignment[1])}
        unescaped = re.sub(r"^% needs.*$", "", text, flags=re.M)
        assert not re.search(r"(?<!\\)%|(?<!\\)_", unescaped)


def test_markdown_escapes_what_would_break_a_row() -> None:
    table = Table("t", "a*b", [Section(["x|y"], [["<b>"]])], 1, [])
    assert to_markdown(table).startswith("a\\*b\n\n| x\\|y |\n| :--- |\n| \\<b\\> |\n")
