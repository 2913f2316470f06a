"""JSON as its standard has it: other readers refuse the NaN and Infinity that Python would write.

What is written has null for a number that is not finite, such as a metric of which no pixel could
be scored. What is read may have no such number.
"""

import json
import math
from pathlib import Path
from typing import Any

from dejavu.runtime.files import write_text


def to_json(value: Any, indent: int | None = None) -> str:
    """Write a value as JSON, with null for each number that is not finite.

    Example:
        >>> to_json({"miou": float("nan"), "images": 3})
        '{"miou": null, "images": 3}'
    """
    return json.dumps(_without_infinite(value), indent=indent, allow_nan=False)  # noqa: TID251


def write_json(path: Path, value: Any) -> None:
    """Write a JSON file atomically; see `to_json`."""
    write_text(path, to_json(value, indent=1) + "\n")


def from_json(text: str | bytes) -> Any:
    """Read JSON.

    Raises:
        ValueError: it is not JSON, or has a number that is not finite.

    Example:
        >>> from_json('{"miou": NaN}')
        Traceback (most recent call last):
        ValueError: NaN is not JSON: a number must be finite, or null
    """
    try:
        return json.loads(text, parse_constant=_refuse, parse_float=_finite)  # noqa: TID251
    except RecursionError:
        raise ValueError("is nested too deeply") from None


def read_json(path: Path) -> Any:
    """Read a JSON file; a byte-order mark before it is left out.

    Raises:
        OSError: the file is missing or cannot be read.
        ValueError: see `from_json`; the caller adds the file's name.
    """
    return from_json(path.read_bytes().removeprefix(b"\xef\xbb\xbf"))


def number_or_nan(value: float | None) -> float:
    """Return a number that was written by `to_json`: NaN for null.

    Example:
        >>> number_or_nan(None), number_or_nan(2)
        (nan, 2.0)
    """
    return math.nan if value is None else float(value)


def _without_infinite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_infinite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_without_infinite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _refuse(name: str) -> float:
    raise ValueError(f"{name} is not JSON: a number must be finite, or null")


def _finite(text: str) -> float:
    number = float(text)
    return number if math.isfinite(number) else _refuse(text)
