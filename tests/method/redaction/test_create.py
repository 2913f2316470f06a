"""Redactions by name."""

from typing import Any

import pytest

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
from tests.support.redactions import ALL, FILLED


def test_redactions_are_made_by_name() -> None:
    assert {redaction.name: type(redaction) for redaction in ALL} == REDACTIONS
    for redaction in ALL + FILLED:
        assert create_redaction(redaction.name, **vars(redaction)) == redaction


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
        ("zzz", {}, r"'zzz': no such redaction; known: checkerboard, random_blocks, .*blank"),
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
        ("compose", {"redactions": []}, r"redactions=\[\]: must be a sequence of at least two"),
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
