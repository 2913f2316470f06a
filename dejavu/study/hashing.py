"""What makes two results the same: the hash of the fields and of the code that change them."""

from typing import Any

from dejavu.runtime.code_hash import digest
from dejavu.study.adoption.adopted import read_adopted

_OFF: tuple[Any, ...] = (None, False, 0, "", "none", [], {})


def phase_hash(study: str, fields: Any, code: str) -> str:
    """Hash what decides a result; where the study has adopted it, return the older hash.

    Args:
        study: name of the study.
        fields: JSON-like; a field that is off counts as one that is not there.
        code: hash of the code (`dejavu.study.code.phase_code`).
    """
    found = plain_hash(fields, code)
    return read_adopted(study).hashes.get(found, found)


def plain_hash(fields: Any, code: str) -> str:
    """Hash fields and code, whatever was adopted."""
    return digest([without_off(fields), code])


def without_off(fields: Any) -> Any:
    """Leave out the fields of mappings that are off: null, false, 0, empty, or ``none``.

    So a new field whose default means "off" changes no hash by being there. No field of the params
    may have two values that are off, so that no two results share a hash.

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
