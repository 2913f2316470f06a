"""Hashes of code: which imports are followed, and which changes count."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from dejavu.runtime import code_hash as hashing
from dejavu.runtime.code_hash import closure, code_hash

CACHED = (hashing._hash_of, hashing._hash, hashing._parse, hashing._read, hashing._imports)


def forget() -> None:
    for cached in CACHED:
        cached.cache_clear()


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A package of a few modules in place of dejavu."""
    modules = {
        "top.py": '"""Doc."""\nfrom dejavu.deep import f\n\nx = f(1)\n',
        "deep.py": 'def f(a):\n    """Doc."""\n    return a + 1\n',
        "apart.py": "y = 1\n",
        "folder/__init__.py": "from dejavu.apart import y\n",
        "folder/inside.py": "from . import other\n",
        "folder/other.py": "from ..deep import f\n",
    }
    (tmp_path / "folder").mkdir()
    for name, text in modules.items():
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(hashing, "PACKAGE", tmp_path)
    forget()
    yield tmp_path
    forget()


def fresh(module: str = "top", without: tuple[str, ...] = ()) -> str:
    forget()
    return code_hash([module], without)


def test_code_counts_through_imports(package: Path) -> None:
    before, apart = fresh(), fresh(without=("deep",))
    (package / "deep.py").write_text("def f(a):\n    return a + 2\n")
    assert fresh() != before
    assert fresh(without=("deep",)) == apart


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("return 1", "return 1  # why"),
        ("return 1", '"""Doc."""\n    return 1'),
        ("x = 1\n    return x", 'x = 1\n    """What x is."""\n    return x'),
        ('raise ValueError("no")', 'raise ValueError(f"no {a}: say something else")'),
        ('assert a, "no"', 'assert a, "say something else"'),
    ],
)
def test_words_do_not_count(package: Path, before: str, after: str) -> None:
    (package / "deep.py").write_text(f"def f(a):\n    {before}\n")
    hashed = fresh()
    (package / "deep.py").write_text(f"def f(a):\n    {after}\n")
    assert fresh() == hashed


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("return a + 1", "return a - 1"),
        ("return 'x'", "return 'y'"),
        ("raise ValueError('no')", "raise TypeError('no')"),
        ("assert a", "assert not a"),
    ],
)
def test_code_counts(package: Path, before: str, after: str) -> None:
    (package / "deep.py").write_text(f"def f(a):\n    {before}\n")
    hashed = fresh()
    (package / "deep.py").write_text(f"def f(a):\n    {after}\n")
    assert fresh() != hashed


def test_a_module_of_docstring_alone_can_be_hashed(package: Path) -> None:
    (package / "top.py").write_text('"""Only words."""\n')
    assert fresh()


@pytest.mark.parametrize(
    "text",
    [
        "def g():\n    from dejavu.deep import f\n    return f\n",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from dejavu.deep import f\n",
    ],
    ids=["in a function", "for type checkers"],
)
def test_imports_that_may_not_happen_are_not_followed(package: Path, text: str) -> None:
    (package / "top.py").write_text(text)
    assert closure(["top"]) == {"top"}


@pytest.mark.parametrize(
    "text",
    [
        "import dejavu.deep\n",
        "from dejavu import deep\n",
        "from .deep import f\n",
        "try:\n    from dejavu import deep\nexcept ImportError:\n    deep = None\n",
        "class A:\n    from dejavu.deep import f\n",
    ],
)
def test_imports_that_happen_are_followed(package: Path, text: str) -> None:
    (package / "top.py").write_text(text)
    assert closure(["top"]) == {"top", "deep"}


def test_a_module_brings_the_packages_that_it_is_in(package: Path) -> None:
    expected = {"folder", "folder.inside", "folder.other", "apart", "deep"}
    assert closure(["folder.inside"]) == expected
    assert closure(["folder.inside"], ["folder"]) == set()
    assert closure(["folder.inside"], ["folder.other"]) == {"folder", "folder.inside", "apart"}


def test_a_module_that_is_not_there_is_named(package: Path) -> None:
    with pytest.raises(ModuleNotFoundError, match=r"dejavu\.nothing"):
        fresh("nothing")


def test_what_is_remembered_changes_no_hash() -> None:
    names = ("datasets.rooms", "training.text_pair", "training.loop")
    alone = {name: fresh(name) for name in names}
    assert len({*alone.values()}) == len(names)
    forget()
    assert {name: code_hash([name]) for name in reversed(names)} == alone


def test_a_module_is_read_once_however_often_it_is_hashed(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[bytes] = []
    parse = ast.parse
    monkeypatch.setattr(hashing.ast, "parse", lambda text: read.append(text) or parse(text))
    forget()
    names = ("datasets.rooms", "training.text_pair", "training.loop")
    for name in names:
        code_hash([name])
    assert len({*read}) == len(read) <= len(closure(names))
    forget()
