"""Redactions by name, each imported when it is asked for."""

import importlib
import subprocess
import sys
from dataclasses import fields
from typing import Any

import pytest

import dejavu.method.redaction
from dejavu.method.redaction import (
    REDACTIONS,
    Blank,
    BlockDCT,
    Checkerboard,
    Compose,
    GridSample,
    LowPass,
    RandomChoice,
    create_redaction,
)
from dejavu.method.redaction.base import settings_of
from dejavu.method.redaction.registry import example_settings
from tests.support.redactions import ALL, FILLED

SHARED = {"base", "combined", "registry", "spatial", "spectral"}


def test_redactions_are_made_by_name() -> None:
    assert {redaction.name: type(redaction) for redaction in ALL}.items() <= REDACTIONS.items()
    for redaction in ALL + FILLED:
        assert create_redaction(redaction.name, **vars(redaction)) == redaction


@pytest.mark.parametrize("name", REDACTIONS)
def test_every_field_is_a_setting_with_a_meaning_and_an_example(name: str) -> None:
    settings = settings_of(REDACTIONS[name])
    assert {*settings} == {field.name for field in fields(REDACTIONS[name])}
    assert all(setting.description for setting in settings.values())
    made = create_redaction(name, **example_settings(name))
    assert type(made) is REDACTIONS[name]
    assert made.name == name


@pytest.mark.parametrize("name", REDACTIONS)
def test_making_one_imports_no_other_and_no_torch(name: str) -> None:
    code = (
        "import sys\n"
        "from dejavu.method.redaction import create_redaction\n"
        "from dejavu.method.redaction.registry import example_settings\n"
        f"create_redaction({name!r}, **example_settings({name!r}))\n"
        "print(*(m for m in sys.modules if m == 'torch' or 'redaction.' in m))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = {module.removeprefix("dejavu.method.redaction.") for module in done.stdout.split()}
    parts = {part["name"] for part in example_settings(name).get("redactions", ())}
    assert loaded - SHARED == {name, *parts}


def test_a_class_is_imported_from_the_file_of_its_name() -> None:
    code = (
        "import sys\n"
        "from dejavu.method.redaction import BlockDCT, MAX_FREQUENCY, Redaction\n"
        "print(*(m for m in sys.modules if 'redaction.' in m))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    names = ("base", "block_dct", "spectral")
    assert {*done.stdout.split()} == {f"dejavu.method.redaction.{name}" for name in names}


def test_all_public_names_are_offered() -> None:
    offered: dict[str, Any] = {}
    exec("from dejavu.method.redaction import *", offered)
    assert {kind.__name__ for kind in REDACTIONS.values()} <= {*offered}
    assert offered["REDACTIONS"] is REDACTIONS
    with pytest.raises(AttributeError, match=r"redaction' has no attribute 'Checkersboard'"):
        _ = dejavu.method.redaction.Checkersboard
    blank = importlib.import_module("dejavu.method.redaction.blank")
    assert dejavu.method.redaction.blank is blank, "a class hides a file"


def test_settings_with_a_default_may_be_left_out() -> None:
    assert create_redaction("grid_sample", stride=4) == GridSample(4, fill="zero")
    assert create_redaction("grid_sample", fill="mean", stride=4) == GridSample(4, fill="mean")
    assert create_redaction("blank") == Blank()


def test_parts_of_combinations_may_be_mappings() -> None:
    lowpass = {"name": "low_pass", "cutoff": 0.1}
    choice = {"name": "random_choice", "redactions": [lowpass, {"name": "blank", "fill": "noise"}]}
    made = create_redaction("compose", redactions=[Checkerboard(4), lowpass, choice])
    inner = RandomChoice([LowPass(0.1), Blank(fill="noise")])
    assert made == Compose([Checkerboard(4), LowPass(0.1), inner])
    assert choice["redactions"][0] == {"name": "low_pass", "cutoff": 0.1}, "changed in place"
    assert create_redaction("random_choice", redactions=(lowpass, BlockDCT(8, 0.1))) == (
        RandomChoice([LowPass(0.1), BlockDCT(8, 0.1)])
    )


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("checker_board", {"block": 4}, r"'checker_board': .* did you mean 'checkerboard'\?"),
        ("zzz", {}, r"'zzz': no such redaction; known: band_stop, blank, .*sparse_pixels"),
        ("low_pass", {"cutof": 0.1}, r"'low_pass' takes the settings \(cutoff\).*given \(cutof\)$"),
        ("random_blocks", {"block": 4}, r"takes the settings \(block, keep\).*given \(block\)"),
        (
            "blank",
            {"block": 4},
            r"'blank' takes the settings \(\), but was given \(block\); it may take \(fill\), too",
        ),
        ("checkerboard", {"fill": "mean"}, r"takes the settings \(block\).*given \(fill\); it may"),
        ("checkerboard", {"block": 0}, r"block=0: must be a whole number"),
        ("checkerboard", {"block": 2, "fill": 0}, r"fill=0: must be 'zero' or"),
        ("compose", {}, r"takes the settings \(redactions\), but was given \(\)$"),
        ("compose", {"redactions": []}, r"redactions=\[\]: must be a sequence of at least 2"),
        ("compose", {"redactions": {"name": "blank"}}, r"redactions=\{.*\}: must be a sequence"),
        ("compose", {"redactions": ["blank", "blank"]}, r"redactions\[0\]='blank': must be a"),
        ("random_choice", {"redactions": [{"fill": "zero"}]}, r"\{'fill': 'zero'\} has no name"),
        ("compose", {"redactions": [{"name": "blnk"}]}, r"name='blnk': .* did you mean 'blank'\?"),
        ("compose", {"redactions": [{"name": "low_pass"}]}, r"'low_pass' takes .* given \(\)"),
    ],
)
def test_unknown_names_and_settings_are_explained(
    name: str, settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        create_redaction(name, **settings)
