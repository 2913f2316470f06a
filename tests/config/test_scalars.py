"""What single values mean, against the parsers of Snakemake (PyYAML) and of DVC (ruamel.yaml)."""

import json
import re
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from ruamel.yaml import YAML

from dejavu.config.scalars import LARGEST, RefusedError, checked_text, plain_value, write_yaml


def read_by_others(text: str) -> list[Any]:
    return [yaml.safe_load(text), YAML(typ="safe", pure=True).load(text)]


def refusal(text: str) -> str:
    with pytest.raises(RefusedError) as caught:
        plain_value(text)
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        *(("0", 0), ("-7", -7), ("300", 300), ("0.5", 0.5), ("-0.0", -0.0), ("6.0", 6.0)),
        *(("1.0e-4", 1e-4), ("2.5E+3", 2500.0), (str(LARGEST), LARGEST)),
        *(("true", True), ("FALSE", False), ("null", None), ("~", None), ("", None)),
        *(("adamw", "adamw"), ("1.2.3", "1.2.3"), ("3d", "3d"), ("tu-resnet50", "tu-resnet50")),
        *(("a/b c.pt", "a/b c.pt"), ("e5", "e5"), ("-", "-"), ("y", "y")),
    ],
)
def test_what_all_parsers_read_alike(text: str, value: Any) -> None:
    found = plain_value(text)
    assert repr(found) == repr(value)  # -0.0 keeps its sign
    if text not in ("-", ""):
        assert read_by_others(text) == [value, value]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("007", "write 7, or '007' for text"),
        ("010", "8 in YAML 1.1 and 10 in YAML 1.2; write 8 or 10, or '010' for text"),
        ("08", "text in YAML 1.1 and 8 in YAML 1.2; write 8, or '08' for text"),
        ("yes", "write true, or 'yes' for text"),
        ("Off", "write false, or 'Off' for text"),
        ("1:30", "90 in YAML 1.1 and text in YAML 1.2; write 90, or '1:30' for text"),
        ("1:30.5", "write 90.5, or '1:30.5' for text"),
        ("1e-4", "write 0.0001, or '1e-4' for text"),
        ("3E-5", "write 3.0e-05, or '3E-5' for text"),
        ("0e3", "write 0, or '0e3' for text"),
        ("1e3", "write 1000, or '1e3' for text"),
        ("1_000", "write 1000, or '1_000' for text"),
        ("0x1F", "write 31, or '0x1F' for text"),
        ("0o17", "write 15, or '0o17' for text"),
        ("0b11", "write 3, or '0b11' for text"),
        ("+1", "write 1, or '+1' for text"),
        (".5", "write 0.5, or '.5' for text"),
        ("5.", "write 5, or '5.' for text"),
        ("2001-02-03", "a date in YAML 1.1"),
        ("2001-02-30", "write '2001-02-30' if it is text"),
        ("0b_", "write '0b_' if it is text"),
        ("0x_", "write '0x_' if it is text"),
        ("=", "write '=' if it is text"),
        ("<<", "write '<<' if it is text"),
        (".inf", "not finite"),
        ("-.INF", "not finite"),
        (".NaN", "not finite"),
        ("1.0e+400", "finite"),
        ("1" + "0" * 400 + ".0", "characters"),
        ("1.0e-400", "read as 0"),
        (str(LARGEST + 1), "beyond 2^53"),
        ("9" * 5000, "(5000 characters)"),
        ("0x" + "f" * 5000, "(5002 characters)"),
    ],
)
def test_what_parsers_read_differently_is_refused_with_the_form_to_write(
    text: str, said: str
) -> None:
    found = refusal(text)
    assert said in found
    assert len(found) < 200
    if forms := re.search(r"write ([^']+), or '", found):
        for form in forms.group(1).split(" or "):
            assert plain_value(form) in read_by_others(text)


_ALPHABET = "0123456789" * 2 + "+-._:eExXoObB~ytfnaNI"
_WORDS = ("yes", "No", "ON", "off", "y", "True", "NULL", ".inf", "nan", ".NAN", "inf", "1e5", "0o7")


@given(st.text(_ALPHABET, max_size=8) | st.sampled_from(_WORDS))
def test_no_parser_reads_another_value(text: str) -> None:
    try:
        found = plain_value(text)
    except RefusedError:
        return
    try:
        others = read_by_others(f"[{text}]")
    except (yaml.YAMLError, ValueError):  # not plain text of its own: ours parses the same events
        return
    if others[0] and isinstance(others[0][0], dict):  # a colon at its end
        return
    for (other,) in (one or [None] for one in others):
        assert (other, type(other)) == (found, type(found))


@given(st.integers(-LARGEST, LARGEST) | st.floats(allow_nan=False, allow_infinity=False))
def test_numbers_are_written_as_all_parsers_read_them(number: float) -> None:
    text = write_yaml(number).split("\n")[0]
    assert plain_value(text) == number
    assert json.loads(text) == number
    assert read_by_others(text) == [number, number]


@given(st.text(_ALPHABET, max_size=6) | st.sampled_from(_WORDS) | st.text(max_size=9))
def test_texts_are_written_as_all_parsers_read_them(text: str) -> None:
    try:
        checked_text(text)
    except RefusedError:
        return
    tree = {"key": text, "list": [text]}
    assert read_by_others(write_yaml(tree)) == [tree, tree]


@pytest.mark.parametrize("text", ["a\0b", "\ud800", "a\nb", "\x85", "\x7f", "\u2028"])
def test_text_that_is_no_name_or_path_is_refused(text: str) -> None:
    with pytest.raises(RefusedError, match="character"):
        checked_text(text)
