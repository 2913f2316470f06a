import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dejavu.config import Params, parse_params
from dejavu.runtime.errors import ParamsError
from dejavu.study.exhibits import FIGURES
from dejavu.study.measurements import MEASUREMENTS
from dejavu.study.phase_codes import phase_codes
from dejavu.study.phases import data_hash, evaluation_hash, report_hash, text_pair_hash
from dejavu.study.run import Run
from dejavu.tasks.registry import task_names
from tests.support.studies import TINY, tiny_params, with_value

MEASURED = {one.verb: one.hash for one in MEASUREMENTS}


def run(params: Params, method: str = "dejavu-spatial", task: str = "depth") -> Run:
    return Run(params, task, "fpn", method, 0)


def changed(path: str, value: Any) -> Params:
    return parse_params(with_value(path, value), "changed")


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("train.steps", 7),
        ("train.threads", 2),
        ("data.rooms.seed", 1),
        ("networks.fpn.width", 8),
        ("methods.dejavu-spatial.dejavu.gamma.depth", 0.2),
        ("methods.dejavu-spatial.dejavu.redaction.keep", 0.4),
        ("methods.dejavu-spatial.dejavu.crm.width", 8),
        ("methods.dejavu-spatial.dejavu.crm.passes", 2),
        ("methods.dejavu-spatial.dejavu.distance", {"mse": 1.0, "l1": 1.0}),
        ("methods.dejavu-spatial.dejavu.cyclic", {"gamma": dict.fromkeys(task_names(), 1.0)}),
        ("methods.dejavu-spatial.dejavu.text", {"gamma": dict.fromkeys(task_names(), 1.0)}),
        ("methods.dejavu-spatial.boundary_weight", 1.0),
        ("methods.dejavu-spatial.erasing", 0.5),
        ("methods.dejavu-spatial.steps_factor", 2.0),
        ("train.labelled", 4),
        ("train.label_density", 0.5),
    ],
)
def test_what_changes_the_result_changes_the_run(params: Params, path: str, value: Any) -> None:
    assert run(changed(path, value)).hash != run(params).hash


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("study", "other"),
        ("seeds", [0, 1, 2]),
        ("train.checkpoint_every", 1),
        ("train.jobs_per_device", 2),
        ("evaluation.split", "val"),
        ("report.confidence", 0.9),
        ("methods.dejavu-spatial.dejavu.gamma.normals", 0.2),
        ("methods.dejavu-spectral.dejavu.redaction.cutoff", 0.1),
        ("methods.dejavu-spatial.boundary_width", 7),  # without a boundary_weight
        ("text_pair.steps", 9),  # without a method that is supervised by text
    ],
)
def test_what_does_not_change_the_result_keeps_the_run(
    params: Params, path: str, value: Any
) -> None:
    assert run(changed(path, value)).hash == run(params).hash


def test_weights_are_the_tasks_own(params: Params) -> None:
    gamma = {"segmentation": 0.1, "depth": 0.2, "normals": 0.3}
    cyclic = changed("methods.dejavu-spatial.dejavu.cyclic", {"gamma": gamma})
    own = TINY["methods"]["dejavu-spatial"]["dejavu"]["gamma"]
    assert run(cyclic).weights == {"dejavu": own["depth"], "cyclic": 0.2}
    assert run(cyclic, task="normals").weights == {"dejavu": own["normals"], "cyclic": 0.3}
    assert run(params, "baseline").weights == {}
    other = changed("methods.dejavu-spatial.dejavu.cyclic", {"gamma": gamma | {"normals": 9.0}})
    assert run(other).hash == run(cyclic).hash


def supervised(**text: Any) -> Params:
    tree = {"gamma": dict.fromkeys(task_names(), 1.0)} | text
    return changed("methods.dejavu-spatial.dejavu.text", tree)


def test_the_text_pair_is_part_of_the_runs_that_it_supervises() -> None:
    params = supervised()
    longer = params.model_copy(
        update={"text_pair": params.text_pair.model_copy(update={"steps": 9})}
    )
    assert run(longer).hash != run(params).hash
    assert run(longer, "baseline").hash == run(params, "baseline").hash
    assert text_pair_hash(longer) != text_pair_hash(params)


def test_clips_weights_count_by_name_and_size_wherever_they_are(tmp_path: Path) -> None:
    files = [tmp_path / folder / "clip.pt" for folder in ("a", "b", "c")]
    for file, size in zip(files, (5, 5, 6), strict=True):
        file.parent.mkdir()
        file.write_bytes(b"x" * size)
    here, moved, other = (
        run(supervised(encoder="clip", clip_weights=str(file))).hash for file in files
    )
    assert here == moved != other


def test_probes_depend_on_the_runs_that_they_probe(params: Params) -> None:
    other = changed("methods.dejavu-spatial.dejavu.gamma.depth", 0.2)
    assert MEASURED["probes"](other, "depth") != MEASURED["probes"](params, "depth")
    assert MEASURED["probes"](other, "normals") == MEASURED["probes"](params, "normals")


@pytest.mark.parametrize("hashed", MEASURED.values(), ids=MEASURED)
def test_measurements_depend_on_their_labels_and_batches(params: Params, hashed: Any) -> None:
    methods = {("renamed" if k == "dejavu-spatial" else k): v for k, v in TINY["methods"].items()}
    assert hashed(tiny_params(methods=methods), "depth") != hashed(params, "depth")
    assert hashed(changed("evaluation.batch_size", 2), "depth") != hashed(params, "depth")


def test_a_method_changes_its_own_runs_alone(params: Params) -> None:
    other = changed("methods.dejavu-spatial.dejavu.gamma.depth", 0.2)
    for method in ("baseline", "dejavu-spectral"):
        assert run(other, method).hash == run(params, method).hash


def test_labels_are_no_part_of_a_run(params: Params) -> None:
    methods = {("renamed" if k == "dejavu-spatial" else k): v for k, v in TINY["methods"].items()}
    assert run(tiny_params(methods=methods), "renamed").hash == run(params).hash


def test_each_phase_depends_on_its_own_params(params: Params) -> None:
    other = changed("evaluation.split", "val")
    assert evaluation_hash(other, "depth") != evaluation_hash(params, "depth")
    assert data_hash(other) == data_hash(params)
    assert MEASURED["gap"](changed("gap.steps", 4), "depth") != MEASURED["gap"](params, "depth")
    assert MEASURED["gap"](params, "depth") != MEASURED["gap"](params, "normals")
    assert MEASURED["cost"](changed("cost.rounds", 3), "depth") != MEASURED["cost"](params, "depth")
    assert data_hash(changed("data.rooms.coupling", 0.1)) != data_hash(params)


def test_gaps_depend_on_their_own_tasks_settings(params: Params) -> None:
    """They decide the condition that the ground truth is written as."""
    nearer = changed("depth.near", 0.4)
    assert MEASURED["gap"](nearer, "depth") != MEASURED["gap"](params, "depth")
    assert MEASURED["gap"](nearer, "normals") == MEASURED["gap"](params, "normals")


def test_unknown_cells_are_refused(params: Params) -> None:
    with pytest.raises(ParamsError, match=r"methods: the study has no 'none'; it has: baseline"):
        run(params, "none")


def test_planning_needs_no_torch() -> None:
    code = "import sys, dejavu.study.run, dejavu.cli; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_a_caption_makes_the_report_alone_stale(
    params: Params, monkeypatch: pytest.MonkeyPatch
) -> None:
    hashed, codes = report_hash(params), phase_codes(params)
    captioned = [replace(figure, caption="Other words.") for figure in FIGURES]
    monkeypatch.setattr("dejavu.study.phases.FIGURES", captioned)
    assert report_hash(params) != hashed
    assert {stage for stage, code in phase_codes(params).items() if code != codes[stage]} == {
        "report"
    }
