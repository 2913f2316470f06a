"""Hashes of code: modules of the package, with every module that they import at module level.

A module is hashed by its syntax tree, without the parts that cannot change a result: comments,
docstrings, the messages of ``raise`` and ``assert``. Imports inside functions are not followed:
`dejavu.study.code` names the modules that a run loads on demand, so that a redaction that it
does not use is no part of its hash. Imports under ``TYPE_CHECKING`` are not followed either.
"""

import ast
import hashlib
import json
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

PACKAGE = Path(__file__).parents[1]


def digest(value: Any) -> str:
    """Hash a JSON-like value; the order of keys does not matter.

    Example:
        >>> digest({"a": 1, "b": 2}) == digest({"b": 2, "a": 1})
        True
    """
    text = json.dumps(value, sort_keys=True)  # noqa: TID251 - hashed, never written
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def code_hash(modules: Iterable[str], without: Iterable[str] = ()) -> str:
    """Hash modules of the package and everything they import from it.

    Args:
        modules: their names below the package, such as ``training.loop``.
        without: modules or packages whose code is assumed to have no effect.

    Raises:
        ModuleNotFoundError: the package has no such module.

    Example:
        >>> code_hash(["method.crm"]) == code_hash(["method.loss"])
        False
    """
    return _hash_of(frozenset(modules), frozenset(without))


@cache
def _hash_of(modules: frozenset[str], without: frozenset[str]) -> str:
    return digest({name: _hash(_read(name)) for name in closure(modules, without)})


def closure(modules: Iterable[str], without: Iterable[str] = ()) -> set[str]:
    """Return the modules, their packages, and everything these import, directly or not.

    Args:
        modules: their names below the package.
        without: modules or packages to leave out, with the modules that only they import.
    """
    found: set[str] = set()
    waiting, left_out = [*modules], {*without}
    while waiting:
        name = waiting.pop()
        if name not in found and left_out.isdisjoint(_with_packages(name)):
            found.add(name)
            waiting += [*_with_packages(name)[:-1], *_imports(name)]
    return found


def _with_packages(module: str) -> list[str]:
    """Return the packages around a module, from the outermost, and the module itself."""
    parts = module.split(".")
    return [".".join(parts[: end + 1]) for end in range(len(parts))]


def _source(module: str) -> Path | None:
    path = PACKAGE.joinpath(*module.split("."))
    candidates = (path.with_suffix(".py"), path / "__init__.py")
    return next((c for c in candidates if c.is_file()), None)


@cache
def _read(module: str) -> bytes:
    source = _source(module)
    if source is None:
        raise ModuleNotFoundError(f"dejavu.{module}")
    return source.read_bytes()


@cache
def _parse(source: bytes) -> ast.Module:
    return ast.parse(source)


@cache
def _hash(source: bytes) -> str:
    return digest(_canonical(_parse(source)))


@cache
def _imports(module: str) -> list[str]:
    """Return the package's modules that a module imports at module level."""
    names: list[str] = []
    for node in _statements(_parse(_read(module)).body):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            parent = _parent(module, node.level) if node.level else ""
            origin = ".".join(filter(None, [parent, node.module]))
            names += [origin, *(f"{origin}.{alias.name}" for alias in node.names)]
    inside = [name.removeprefix("dejavu.") for name in names if name.startswith("dejavu.")]
    return [name for name in inside if _source(name)]


def _statements(body: Iterable[ast.stmt]) -> Iterator[ast.stmt]:
    """Yield the statements that run when a module is imported."""
    for node in body:
        yield node
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) or _is_for_type_checkers(node):
            continue
        for name in ("body", "orelse", "finalbody"):
            yield from _statements(getattr(node, name, ()))
        for handler in getattr(node, "handlers", ()):
            yield from _statements(handler.body)


def _parent(module: str, level: int) -> str:
    """Return the package that the dots of a relative import stand for, as an absolute name."""
    source = _source(module)
    parts = ["dejavu", *module.split(".")]
    if source is not None and source.name != "__init__.py":
        parts.pop()
    return ".".join(parts[: len(parts) - level + 1])


def _canonical(node: Any) -> Any:
    """Turn a syntax tree into lists that are the same for every Python version.

    Docstrings, positions, error messages and empty fields (new versions add some) are left out.
    """
    if isinstance(node, list):
        return [_canonical(item) for item in node if not _is_for_type_checkers(item)]
    if not isinstance(node, ast.AST):
        return repr(node)
    fields = dict(ast.iter_fields(node))
    if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
        fields["body"] = [item for item in node.body if not _is_text(item)]
    elif isinstance(node, ast.Raise):
        fields = {"exc": node.exc.func if isinstance(node.exc, ast.Call) else node.exc}
    elif isinstance(node, ast.Assert):
        fields["msg"] = None
    kept = {k: _canonical(v) for k, v in fields.items() if v not in (None, [])}
    return [type(node).__name__, kept]


def _is_for_type_checkers(node: Any) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING")


def _is_text(node: ast.stmt) -> bool:
    """Tell whether a statement is only text: a docstring, including an attribute's."""
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )
