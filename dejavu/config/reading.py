"""Read and validate study files; errors name the file, the key and the fix."""

from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import ValidationError

from dejavu.config.base import Section
from dejavu.config.data import DataParams
from dejavu.config.study import Params
from dejavu.runtime.errors import ParamsError

Kind = TypeVar("Kind", bound=Section)


class _UniqueKeyLoader(yaml.SafeLoader):
    """YAML loader that raises on a duplicate key, instead of keeping the last one."""


def _unique_mapping(loader: _UniqueKeyLoader, node: yaml.MappingNode) -> dict[Any, Any]:
    seen: list[Any] = []
    for key, _ in node.value:
        if key.tag == "tag:yaml.org,2002:merge":  # keys merged by << may be overridden
            continue
        name = loader.construct_object(key)
        if name in seen:
            raise yaml.constructor.ConstructorError(
                None, None, f"key {name!r} is given twice", key.start_mark
            )
        seen.append(name)
    loader.flatten_mapping(node)
    return loader.construct_mapping(node, deep=True)


_UniqueKeyLoader.add_constructor("tag:yaml.org,2002:map", _unique_mapping)


def load_params(path: Path) -> Params:
    """Read a study file.

    Raises:
        ParamsError: the file is missing, is not YAML, or holds an unknown key or an impossible
            value; the message names the file, the key and the fix.
    """
    try:
        tree = yaml.load(path.read_text(encoding="utf-8"), Loader=_UniqueKeyLoader)
    except FileNotFoundError:
        known = ", ".join(sorted(str(p) for p in path.parent.glob("*.yaml"))) or "none"
        raise ParamsError(f"{path}: no such params file; in that folder: {known}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ParamsError(f"{path}: cannot be read: {error}") from None
    except yaml.YAMLError as error:
        raise ParamsError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from None
    return parse_params(tree, str(path))


def parse_params(tree: Any, source: str) -> Params:
    """Validate an untyped tree read from ``source``, which error messages name."""
    if not isinstance(tree, dict):
        raise ParamsError(f"{source}: must be a mapping of keys, not {type(tree).__name__}")
    return _validated(Params, tree, source)


def parse_data(tree: dict[str, Any], source: str) -> DataParams:
    """Validate the params of a data set alone."""
    return _validated(DataParams, tree, source)


def _validated(kind: type[Kind], tree: dict[str, Any], source: str) -> Kind:
    try:
        return kind.model_validate(tree)
    except ValidationError as error:
        lines = [_explain(dict(item), tree) for item in error.errors()]
        raise ParamsError("\n".join(f"{source}: {line}" for line in lines)) from None


def _explain(item: dict[str, Any], tree: dict[str, Any]) -> str:
    """Turn one pydantic error into a line that names the key and the fix."""
    key = ".".join(_keys_in_tree(item["loc"], tree))
    if item["type"] == "value_error":
        message = item["msg"].removeprefix("Value error, ")
    elif item["type"] == "missing":
        message = "is missing; add it"
    elif item["type"].startswith("union_tag"):
        key = f"{key}.name"
        message = (
            f"no valid name in {item['input']!r}; choose one of {item['ctx']['expected_tags']}"
        )
    else:
        message = f"{item['msg'][0].lower()}{item['msg'][1:]}, not {item['input']!r}"
    return f"{key}: {message}" if key else message


def _keys_in_tree(location: tuple[int | str, ...], tree: Any) -> list[str]:
    """Drop the parts of a pydantic location that name a branch of a union, not a key."""
    keys: list[str] = []
    for index, part in enumerate(location):
        if isinstance(tree, dict) and part not in tree and part == tree.get("name"):
            continue
        tree = tree[part] if index < len(location) - 1 else None
        keys.append(str(part))
    return keys
