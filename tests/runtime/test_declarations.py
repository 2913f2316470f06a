from pathlib import Path

import pytest

from dejavu.runtime import declarations as module
from dejavu.runtime.declarations import declarations


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(module, "_PACKAGE", tmp_path)
    declarations.cache_clear()
    (tmp_path / "kinds").mkdir()
    return tmp_path / "kinds"


def test_literals_are_read_by_module_and_nothing_is_imported(folder: Path) -> None:
    (folder / "second.py").write_text("raise SystemExit\nFACTS: dict[str, int] = {'a': 1}\n")
    (folder / "first.py").write_text("import no_such_library\nFACTS = ('b', -2)\nOTHER = 3\n")
    (folder / "none.py").write_text("def f():\n    FACTS = 4\n")
    assert list(declarations("kinds", "FACTS").items()) == [
        ("first", ("b", -2)),
        ("second", {"a": 1}),
    ]


def test_what_is_no_literal_is_named(folder: Path) -> None:
    (folder / "clever.py").write_text("\nFACTS = dict(a=1)\n")
    with pytest.raises(ValueError, match=r"clever\.py, line 2: FACTS is read without importing"):
        declarations("kinds", "FACTS")
