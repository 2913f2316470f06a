from pathlib import Path

import pytest
import yaml

from dejavu.config import load_params
from dejavu.config.generated import render_params
from dejavu.study.adoption.plan import LONG, SHORT, plan_steps, write_params
from dejavu.study.jobs import JOBS
from dejavu.study.layout import Layout
from tests.support.studies import TINY, tiny_params


def test_both_variants_are_valid_and_leave_the_test_split_shut(tmp_path: Path) -> None:
    """With a warm-up longer than the short runs, too."""
    train = TINY["train"] | {"steps": 50, "schedule": "poly", "warmup": 30}
    file = tmp_path / "study.yaml"
    file.write_text(render_params(tiny_params(train=train)))
    write_params(file, tmp_path, steps=2)
    long, short = load_params(tmp_path / LONG), load_params(tmp_path / SHORT)
    assert (long.train.steps, long.train.warmup) == (50, 30)
    assert (short.train.steps, short.train.warmup) == (4, 2)
    assert long.evaluation.split == short.evaluation.split == "val"
    assert long.train.checkpoint_every == 2


def test_fields_that_a_file_leaves_out_stay_out(tmp_path: Path) -> None:
    """Older code may not know them."""
    file = tmp_path / "study.yaml"
    tree = tiny_params().model_dump(mode="json", exclude={"depth": True})
    file.write_text(yaml.safe_dump(tree))
    write_params(file, tmp_path, steps=2)
    assert "depth" not in yaml.safe_load((tmp_path / LONG).read_text())


@pytest.mark.parametrize("verb", ["train", "evaluate", "gap", "probes", "cost"])
def test_a_plan_has_a_step_for_each_job(verb: str) -> None:
    layout = Layout(tiny_params())
    kind = JOBS[verb]
    jobs = [(kind.job(layout, of), of) for of in kind.every(layout)]
    names = [step["name"] for step in plan_steps(layout, jobs, steps=2)]
    assert len(set(names)) == len(names)
    assert names[0] == "data"
    count = {"train": 18, "evaluate": 9, "gap": 3, "probes": 3, "cost": 3}[verb]
    prefix = {"train": "", "evaluate": "evaluation of "}.get(verb, f"{verb} of ")
    found = [n for n in names if n.startswith(prefix) and n != "data" and not n.startswith("short")]
    assert len(found) == count
