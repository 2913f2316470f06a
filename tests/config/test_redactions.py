"""Sections of redactions against the redactions themselves."""

import json
import pickle
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import TypeAdapter

import dejavu
from dejavu.config import Params, RedactionParams
from dejavu.method.redaction import REDACTIONS, create_redaction
from dejavu.method.redaction.base import settings_of
from dejavu.method.redaction.registry import example_settings

SECTION: TypeAdapter[RedactionParams] = TypeAdapter(RedactionParams)


@pytest.mark.parametrize("name", REDACTIONS)
def test_a_section_has_the_redactions_settings(name: str) -> None:
    section = SECTION.validate_python({"name": name} | example_settings(name))
    fields, settings = type(section).model_fields, settings_of(REDACTIONS[name])
    assert get_args(fields["name"].annotation) == (name,)
    assert [*fields] == ["name", *settings]
    for key, setting in settings.items():
        assert fields[key].is_required() == setting.required
        assert setting.required or fields[key].default == setting.default
        assert fields[key].description == setting.description
    assert pickle.loads(pickle.dumps(section)) == section
    assert section.create() == create_redaction(name, **example_settings(name))
    assert (type(section).__doc__ or "") in (REDACTIONS[name].__doc__ or "")


@pytest.mark.parametrize(
    "dumped",
    [
        {"name": "random_blocks", "block": 8, "keep": 0.3, "fill": "zero"},
        {"name": "grid_sample", "stride": 4, "fill": "mean"},
        {"name": "band_stop", "low": 0.1, "high": 0.2},
        {"name": "block_dct", "block": 8, "keep": 0.1},
        {"name": "blank", "fill": "zero"},
        {"name": "identity"},
        {
            "name": "compose",
            "redactions": [
                {"name": "low_pass", "cutoff": 0.1},
                {
                    "name": "random_choice",
                    "redactions": [{"name": "identity"}, {"name": "sparse_pixels", "keep": 0.5}],
                },
            ],
        },
    ],
    ids=lambda dumped: dumped["name"],
)
def test_a_dump_is_what_was_given_in_its_order(dumped: dict[str, Any]) -> None:
    """It is part of a run's identity and of its label."""
    found = json.dumps(SECTION.validate_python(dumped).model_dump(exclude_unset=True))
    assert found == json.dumps(dumped)


def test_bounds_reach_the_schema() -> None:
    sections = Params.model_json_schema()["$defs"]
    blocks = sections["RandomBlocksParams"]["properties"]
    stop = sections["BandStopParams"]["properties"]
    assert blocks["block"]["minimum"] == 1
    assert (blocks["keep"]["exclusiveMinimum"], blocks["keep"]["exclusiveMaximum"]) == (0, 1)
    assert blocks["fill"]["enum"] == ["zero", "mean", "noise"]
    assert stop["high"]["maximum"] == pytest.approx(0.5**0.5)
    assert sections["ComposeParams"]["properties"]["redactions"]["minItems"] == 2


PLANTED = '''
"""The left columns are kept."""

from __future__ import annotations

from dataclasses import dataclass, field

from dejavu.method.redaction.base import setting
from dejavu.method.redaction.spatial import SpatialRedaction
from dejavu.runtime.lazy_imports import torch


@dataclass(frozen=True)
class LeftColumns(SpatialRedaction):
    """The left columns of an image are kept."""

    name = "left_columns"
    columns: int = field(metadata=setting("columns kept", 4, ge=1))

    @property
    def smallest_side(self) -> int:
        """More than the columns: else all of the image is kept."""
        return self.columns + 1

    def _keep(self, batch, height, width, generator):
        return (torch.arange(width) < self.columns).expand(batch, height, width)
'''

PROGRAM = """
import json
import sys
from dejavu.config import Params
from dejavu.config.generated import DEFAULT_STUDY, render_reference
from dejavu.config.reading import parse_params
from dejavu.runtime.errors import ParamsError
from dejavu.study.run import Run

def study(**redaction):
    planted = {"dejavu": {"redaction": redaction, "gamma": gamma}}
    return parse_params(DEFAULT_STUDY | {"methods": methods | {"planted": planted}}, "study")

def refusal(**redaction):
    try:
        study(**redaction)
    except ParamsError as error:
        return str(error)

methods = DEFAULT_STUDY["methods"]
gamma = methods["dejavu-spatial"]["dejavu"]["gamma"]
found = {"hashes": [Run(study(name="blank"), "depth", "fpn", m, 0).hash for m in methods]}
if "planted" in sys.argv:
    params = study(name="left_columns", columns=8)
    found["hash"] = Run(params, "depth", "fpn", "planted", 0).hash
    found["dump"] = params.methods["planted"].dejavu.redaction.model_dump()
    found["refusals"] = [
        refusal(name="left_columns", columns=0),
        refusal(name="left_columns", columns=64),
        refusal(name="left_columns", column=8),
        refusal(name="left_colums", columns=8),
    ]
    found["schema"] = Params.model_json_schema()["$defs"]["LeftColumnsParams"]["properties"]
    found["listed"] = "## LeftColumnsParams" in render_reference()
found["torch"] = "torch" in sys.modules
if "planted" in sys.argv:
    import torch
    from dejavu.method.redaction import LeftColumns, create_redaction
    from dejavu.reporting.gallery import SHOWN
    made = create_redaction("left_columns", columns=3)
    found["made"] = made == LeftColumns(3)
    found["kept"] = made(torch.ones(1, 3, 4, 5)).image[0, 0, 0].tolist()
    found["shown"] = [one.model_dump() for one in SHOWN]
print(json.dumps(found))
"""


def run_program(folder: Path, *arguments: str) -> dict[str, Any]:
    command = [sys.executable, "-c", PROGRAM, *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_a_redaction_is_added_by_one_file(tmp_path: Path) -> None:
    package = Path(dejavu.__file__).parent
    shutil.copytree(package, tmp_path / "dejavu", ignore=shutil.ignore_patterns("__pycache__"))
    before = run_program(tmp_path)
    (tmp_path / "dejavu/method/redaction/left_columns.py").write_text(PLANTED)
    found = run_program(tmp_path, "planted")
    assert found["dump"] == {"name": "left_columns", "columns": 8, "fill": "zero"}
    where = "study: methods.planted.dejavu.redaction"
    for refused, expected in zip(
        found["refusals"],
        (
            f"{where}.columns: input should be greater than or equal to 1, not 0",
            f"{where}: needs images of at least 65 x 65 pixels",
            f"{where}: unknown key 'column'; did you mean 'columns'?",
            f"{where}.name: ",
        ),
        strict=True,
    ):
        assert expected in refused
    columns = found["schema"]["columns"]
    assert (columns["description"], columns["minimum"]) == ("columns kept", 1)
    assert found["listed"]
    assert found["made"]
    assert found["kept"] == [1, 1, 1, 0, 0]
    assert {"name": "left_columns", "columns": 4, "fill": "zero"} in found["shown"]
    assert not found["torch"], "params of a redaction imported torch"
    assert found["hashes"] == before["hashes"], "a redaction that a run does not use is in its hash"
    assert found["hash"] not in before["hashes"]
