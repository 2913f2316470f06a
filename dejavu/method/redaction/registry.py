"""Redactions by name: each is a file of this folder, imported on first use."""

import difflib
import importlib
import pkgutil
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from dejavu.method.redaction.base import Redaction, settings_of

_SHARED = {"base", "combined", "registry", "spatial", "spectral"}
"""Modules of this folder that are not redactions."""


class _Redactions(Mapping[str, type[Redaction]]):
    """Imports the file of a name, and finds the class in it that has this name."""

    def __getitem__(self, name: str) -> type[Redaction]:
        if name not in _names():
            raise KeyError(name)
        module = importlib.import_module(f"{__package__}.{name}")
        for value in vars(module).values():
            is_redaction = isinstance(value, type) and issubclass(value, Redaction)
            if is_redaction and vars(value).get("name") == name:
                found: type[Redaction] = value
                return found
        raise ValueError(f"{module.__file__}: has no Redaction whose name is {name!r}; add it")

    def __contains__(self, name: object) -> bool:
        return name in _names()

    def __iter__(self) -> Iterator[str]:
        return iter(_names())

    def __len__(self) -> int:
        return len(_names())


REDACTIONS: Mapping[str, type[Redaction]] = _Redactions()
"""All redactions by name, in alphabetical order."""


@cache
def _names() -> list[str]:
    modules = pkgutil.iter_modules([str(Path(__file__).parent)])
    return sorted(module.name for module in modules if module.name not in _SHARED)


def create_redaction(name: str, **settings: Any) -> Redaction:
    """Make a redaction from its name and settings; settings with a default may be left out.

    Args:
        name: its name in `REDACTIONS`.
        settings: its arguments. The ``redactions`` of a combination may be redactions, or
            mappings of a name and settings, as in YAML.

    Raises:
        ValueError: the name or a setting is unknown, or a setting is missing or invalid.

    Example:
        >>> low_pass = create_redaction("low_pass", cutoff=0.3)
        >>> low_pass
        LowPass(cutoff=0.3)
        >>> create_redaction("compose", redactions=[{"name": "identity"}, low_pass])
        Compose(redactions=(Identity(), LowPass(cutoff=0.3)))
    """
    if name not in REDACTIONS:
        near = difflib.get_close_matches(name, REDACTIONS, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(REDACTIONS)}"
        raise ValueError(f"name={name!r}: no such redaction; {hint}")
    redaction = REDACTIONS[name]
    known = settings_of(redaction)
    required = [key for key, setting in known.items() if setting.required]
    optional = [key for key, setting in known.items() if not setting.required]
    if not {*required} <= {*settings} <= {*known}:
        raise ValueError(
            f"redaction {name!r} takes the settings ({', '.join(required)}), "
            f"but was given ({', '.join(settings)})"
            + (f"; it may take ({', '.join(optional)}), too" if optional else "")
        )
    if isinstance(settings.get("redactions"), Sequence):
        settings["redactions"] = [_create_part(part) for part in settings["redactions"]]
    return redaction(**settings)


def _create_part(part: Any) -> Any:
    if not isinstance(part, Mapping):
        return part  # the combination refuses parts of other types
    if "name" not in part:
        raise ValueError(f"redactions: {dict(part)} has no name")
    return create_redaction(**part)


def example_settings(name: str) -> dict[str, Any]:
    """Return typical settings of a redaction as in a params file, without defaults.

    Example:
        >>> example_settings("random_blocks")
        {'block': 8, 'keep': 0.3}
    """
    settings = settings_of(REDACTIONS[name])
    return {key: setting.example for key, setting in settings.items() if setting.required}
