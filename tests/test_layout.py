"""What lies where among the tests, as tests/README.md says."""

import ast
from pathlib import Path

TESTS = Path(__file__).parent
PACKAGE = TESTS.parent / "dejavu"
SUPPORT = TESTS / "support"
OF_THE_WHOLE = {"workflow", "soak"}


def folders(root: Path) -> set[str]:
    """The packages below a folder, by their relative paths."""
    found = {path.parent.relative_to(root).as_posix() for path in root.rglob("__init__.py")}
    return found - {"."}


def imported(path: Path) -> set[str]:
    """Every name that a module of the tests imports, absolute: tests.support.rooms.render."""
    package = ["tests", *path.relative_to(TESTS).parts[:-1]]
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*above, *filter(None, [node.module])])
            found |= {f"{module}.{alias.name}" for alias in node.names}
    return found


def test_tests_share_what_lies_in_support_alone() -> None:
    names = {path: imported(path) for path in TESTS.rglob("*.py")}
    own = {
        f"{path.relative_to(TESTS)} imports {name}"
        for path, found in names.items()
        for name in found
        if name.split(".")[0] == "tests"
    }
    assert len(own) > 100
    assert {line for line in own if " imports tests.support." not in line} == set()


def test_folders_are_those_of_the_package() -> None:
    mirrored = {name for name in folders(TESTS) if not name.startswith("support")}
    assert mirrored - OF_THE_WHOLE <= folders(PACKAGE)
    assert folders(TESTS) >= OF_THE_WHOLE | {"support", "training"}


def test_what_is_no_test_lies_in_support() -> None:
    modules = {path for path in TESTS.rglob("*.py") if SUPPORT not in path.parents}
    helpers = {path for path in modules if not path.name.startswith("test_")}
    assert {path.name for path in helpers} == {"__init__.py", "conftest.py"}
    tests_in_support = [*SUPPORT.rglob("test_*.py")]
    assert tests_in_support == []
