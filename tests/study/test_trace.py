"""`explain`: what a result was made of, and every kind of disagreement."""

import csv
import json
import shutil
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dejavu.runtime.errors import DejaVuError, ParamsError
from dejavu.study.exhibits import FIGURES
from dejavu.study.jobs import JOBS, every_job
from dejavu.study.layout import Layout
from dejavu.study.record import file_sha256, recorded
from dejavu.study.run import Run
from dejavu.study.trace import Source, explain
from tests.support.recorded import MAIN, METRICS, edit_record, first_run, score


def below(source: Source) -> dict[str, Source]:
    """All that a result was made of, and itself, by path."""
    found = {source.path: source}
    for one in source.sources:
        found |= below(one)
    return found


def test_a_cell_is_the_mean_of_its_runs_and_they_lead_to_checkpoints_and_data(
    layout: Layout,
) -> None:
    run = first_run(layout)
    of = {"task": run.task, "network": "fpn", "method": run.method, "metric": "score"}
    found = explain(layout, MAIN, of)
    assert found.disagreements == []
    (cell,) = found.cells
    runs = [Run(layout.params, run.task, "fpn", run.method, seed) for seed in (0, 1)]
    assert cell.values == {str(layout.metrics(run)): score(run, "score") for run in runs}
    assert cell.mean == pytest.approx(sum(cell.values.values()) / 2)
    assert [s.path for s in found.result.sources] == [str(layout.metrics(run)) for run in runs]
    sources = below(found.result)
    checkpoint = sources[str(layout.checkpoint(run))]
    assert checkpoint.sha256 == file_sha256(layout.checkpoint(run))
    assert checkpoint.record is not None
    assert checkpoint.record.hashes == {"run": run.hash}
    assert checkpoint.record.params == run.identity()
    assert checkpoint.record.execution is not None
    manifest = json.loads(layout.manifest.read_text())
    assert sources[str(layout.manifest)].fingerprints == {
        split: record["fingerprints"] for split, record in manifest["splits"].items()
    }
    assert {source.state for source in sources.values()} == {"as recorded"}


def test_every_result_of_a_finished_study_agrees(layout: Layout) -> None:
    for job in every_job(layout):
        found = explain(layout, job.outputs[-1])
        assert found.disagreements == []
        assert found.result.recorded_in == str(job.record)
    everything = below(explain(layout, layout.results / "report.html").result)
    gap = layout.figures / "gap.png"
    assert {str(gap), str(layout.log(first_run(layout)))} <= set(everything)


@given(
    only=st.fixed_dictionaries(
        {},
        optional={
            "task": st.sampled_from(["segmentation", "depth", "normals"]),
            "network": st.just("fpn"),
            "method": st.sampled_from(["baseline", "dejavu-spatial", "dejavu-spectral"]),
            "metric": st.sampled_from(METRICS),
        },
    ),
    table=st.sampled_from(["main.csv", "main.md", "main.tex", "all_metrics.tex"]),
)
@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_narrowed_table_has_the_rows_that_match(
    layout: Layout, only: dict[str, str], table: str
) -> None:
    found = explain(layout, MAIN.with_name(table), only)
    rows = list(csv.DictReader(MAIN.open()))
    matching = [row for row in rows if row | only == row]
    assert matching
    assert [cell.mean for cell in found.cells] == [float(row["mean"]) for row in matching]
    assert all(len(cell.values) == 2 for cell in found.cells)
    wanted = {(row["task"], row["method"]) for row in matching}
    assert len(found.result.sources) == 2 * len(wanted)
    assert found.disagreements == []


def test_a_changed_checkpoint_is_told(layout: Layout) -> None:
    path = layout.checkpoint(first_run(layout))
    path.write_text("other weights")
    (said,) = explain(layout, MAIN).disagreements
    assert said.startswith(f"{path}: changed since it was recorded (results/tiny/records/train/")


def test_a_checkpoint_that_was_not_pulled_is_no_disagreement(layout: Layout) -> None:
    shutil.rmtree(layout.results / "checkpoints")
    shutil.rmtree(layout.data)
    found = explain(layout, MAIN)
    assert found.disagreements == []
    path = layout.checkpoint(first_run(layout))
    source = below(found.result)[str(path)]
    assert (source.state, source.sha256) == ("missing", None)
    assert source.record is not None
    assert str(path) in source.record.outputs  # its checksum is known all the same
    assert explain(layout, path).result.state == "missing"


def test_a_missing_record_is_told_and_the_rest_is_explained(layout: Layout) -> None:
    run = first_run(layout)
    layout.record("train", run).unlink()
    found = explain(layout, MAIN)
    path = layout.checkpoint(run)
    assert found.disagreements == [f"{path}: not recorded ({layout.record('train', run)})"]
    assert below(found.result)[str(layout.manifest)].state == "as recorded"


def test_params_that_ask_for_another_run_make_the_number_stale(layout: Layout) -> None:
    run = first_run(layout)
    steps = layout.params.train.model_copy(update={"steps": 7})
    changed = Layout(layout.params.model_copy(update={"train": steps}))
    now = Run(changed.params, run.task, run.network, run.method, run.seed)
    metrics = layout.metrics(run)
    stale = f"stale: run {run.hash}, but current params and code give {now.hash}"
    said = explain(changed, metrics).disagreements
    assert said == [f"{layout.checkpoint(run)}: {stale}", f"{metrics}: {stale}"]
    layout.record("evaluate", run).unlink()  # a metrics file says itself of which run it is
    assert f"{metrics}: {stale}" in explain(changed, metrics).disagreements


def test_a_wrong_mean_is_told(layout: Layout) -> None:
    run = first_run(layout)
    rows = MAIN.read_text().splitlines()
    MAIN.write_text("\n".join([rows[0], rows[1].replace(",0.1666", ",0.1667"), *rows[2:]]) + "\n")
    where = f"{run.task} fpn {run.method} score"
    said = explain(layout, MAIN, {"task": run.task}).disagreements
    assert f"{MAIN}: changed since it was recorded ({layout.record('tables')})" in said
    assert [line for line in said if line.startswith(f"{where}: the table has 0.1667")]
    assert len(said) == 2


def test_a_mean_whose_runs_are_not_here_cannot_be_checked(layout: Layout) -> None:
    run = first_run(layout)
    layout.metrics(run).unlink()
    said = explain(layout, MAIN, {"metric": "score"}).disagreements
    assert said == [
        f"{run.task} fpn {run.method} score: the table averages 2 values, but 1 are available"
    ]


def test_what_was_made_of_another_input_is_told(layout: Layout) -> None:
    """As when a run was trained anew, and its number is of the earlier weights."""
    run = first_run(layout)
    checkpoint, metrics = layout.checkpoint(run), layout.metrics(run)
    with recorded(JOBS["train"].job(layout, run)):
        checkpoint.write_text("trained anew")
    said = explain(layout, metrics).disagreements
    assert said == [f"{metrics}: built from an older version of {checkpoint}"]


def test_what_one_table_mixes_is_told(layout: Layout) -> None:
    record = layout.record("train", first_run(layout))
    edit_record(
        record,
        execution__code={"commit": "b" * 40, "dirty": True},
        execution__hardware__gpus=["GPU X"],
        execution__versions={"torch": "2.11.0"},
        execution__processes=2,
    )
    said = "\n".join(explain(layout, MAIN).disagreements)
    assert f"train: made with more than one commit: 17 with {'a' * 40}; 1 with {'b' * 40}" in said
    assert "train: made with more than one machine: 17 with " in said
    assert "GPU X" in said
    assert "train: made with more than one set of package versions: 17 with python 3" in said
    assert "1 with torch 2.11.0" in said
    assert "train: 1 of 18 made with uncommitted code or params" in said
    assert "train: made with more than one number of processes: 17 with 1; 1 with 2" in said
    assert len(said.splitlines()) == 5
    other = {"method": [*layout.params.methods][-1]}
    assert explain(layout, MAIN, other).disagreements == []


def test_a_run_that_the_store_did_not_record_is_told(layout: Layout) -> None:
    edit_record(layout.record("train", first_run(layout)), execution=None)
    said = explain(layout, layout.checkpoint(first_run(layout))).disagreements
    assert len(said) == 1
    assert "found in the store" in said[0]


@pytest.mark.parametrize("name", ["gap", "probes", "cost"])
def test_a_table_of_measurements_is_made_of_them_alone(layout: Layout, name: str) -> None:
    found = explain(layout, layout.tables / f"{name}.md").result.sources
    folder = layout.results / "metrics" / name
    assert [s.path for s in found] == [str(folder / f"{t}.json") for t in layout.params.tasks]


@pytest.mark.parametrize(
    ("name", "files"),
    [
        ("paired_differences", "metrics/runs/*/*/*/*.json"),
        ("training_curves", "checkpoints/*/*/*/*.jsonl"),
        ("gap", "metrics/gap/*.json"),
        ("qualitative", "checkpoints/*/*/*/seed0.safetensors"),
    ],
)
def test_a_figure_is_made_of_what_it_shows(layout: Layout, name: str, files: str) -> None:
    (figure,) = (figure for figure in FIGURES if figure.name == name)
    data = {layout.manifest} if name == "qualitative" else set()
    for path in figure.files(layout):
        sources = {Path(source.path) for source in explain(layout, path).result.sources}
        assert sources == {*layout.results.glob(files)} | data


@pytest.mark.parametrize(
    ("path", "only", "message"),
    [
        ("results/tiny/tables/mian.csv", {}, "no result of study tiny"),
        ("results/tiny/metrics/gap/depht.json", {}, "has no 'depht'"),
        ("results/tiny/tables", {}, "no result of study tiny"),
        ("data/tiny/sheet.png", {}, "no result of study tiny"),
        ("results/tiny/checkpoints/depth/fpn/basline/seed0.jsonl", {}, "has no 'basline'"),
        ("results/tiny/checkpoints/depth/fpn/baseline/seed7.jsonl", {}, "has no 7"),
        ("results/tiny/checkpoints/depth/fpn/baseline/x.jsonl", {}, "METHOD/seedK"),
        ("results/tiny/tables/gap.csv", {"task": "depth"}, "main and all_metrics"),
        ("results/tiny/tables/main.csv", {"task": "depht"}, "no run is of task depht; the study"),
        (
            "results/tiny/tables/main.csv",
            {"metric": "miou"},
            "no cell of metric miou; its metrics: score, edge",
        ),
    ],
)
def test_a_users_mistake_is_named(
    layout: Layout, path: str, only: dict[str, str], message: str
) -> None:
    with pytest.raises((DejaVuError, ParamsError), match=message):
        explain(layout, Path(path), only)


def test_what_is_neither_here_nor_recorded_is_an_error(layout: Layout) -> None:
    path = layout.results / "report.html"
    path.unlink()
    assert explain(layout, path).result.state == "missing"
    layout.record("report").unlink()
    with pytest.raises(DejaVuError, match=r"report\.html: missing and not recorded"):
        explain(layout, path)


@pytest.mark.parametrize("content", [b"a,b\n1,2\n", None, b"x", b"\xff", b"a\n" + b"x" * 200_000])
def test_a_damaged_table_is_named(layout: Layout, content: bytes | None) -> None:
    table = MAIN.read_bytes()
    MAIN.write_bytes(content or table.replace(b"0.1666666667", b"a sixth"))
    assert MAIN.read_bytes() != table
    with pytest.raises(DejaVuError, match=r"main\.csv: not a table|main\.csv: has no cell"):
        explain(layout, MAIN)


def test_a_metric_of_another_task_is_no_cell_of_this_one(layout: Layout) -> None:
    first, second = layout.params.tasks[:2]
    lines = MAIN.read_text().splitlines()
    kept = [line for line in lines if not (line.startswith(first) and ",edge_score," in line)]
    assert len(kept) < len(lines)
    MAIN.write_text("\n".join(kept) + "\n")
    assert explain(layout, MAIN, {"task": second, "metric": "edge_score"}).cells
    with pytest.raises(
        DejaVuError, match=f"no cell of task {first}, metric edge_score; its metrics: "
    ):
        explain(layout, MAIN, {"task": first, "metric": "edge_score"})


def test_no_metric_of_a_table_that_is_not_here_can_be_chosen(layout: Layout) -> None:
    MAIN.unlink()
    assert explain(layout, MAIN).cells == []
    with pytest.raises(DejaVuError, match=r"main\.csv: missing"):
        explain(layout, MAIN, {"metric": "score"})


def test_a_damaged_metrics_file_is_named(layout: Layout) -> None:
    layout.metrics(first_run(layout)).write_text("{}")
    with pytest.raises(DejaVuError, match=r"seed0\.json: not a metrics file"):
        explain(layout, MAIN)
