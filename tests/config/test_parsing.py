import itertools
import json
import os
from pathlib import Path
from typing import Any

import pytest
import yaml
from dvc.utils.hydra import apply_overrides
from ruamel.yaml import YAML

from dejavu.config import load_params
from dejavu.config.parsing import MAX_BYTES, MAX_DEPTH, MAX_VALUES, parse_yaml
from dejavu.config.reading import read_tree
from dejavu.runtime.errors import ParamsError

ROOT = Path(__file__).parents[2]
BOMB = itertools.pairwise("abcdefghi")
STUDIES = sorted((ROOT / "params").glob("*.yaml"))


def refusal(text: str) -> str:
    with pytest.raises(ParamsError) as caught:
        parse_yaml(text, "study.yaml")
    return str(caught.value)


def read_by_others(text: str) -> list[Any]:
    return [yaml.safe_load(text), YAML(typ="safe", pure=True).load(text)]


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.stem)
def test_all_parsers_read_the_committed_studies_alike(path: Path) -> None:
    tree = read_tree(path)
    assert read_by_others(path.read_text(encoding="utf-8")) == [tree, tree]


@pytest.mark.parametrize(
    "text",
    [
        "a: [1, b, {c: 'd'}]\ne:\n- {}\n- []\n",
        "a: &one {b: 1, c: 2}\nd: {<<: *one, c: 3}\n",
        "a: &one {b: 1}\nc: &two {b: 2, d: 4}\ne: {<<: [*one, *two], f: 5}\n",
        "a: {<<: {b: 1}, c: 3}\n",
        "a: &list [1, 2]\nb: *list\nc: [*list]\n",
        "a: &text b\n*text : 1\n",
        "a: 'b\n  c'\nd: e\n  f\n",
        "--- # one\na: 1\n...\n",
        '{"a": [1, 2.5, null, true, "b"]}',
        "",
    ],
)
def test_structure_is_read_as_by_other_parsers(text: str) -> None:
    tree = parse_yaml(text, "study.yaml")
    assert read_by_others(text) == [tree, tree]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: 1\nb: !!int ''\n", "study.yaml: line 2: b: has the tag tag:yaml.org,2002:int"),
        ("a: !!bool maybe", "line 1: a: has the tag tag:yaml.org,2002:bool"),
        ("a: ! 5", "line 1: a: has the tag !"),
        ("a: !!python/object:os.system {}", "line 1: a: has the tag tag:yaml.org,2002:python"),
        ("%YAML 1.1\n---\na: 1", "directive"),
        ("%TAG ! !x\n---\na: 1", "directive"),
        ("a: 1\n---\nb: 1", "line 2: a second document"),
        ("a: {b: 1,\n b: 2}", "line 2: a: key 'b' is given twice"),
        ("a: {<<: {b: 1}, <<: {c: 1}}", "a: key '<<' is given twice"),
        ("a: {<<: 5}", "a.<<: must be a mapping"),
        ("null: 5", "line 1: the key None must be text"),
        (": 5", "line 1: "),
        ("2024: 5", "the key 2024 must be text"),
        ("yes: 5", "write true, or 'yes' for text"),
        (".inf: 5", ".inf is not finite"),
        ("? [a]\n: 5", "a key must be text"),
        ("a: *b", "line 1: a: *b: no anchor"),
        ("a: &b [*b]", "line 1: a.0: *b: no anchor"),
        ("a: &b 1\nc: &b 2", "line 2: c: anchor &b is given twice"),
        ("a: [1\nb: 2", "line 2: not valid YAML"),
        ("a:\n\tb: 1", "line 2: not valid YAML"),
        ('a: 1\nb: "\\UFFFFFFFF"', "study.yaml: after line 2: b: not valid YAML"),
        ("a: b\0", "not valid YAML"),
        ('a: "\\0"', "line 1: a: "),
        ('a: "\\ud800"', "line 1: a: "),
        ("a: b\u2028c: d", "line 1: holds the character '\\u2028'"),
        ("a: |\n b\n c\n", "line 1: a: "),
    ],
)
def test_what_a_study_cannot_have_names_line_and_key(text: str, expected: str) -> None:
    found = refusal(text)
    assert found.startswith("study.yaml: ")
    assert expected in found
    assert "\n" not in found


@pytest.mark.parametrize(
    ("text", "limit"),
    [
        ("[" * 10_000 + "]" * 10_000, MAX_DEPTH),
        ("{a: " * 10_000 + "}" * 10_000, MAX_DEPTH),
        ("".join(" " * level + "a:\n" for level in range(300)), MAX_DEPTH),
        ("".join(f"k{key}: 1\n" for key in range(20_000)), MAX_VALUES),
        ("a: &a [x]\n" + "".join(f"{b}: &{b} [{f'*{a},' * 9}]\n" for a, b in BOMB), MAX_VALUES),
    ],
)
def test_limits(text: str, limit: int) -> None:
    found = refusal(text)
    assert f"more than {limit} " in found
    assert len(found) < 300


def test_a_file_of_100_000_unknown_keys_is_refused_by_its_size(tmp_path: Path) -> None:
    path = tmp_path / "study.yaml"
    path.write_text("".join(f"k{key}: 1\n" for key in range(100_000)))
    with pytest.raises(ParamsError, match=rf"study\.yaml: is larger than {MAX_BYTES // 1024} KiB"):
        load_params(path)


def test_encodings_and_line_ends_of_editors_change_nothing(tmp_path: Path) -> None:
    text = (ROOT / "params/default.yaml").read_text(encoding="utf-8")
    path = tmp_path / "study.yaml"
    for written in ("\ufeff" + text, text.replace("\n", "\r\n"), "\ufeff# é 🙂\r\n" + text):
        path.write_bytes(written.encode("utf-8"))
        assert load_params(path) == load_params(ROOT / "params/default.yaml")


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "is empty"),
        (b"# a comment\n", "is empty"),
        (b"null\n", "is empty"),
        (b"5\n", "must be a mapping of keys, not int"),
        (b"a: 1\nstudy: caf\xe9\n", "line 2: is not UTF-8"),
        ("study: a\n".encode("utf-16"), "line 1: is not UTF-8"),
    ],
)
def test_a_file_that_is_no_text_of_a_study_is_named(
    content: bytes, expected: str, tmp_path: Path
) -> None:
    path = tmp_path / "study.yaml"
    path.write_bytes(content)
    with pytest.raises(ParamsError, match=r"study\.yaml: ") as caught:
        load_params(path)
    assert expected in str(caught.value)


def test_what_is_no_file_is_named(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "file").touch()
    for path, expected in (
        (tmp_path, "is a folder"),
        (tmp_path / "pipe", "is no regular file"),
        (Path(os.devnull), "is no regular file"),
        (tmp_path / "file/study.yaml", "cannot be read"),
        (tmp_path / ("a" * 300), "cannot be read"),
    ):
        with pytest.raises(ParamsError) as caught:
            load_params(path)
        assert str(caught.value).startswith(f"{path}: {expected}")


@pytest.mark.parametrize("change", ["train.steps=5", "seeds=[0,7]", "train.learning_rate=0.0001"])
def test_what_dvc_writes_for_an_experiment_is_read(change: str, tmp_path: Path) -> None:
    """As of `dvc exp run -S params/default.yaml:CHANGE`, which rewrites the whole file."""
    path = tmp_path / "default.yaml"
    path.write_bytes((ROOT / "params/default.yaml").read_bytes())
    apply_overrides(path, [change])
    key, value = change.split("=")
    section, _, name = key.rpartition(".")
    expected = read_tree(ROOT / "params/default.yaml")
    (expected[section] if section else expected)[name] = json.loads(value)
    assert read_tree(path) == expected
