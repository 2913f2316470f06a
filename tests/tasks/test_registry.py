"""Tasks are found by their files."""

from pathlib import Path
from typing import Any

import pytest
import torch

from dejavu.config.tasks import DepthParams, NormalsParams, SegmentationParams
from dejavu.tasks.registry import create_task, task_names
from tests.support.planting import copy_of_package, imported, python
from tests.support.tasks import PALETTE, made, output, sample


def test_each_loss_of_params_is_a_loss_of_its_own() -> None:
    settings: dict[str, list[dict[str, Any]]] = {
        "segmentation": [{}, {"loss": "ohem"}, {"loss": "ohem", "ohem_threshold": 0.1}],
        "depth": [{}, {"loss": "berhu"}, {"loss": "l1"}],
        "normals": [{}, {"loss": "angular"}, {"loss": "l1"}],
    }
    for name, choices in settings.items():
        tasks = [create_task(name, PALETTE, choice) for choice in choices]
        raw, target = output(tasks[0]), tasks[0].target(sample())
        assert len({task.loss(raw, target).item() for task in tasks}) == len(choices), name


def test_defaults_are_those_of_no_settings() -> None:
    for name, section in (
        ("segmentation", SegmentationParams()),
        ("depth", DepthParams()),
        ("normals", NormalsParams()),
    ):
        raw, target = output(made(name)), made(name).target(sample())
        plain = create_task(name, PALETTE)
        for settings in (None, {}, section, section.model_dump()):
            task = create_task(name, PALETTE, settings)
            assert type(task) is type(plain)
            assert torch.equal(task.loss(raw, target), plain.loss(raw, target))
            assert torch.equal(task.predict(raw), plain.predict(raw))


def test_what_is_no_task_or_no_setting_of_it_is_refused() -> None:
    with pytest.raises(ValueError, match="name='edges': no such task; known: depth, "):
        create_task("edges", PALETTE)
    with pytest.raises(ValueError, match="unknown key 'loos'; did you mean 'loss'"):
        create_task("depth", PALETTE, {"loos": "l1"})
    with pytest.raises(ValueError, match="DepthParams"):
        create_task("depth", PALETTE, NormalsParams())
    with pytest.raises(ValueError, match=r"near \(3.0\) must be below far \(2.0\)"):
        create_task("depth", PALETTE, {"near": 3.0, "far": 2.0})


@pytest.mark.parametrize("name", task_names())
def test_one_task_is_made_without_the_others(name: str) -> None:
    loaded = imported(f"""
from dejavu.tasks.registry import create_task
create_task({name!r}, [(0, 0, 0)])
""")
    tasks = {each for each in loaded if each.startswith("dejavu.tasks.")}
    shared = {"dejavu.tasks.base", "dejavu.tasks.losses", "dejavu.tasks.registry"}
    assert tasks == shared | {f"dejavu.tasks.{name}"}
    assert not any(each.startswith(("dejavu.metrics", "dejavu.reporting")) for each in loaded)


def test_tasks_need_no_plotting() -> None:
    code = "import sys, dejavu.tasks.depth, dejavu.tasks.segmentation; print(*sys.modules)"
    loaded = {name.split(".")[0] for name in python(code).split()}
    assert "torch" in loaded
    assert not loaded & {"matplotlib", "scipy", "skimage"}


PLANTED = """
from dejavu.tasks.depth import Depth


class Disparity(Depth):
    name = "disparity"


def create(palette, settings=None):
    return Disparity(settings)
"""


def test_a_new_task_is_found_by_its_file(tmp_path: Path) -> None:
    root = copy_of_package(tmp_path)
    (root / "dejavu/tasks/disparity.py").write_text(PLANTED)
    code = """
from dejavu.tasks.registry import create_task, task_names
task = create_task("disparity", [], {"near": 2.0})
print(task.name, task.settings.near, "disparity" in task_names())
"""
    assert python(code, root) == "disparity 2.0 True"
