"""Read and validate study files; errors name the file, the key and the fix."""

from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from dejavu.config.base import Section
from dejavu.config.data import DataParams
from dejavu.config.parsing import MAX_BYTES, parse_yaml
from dejavu.config.scalars import shortened
from dejavu.config.study import Params
from dejavu.method.redaction.registry import REDACTIONS
from dejavu.runtime.errors import ParamsError
from dejavu.runtime.strict_json import to_json

Kind = TypeVar("Kind", bound=Section)

_MOST_ERRORS = 20
"""Errors that a message lists."""


def load_params(path: Path) -> Params:
    """Read a study file.

    Raises:
        ParamsError: the file is missing, is not YAML, or holds an unknown key or an impossible
            value; the message names the file, the key and the fix.
    """
    return parse_params(read_tree(path), str(path))


def read_tree(path: Path) -> dict[str, Any]:
    """Read a study file without validating what it holds.

    Raises:
        ParamsError: the file is missing, is too large, or is not a mapping in YAML that every
            parser reads in the same way.
    """
    return _mapping(parse_yaml(_read_text(path), str(path)), str(path))


def parse_params(tree: Any, source: str) -> Params:
    """Validate an untyped tree read from ``source``, which error messages name."""
    return _validated(Params, _mapping(tree, source), source)


def _read_text(path: Path) -> str:
    try:
        if path.exists() and not path.is_file():  # a pipe would wait, or be empty the second time
            kind = "a folder" if path.is_dir() else "no regular file"
            raise ParamsError(f"{path}: is {kind}; give a params file")
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        known = ", ".join(sorted(str(p) for p in path.parent.glob("*.yaml"))) or "none"
        raise ParamsError(f"{path}: no such params file; in that folder: {known}") from None
    except OSError as error:
        raise ParamsError(f"{path}: cannot be read: {error.strerror}") from None
    if len(content) > MAX_BYTES:
        raise ParamsError(f"{path}: is larger than {MAX_BYTES // 1024} KiB; is it a params file?")
    try:
        return content.decode("utf-8-sig")  # without a byte-order mark, which editors may add
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ParamsError(f"{path}: line {line}: is not UTF-8; save it as UTF-8") from None


def _mapping(tree: Any, source: str) -> dict[str, Any]:
    if tree is None:
        raise ParamsError(f"{source}: is empty; copy params/default.yaml to start with")
    if not isinstance(tree, dict):
        raise ParamsError(f"{source}: must be a mapping of keys, not {type(tree).__name__}")
    return tree


def parse_data(tree: dict[str, Any], source: str) -> DataParams:
    """Validate the params of a data set alone."""
    return _validated(DataParams, tree, source)


def _validated(kind: type[Kind], tree: dict[str, Any], source: str) -> Kind:
    try:
        return kind.model_validate(tree)
    except ValidationError as error:
        lines = [_explain(dict(item), tree) for item in error.errors()]
        if len(lines) > _MOST_ERRORS:
            lines[_MOST_ERRORS:] = [f"and {len(lines) - _MOST_ERRORS} errors more"]
        raise ParamsError("\n".join(f"{source}: {line}" for line in lines)) from None


def _explain(item: dict[str, Any], tree: dict[str, Any]) -> str:
    """Turn one pydantic error into a line that names the key and the fix."""
    key, shown = ".".join(_keys_in_tree(item["loc"], tree)), shortened(repr(item["input"]))
    if item["type"] == "value_error":
        message = item["msg"].removeprefix("Value error, ")
    elif item["type"] == "missing":
        message = "is missing; add it"
    elif item["type"].startswith("union_tag"):
        key = f"{key}.name"
        message = f"no valid name in {shown}; choose one of {', '.join(REDACTIONS)}"
    else:
        message = f"{item['msg'][0].lower()}{item['msg'][1:]}, not {shown}{_fix(item)}"
    return f"{key}: {message}" if key else message


def _fix(item: dict[str, Any]) -> str:
    """Name the form to write for a value of another type, which is never converted."""
    value = item["input"]
    if item["type"] == "string_type" and isinstance(value, bool | int | float):
        return f"; quote it: {to_json(str(value).lower())}"
    if item["type"] == "int_type" and isinstance(value, float) and value.is_integer():
        return f"; write {value:.0f}"
    return ""


def _keys_in_tree(location: tuple[int | str, ...], tree: Any) -> list[str]:
    """Drop the parts of a pydantic location that name a branch of a union, not a key."""
    keys: list[str] = []
    for index, part in enumerate(location):
        if isinstance(tree, dict) and part not in tree and part == tree.get("name"):
            continue
        tree = tree[part] if index < len(location) - 1 else None
        keys.append(str(part))
    return keys
