import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from benchmarks.__main__ import main
from benchmarks.redaction import LOOPS, SETTINGS
from benchmarks.report import Row, at_least, at_most
from benchmarks.timing import interleave, ratio
from benchmarks.training import SAME
from dejavu.method.redaction import REDACTIONS


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("benchmarks")
    threads = torch.get_num_threads()
    with torch.random.fork_rng():
        main(["--quick", "--output", str(output)])
    torch.set_num_threads(threads)
    return output


@pytest.fixture(scope="module")
def rows(folder: Path) -> list[dict[str, Any]]:
    measured: list[dict[str, Any]] = json.loads((folder / "results.json").read_text())["rows"]
    return measured


def values(rows: list[dict[str, Any]], section: str, measure: str) -> dict[str, float]:
    """Values by subject of the section that starts so."""
    return {
        row["subject"]: row["value"]
        for row in rows
        if row["section"].startswith(section) and row["measure"] == measure
    }


def test_every_number_is_positive_and_judged_by_its_target(rows: list[dict[str, Any]]) -> None:
    for row in rows:
        assert row["value"] > 0, row
        if row["quartiles"]:
            assert row["quartiles"][0] <= row["value"] <= row["quartiles"][1], row
        if row["target"] is None:
            assert row["reached"] is None
        else:
            above = row["value"] > row["target"]["bound"]
            assert row["reached"] == (above == (row["target"]["kind"] == "at least")), row


def test_the_share_of_every_redaction_is_measured(rows: list[dict[str, Any]]) -> None:
    assert {*SETTINGS} == {*REDACTIONS}
    assert [*values(rows, "Redaction's share", "of the step's time")] == [*SETTINGS]


def test_spectral_redactions_are_timed_against_their_loops(rows: list[dict[str, Any]]) -> None:
    section = "Batched spectral redaction"
    assert {*values(rows, section, "time of the loop / batched")} == {*LOOPS}


@pytest.mark.parametrize("name", LOOPS)
def test_the_loops_give_the_redactions_result(name: str) -> None:
    redaction, loop = LOOPS[name]
    images = torch.randn(2, 3, 24, 40, generator=torch.Generator().manual_seed(0))
    expected = loop(images.numpy().astype(np.float64))
    np.testing.assert_allclose(redaction(images).image.numpy(), expected, atol=1e-5)


def test_steps_are_measured_by_stride_on_both_networks(rows: list[dict[str, Any]]) -> None:
    measures = ("step time / baseline", "peak memory / baseline")
    counts = ("CRM parameters", "CRM FLOPs an image")
    for network, widths in (("embedded", (16, 8)), ("lraspp", (16,))):
        names = [f"CRM stride {stride}, width {width}" for width in widths for stride in (1, 2, 4)]
        for measure in (*measures, *counts):
            measured = [*values(rows, f"DejaVu step, {network}", measure)]
            assert [name for name in measured if name != SAME] == names
        assert SAME in values(rows, f"DejaVu step, {network}", "step time / baseline")
    memory = values(rows, "DejaVu step, embedded", "peak memory / baseline")
    strides = [memory[f"CRM stride {stride}, width 16"] for stride in (1, 2, 4)]
    assert strides == sorted(strides, reverse=True), "coarser CRMs need less memory"
    assert min(strides) > 1


def test_the_loss_costs_no_flops_at_inference_and_attention_does(
    rows: list[dict[str, Any]],
) -> None:
    flops = values(rows, "Inference", "FLOPs / baseline")
    assert flops.pop("trained with the DejaVu loss") == 1
    assert flops["shared attention, cell 4"] > flops["shared attention, cell 8"] > 1
    latency = values(rows, "Inference", "latency / baseline")
    assert {*latency} == {*flops, "trained with the DejaVu loss"}
    assert {*values(rows, "Inference", "training step / baseline")} == {*flops}


def test_every_extension_is_measured(rows: list[dict[str, Any]]) -> None:
    assert [*values(rows, "Extensions", "step time / baseline")] == [
        "DejaVu",
        "DejaVu with ssim",
        "DejaVu, recurrent CRM (2 passes)",
        "DejaVu, cyclic",
    ]


def test_the_table_has_every_row_and_no_place(folder: Path, rows: list[dict[str, Any]]) -> None:
    table = (folder / "results.md").read_text()
    body = re.findall(r"^\| (?!\||---)(.+?) \| ", table, flags=re.MULTILINE)
    assert body == [row["subject"] for row in rows]
    assert table.count("**missed**") == sum(row["reached"] is False for row in rows)
    for text in (table, (folder / "results.json").read_text()):
        assert str(Path.cwd()) not in text
        assert str(folder) not in text


def test_targets_are_bounds_that_count_as_reached() -> None:
    assert [at_most(2).reached(value) for value in (1.9, 2, 2.1)] == [True, True, False]
    assert [at_least(2).reached(value) for value in (1.9, 2, 2.1)] == [False, True, True]
    assert Row("section", "subject", "measure", 3, "x").reached is None


def test_a_single_round_is_refused(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    with pytest.raises(SystemExit):
        main(["--quick", "--rounds", "1", "--output", str(tmp_path)])
    assert "--rounds 1: must be at least 2" in capsys.readouterr().err
    assert not any(tmp_path.iterdir())


def test_arms_take_turns_and_warm_up_is_not_timed() -> None:
    calls: list[str] = []
    arms = {name: lambda name=name: calls.append(name) for name in "abc"}
    seconds = interleave(arms, rounds=3)
    assert {name: len(taken) for name, taken in seconds.items()} == {"a": 3, "b": 3, "c": 3}
    turns = [calls[start : start + 3] for start in range(0, len(calls), 3)]
    assert len(turns) > 3
    assert all(sorted(turn) == ["a", "b", "c"] for turn in turns)
    assert {turn[0] for turn in turns} == {"a", "b", "c"}


def test_ratios_are_taken_within_a_round() -> None:
    # The machine was twice as slow in the second round and four times in the third.
    seconds = {"arm": [3.0, 6.0, 12.0], "reference": [2.0, 4.0, 8.0]}
    assert ratio(seconds, "arm", "reference") == (1.5, 1.5, 1.5)
    seconds = {"arm": [1.0, 8.0, 2.0], "reference": [1.0, 1.0, 4.0]}
    assert ratio(seconds, "arm", "reference") == (1.0, 0.75, 4.5)
