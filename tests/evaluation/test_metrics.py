from pathlib import Path
from typing import Any

import pytest

from dejavu.config import EvaluationParams
from dejavu.evaluation.metrics import create_metrics, protocol_of
from dejavu.metrics.depth import DepthEdgeMetric, DepthMetric, DepthProtocol
from tests.support.planting import copy_of_package, imported, python
from tests.support.tasks import every, made, output, sample

NAMES = {
    "segmentation": [
        *("miou", "pixel_accuracy", "boundary_iou", "boundary_f"),
        *("trimap_miou_1", "trimap_miou_2", "trimap_miou_4", "trimap_miou_8", "trimap_miou_16"),
        "component_error",
    ],
    "depth": [
        *("abs_rel", "sq_rel", "rmse", "rmse_log", "log10", "silog"),
        *("delta_1", "delta_2", "delta_3", "edge_rmse", "edge_abs_rel"),
    ],
    "normals": [
        *("mean_angle", "median_angle", "rmse_angle"),
        *("within_11_25", "within_22_5", "within_30", "edge_mean_angle"),
    ],
}
"""The numbers of a metrics file, in the order of tables and committed results."""

DEPTH = ["min_depth", "max_depth", "depth_crop", "depth_alignment", "depth_reduction"]
KEYS = {
    "segmentation": ["boundary_ratio", "boundary_tolerance", "trimap_widths"],
    "depth": ["edge_width", *DEPTH],
    "normals": ["edge_width"],
}


@pytest.mark.parametrize("task", NAMES)
def test_metrics_files_keep_their_numbers_in_order(task: str) -> None:
    metrics = create_metrics(made(task), EvaluationParams())
    names = [spec.name for metric in metrics for spec in metric.specs]
    assert [name for name in names if name in NAMES[task]] == NAMES[task]


@pytest.mark.parametrize("task", KEYS)
def test_the_protocol_is_what_a_tasks_numbers_depend_on(task: str) -> None:
    common = ["flip", "scales", "window"]
    params = EvaluationParams(edge_width=5, trimap_widths=[3], batch_size=7)
    protocol = protocol_of(task, params)
    assert list(protocol) == [*common, *KEYS[task]]
    assert protocol == params.model_dump(include=set(protocol))
    windows = protocol_of(task, EvaluationParams(window=(32, 48)))
    assert list(windows) == [*common, "overlap", *KEYS[task]]
    assert windows["window"] == [32, 48]  # as JSON has it


@every
def test_primary_and_boundary_metrics_are_computed(name: str) -> None:
    task, batch = made(name), sample()
    values: dict[str, float] = {}
    for metric in create_metrics(task, EvaluationParams()):
        metric.update(task.predict(output(task)), task.target(batch))
        values |= metric.compute()
        assert set(metric.compute()) == {spec.name for spec in metric.specs}
    assert {task.primary, task.boundary} <= set(values)


def test_metrics_have_the_settings_of_the_protocol() -> None:
    params = EvaluationParams(
        max_depth=5.0,
        depth_crop="garg",
        depth_alignment="median",
        depth_reduction="pixels",
        edge_width=3,
        boundary_ratio=0.1,
        boundary_tolerance=4,
        trimap_widths=[3, 5],
    )
    errors, at_edges, *_ = create_metrics(made("depth"), params)
    assert isinstance(errors, DepthMetric)
    assert isinstance(at_edges, DepthEdgeMetric)
    expected = DepthProtocol(1e-3, 5.0, "garg", "median", "pixels")
    assert errors.protocol == at_edges.protocol == expected
    assert at_edges.width == 3
    assert vars(create_metrics(made("normals"), params)[1])["width"] == 3
    found: dict[str, Any] = {}
    for metric in create_metrics(made("segmentation"), params):
        found |= vars(metric)
    settings = found["ratio"], found["tolerance"], found["widths"], found["num_classes"]
    assert settings == (0.1, 4, (3, 5), 4)


def test_a_task_is_scored_without_the_metrics_of_others() -> None:
    loaded = imported("""
from dejavu.config import EvaluationParams
from dejavu.evaluation.metrics import create_metrics
from dejavu.tasks.registry import create_task
create_metrics(create_task("depth", []), EvaluationParams())
""")
    assert "dejavu.metrics.depth" in loaded
    others = {"boundary", "components", "normals", "segmentation"}
    assert loaded.isdisjoint(f"dejavu.metrics.{name}" for name in others)


PLANTED = """
import torch

from dejavu.metrics.base import Metric, MetricSpec

TASK = "normals"


class Within(Metric):
    specs = (MetricSpec("within_band", "%", True),)
    protocol_keys = ("boundary_tolerance",)

    @classmethod
    def create(cls, channels, settings):
        return cls(settings["boundary_tolerance"])

    def __init__(self, tolerance):
        self.tolerance = tolerance
        self.sums = torch.zeros(1)

    def image_sums(self, prediction, target):
        return torch.full((len(target), 1), float(self.tolerance))

    def compute(self):
        return {"within_band": self.sums.item()}
"""


def test_a_new_metric_is_one_new_file(tmp_path: Path) -> None:
    root = copy_of_package(tmp_path)
    (root / "dejavu/metrics/band.py").write_text(PLANTED)
    code = """
import torch
from dejavu.config import EvaluationParams
from dejavu.evaluation.metrics import create_metrics, protocol_of
from dejavu.tasks.registry import create_task
params = EvaluationParams(boundary_tolerance=6)
metrics = create_metrics(create_task("normals", []), params)
metrics[-1].update(torch.ones(2, 3, 1, 1), torch.ones(2, 3, 1, 1))
print(len(metrics), metrics[-1].compute())
print(*protocol_of("normals", params))
print(*(key for key in protocol_of("depth", params) if key.startswith("boundary")))
"""
    found = python(code, root).splitlines()
    assert found[0] == "3 {'within_band': 12.0}"
    assert found[1] == "flip scales window boundary_tolerance edge_width"
    assert len(found) == 2
