"""JSON that any other reader takes, and none that only Python would."""

import json
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.torch import save

from dejavu.data.cache import DecodedCache
from dejavu.datasets.reading.manifest import read_manifest
from dejavu.datasets.reading.registry import dataset_class
from dejavu.reporting.collect import collect_costs, collect_curves, collect_runs
from dejavu.runtime.errors import DataError, DejaVuError
from dejavu.runtime.strict_json import from_json, number_or_nan, read_json, to_json, write_json
from dejavu.study.adoption.adopted import read_adopted
from dejavu.study.layout import Layout
from dejavu.study.record import read_record
from dejavu.study.trace import explain
from dejavu.training.checkpoint import load_checkpoint
from dejavu.training.text_pair import load_text_pair
from tests.support.studies import Downloads


def strict(text: str) -> Any:
    def refuse(name: str) -> None:
        pytest.fail(f"{name} in {text}")

    return json.loads(text, parse_constant=refuse)


def test_what_is_not_finite_becomes_null() -> None:
    value = {"a": [math.nan, 1.5, (math.inf, 2)], "b": {"c": -math.inf}, "d": None, "e": "NaN"}
    expected = {"a": [None, 1.5, [None, 2]], "b": {"c": None}, "d": None, "e": "NaN"}
    assert strict(to_json(value)) == expected
    assert strict(to_json(value, indent=1)) == expected
    assert math.isnan(number_or_nan(strict(to_json(math.nan))))


def test_finite_values_are_written_as_ever(tmp_path: Path) -> None:
    value = {"b": [1, 2.5e-300, True], "a": "é"}
    write_json(tmp_path / "a.json", value)
    assert (tmp_path / "a.json").read_text() == json.dumps(value, indent=1) + "\n"
    assert read_json(tmp_path / "a.json") == value


BAD = ["NaN", "Infinity", "-Infinity", "1e999", "-1e999", "[" * 100_000]


@pytest.mark.parametrize("bad", BAD)
def test_what_is_not_json_is_refused(bad: str) -> None:
    with pytest.raises(ValueError, match=r"is not JSON|nested"):
        from_json(f'{{"a": [1, {bad}')


def test_a_byte_order_mark_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_bytes(b'\xef\xbb\xbf{"a": 1}')
    assert read_json(tmp_path / "a.json") == {"a": 1}


METRICS = '{"run": "", "metrics": [{"name": "miou", "unit": "%", "value": NaN}]}'
READERS: dict[str, tuple[str, Callable[[Layout, Path], Any]]] = {
    "data/tiny/manifest.json": ('{"version": NaN}', lambda _, path: read_manifest(path.parent)),
    "results/tiny/metrics/runs/depth/fpn/baseline/seed0.json": (METRICS, explain),
    "metrics.json": (METRICS, lambda _, path: collect_runs([path])),
    "depth/fpn/baseline/seed0.jsonl": (
        '{"step": 0, "task_loss": NaN, "dejavu_loss": null}',
        lambda _, path: collect_curves([path]),
    ),
    "cost.json": ('{"rows": [{"step_seconds": NaN}]}', lambda _, path: collect_costs([path])),
    "record.json": ('{"study": NaN}', lambda _, path: read_record(path)),
    "results/tiny/adopted.json": ('{"hashes": NaN}', lambda *_: read_adopted("tiny")),
    "cache/train.json": (
        '{"index": NaN, "roles": []}',
        lambda _, path: DecodedCache.find(path.parents[1], "train", "", np.zeros(0)),
    ),
}


@pytest.mark.parametrize("name", READERS)
def test_a_file_with_nan_is_refused_by_its_name(name: str, layout: Layout) -> None:
    text, read = READERS[name]
    path = Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    with pytest.raises(DejaVuError, match=name):
        read(layout, path)


def test_an_undefined_metric_is_traced(layout: Layout) -> None:
    """A metrics file has null for it, and a table NaN."""
    path = layout.metrics(next(run for run in layout.runs() if run.task == "depth"))
    path.write_text(METRICS.replace("NaN", "null"))
    (value,) = explain(layout, path).result.values
    assert math.isnan(value.value)


@pytest.mark.parametrize("name", ["cityscapes", "coco"])
def test_annotations_with_nan_are_refused_by_their_name(name: str, copy_of: Downloads) -> None:
    copy = copy_of(name)
    pattern = {"cityscapes": "camera/val/*/*_camera.json", "coco": "annotations/*_val2017.json"}
    for path in copy.glob(pattern[name]):
        path.write_text(re.sub(r"(: )[0-9.e-]+", r"\1NaN", path.read_text(), count=1))
    dataset = dataset_class(name)(copy, next(iter(dataset_class(name).variants)))
    with pytest.raises(DataError, match=r"(camera|val2017)\.json: .*NaN"):
        dataset.read(dataset.entries("test")[0], "depth")


@pytest.mark.parametrize(
    ("key", "load"), [("dejavu", load_checkpoint), ("text_pair", load_text_pair)]
)
def test_checkpoints_with_nan_are_refused_by_name(
    key: str, load: Callable[[Path], Any], tmp_path: Path
) -> None:
    path = tmp_path / "a.safetensors"
    path.write_bytes(save({}, {key: '{"seed": NaN}'}))
    with pytest.raises(DejaVuError, match=f"{path}.*NaN"):
        load(path)
