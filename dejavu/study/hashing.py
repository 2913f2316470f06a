"""Hashes of the fields and code that decide a result: equal hashes mean equal results."""

from typing import Any

from dejavu.runtime.code_hash import digest
from dejavu.study.adoption.adopted import read_adopted

_OFF: tuple[Any, ...] = (None, False, 0, "", "none", [], {})


def phase_hash(study: str, fields: Any, code: str) -> str:
    """Hash the fields and code that decide a result; an adopted hash gives the older one.

    Args:
        study: name of the study.
        fields: JSON-like; a field that is off counts as absent.
        code: hash of the code (`dejavu.study.code.phase_code`).
    """
    found = plain_hash(fields, code)
    return read_adopted(study).hashes.get(found, found)


def plain_hash(fields: Any, code: str) -> str:
    """Hash fields and code, regardless of adoption."""
    return digest([without_off(fields), code])


def without_off(fields: Any) -> Any:
    """Remove the fields of mappings that are off: null, false, 0, empty, or ``none``.

    So a new field whose default means "off" changes no hash. No field of the params may have two
    such values, or different results would share a hash.

    Example:
        >>> without_off({"steps": 300, "rotate": 0.0, "crop": None, "seeds": [0, 1]})
        {'steps': 300, 'seeds': [0, 1]}
    """
    if isinstance(fields, dict):
        kept = {key: without_off(value) for key, value in fields.items()}
        return {key: value for key, value in kept.items() if value not in _OFF}
    if isinstance(fields, list | tuple):
        return [without_off(value) for value in fields]
    return fields
