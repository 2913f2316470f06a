"""The single values of a study file: what unquoted text means, and how values are written.

Snakemake reads YAML 1.1 (PyYAML), DVC YAML 1.2 (ruamel), and they differ: ``010`` is 8 to one
and 10 to the other, ``1e-4`` is text or a number, ``yes`` is true or text. Here a number is what
JSON calls one, and what the two would read differently is refused with the form to write.
"""

import datetime
import math
import re
from typing import Any

import yaml

LARGEST = 2**53
"""Largest whole number that every parser of JSON holds exactly."""

_WORDS = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
"""What is not text or a number; all parsers agree on these."""

_NUMBER = re.compile(r"(-?(?:0|[1-9][0-9]*))((?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?)")
"""A number of JSON's: its whole part, and the rest."""

_NUMBER_TO_BOTH = re.compile(r"[^eE]+|.+\..+[eE][-+].+")
"""The numbers of JSON's that YAML 1.1 reads as numbers, too."""

_NUMBER_IN_1_2 = re.compile(
    r"[-+]?(?:0b[01_]+|0o[0-7_]+|0x[0-9a-fA-F_]+|(?<=[-+])_[0-9_]*"
    r"|(?:[0-9][0-9_]*(?:\.[0-9_]*)?|\.[0-9_]+)(?:[eE][-+]?[0-9]+)?|\.(?:inf|Inf|INF))"
    r"|\.(?:nan|NaN|NAN)"
)
"""What ruamel reads as a number."""

_LONGEST = 40
"""Characters of the longest number; 17 digits tell any two floating-point numbers apart."""

_NO_TEXT = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff\ufeff]")
"""Control characters, line breaks and halves of characters, which no name or path has."""

_PYYAML = yaml.SafeLoader("")


class RefusedError(Exception):
    """What is wrong with a value, and the form to write."""


def plain_value(text: str) -> bool | int | float | str | None:
    """Return what unquoted text means.

    Raises:
        RefusedError: parsers read it differently, or it is no number that all of them hold.

    Example:
        >>> [plain_value(text) for text in ("300", "3.0e-3", "true", "~", "adamw")]
        [300, 0.003, True, None, 'adamw']
    """
    if text in _WORDS:
        return _WORDS[text]
    if number := _NUMBER.fullmatch(text):
        value = _number(text, is_whole=not number.group(2))
        if _NUMBER_TO_BOTH.fullmatch(text):
            return value
    elif _is_text_to_both(text):
        return checked_text(text)
    raise RefusedError(_differently(text))


def checked_text(text: str) -> str:
    """Return text that can be a name or a path.

    Raises:
        RefusedError: it holds a control character or half a character.
    """
    if found := _NO_TEXT.search(text):
        raise RefusedError(
            f"{shortened(repr(text))} holds the character {found.group()!r}; remove it"
        )
    return text


def shortened(text: str) -> str:
    """Return text for a message, cut if it is long.

    Example:
        >>> shortened("0" * 5000)
        '0000000000000000000000000000000000000000000000000000000000... (5000 characters)'
    """
    return text if len(text) <= 80 else f"{text[:58]}... ({len(text)} characters)"


def write_yaml(value: Any, **options: Any) -> str:
    r"""Write YAML that every parser reads as ``value``.

    Args:
        value: plain types.
        options: those of `yaml.dump`.

    Example:
        >>> write_yaml({"study": "1e5", "rate": 3e-05}, default_flow_style=True)
        "{study: '1e5', rate: 3.0e-05}\n"
    """
    return str(yaml.dump(value, Dumper=_Writer, sort_keys=False, **options))


class _Writer(yaml.SafeDumper):
    """Quotes the texts that a parser could take for something else."""

    def text(self, text: str) -> yaml.ScalarNode:
        """Represent a text."""
        style = None if text not in _WORDS and _is_text_to_both(text) else "'"
        return self.represent_scalar("tag:yaml.org,2002:str", text, style)


_Writer.add_representer(str, _Writer.text)


def _number(text: str, is_whole: bool) -> int | float:
    if len(text) > _LONGEST:
        raise RefusedError(f"{shortened(text)} is longer than a number of {_LONGEST} characters")
    if is_whole:
        if abs(int(text)) > LARGEST:
            raise RefusedError(f"{text} is beyond 2^53, up to which whole numbers are exact")
        return int(text)
    value = float(text)
    if not math.isfinite(value):
        raise RefusedError(f"{text} is too large; a number must be finite")
    if value == 0 and re.search("[1-9]", re.split("[eE]", text)[0]):
        raise RefusedError(f"{text} is so small that it would be read as 0")
    return value


def _differently(text: str) -> str:
    """Say what parsers make of unquoted text, and what to write."""
    if len(text) > _LONGEST:
        return f"{shortened(text)} is read differently by other parsers; quote it if it is text"
    old, new = _read_by_1_1(text), _read_by_1_2(text)
    if any(isinstance(value, float) and not math.isfinite(value) for value in (old, new)):
        return f"{text} is not finite; every number must be"
    numbers = [_shown(value) for value in (old, new) if isinstance(value, bool | int | float)]
    forms = " or ".join([*dict.fromkeys(numbers)])
    quoted = write_yaml(text, default_style="'").strip()
    fix = f"write {forms}, or {quoted} for text" if forms else f"write {quoted} if it is text"
    if old is None and new is None:
        return f"{text} is an error to other parsers; {fix}"
    if old == new and type(old) is type(new):
        return f"{text} is not how JSON writes {_shown(old)}; {fix}"
    return f"{text} is {_shown(old)} in YAML 1.1 and {_shown(new)} in YAML 1.2; {fix}"


def _is_text_to_both(text: str) -> bool:
    """Tell whether unquoted text is text in YAML 1.1 and in YAML 1.2."""
    return _tag(text) == "str" and not _NUMBER_IN_1_2.fullmatch(text)


def _tag(text: str) -> str:
    """Return the type that YAML 1.1 gives to unquoted text."""
    tag = _PYYAML.resolve(yaml.ScalarNode, text, (True, False))  # type: ignore[no-untyped-call]
    return str(tag).rpartition(":")[2]


def _read_by_1_1(text: str) -> Any:
    """Return what PyYAML reads; None if it fails."""
    try:
        node = yaml.ScalarNode(f"tag:yaml.org,2002:{_tag(text)}", text)
        return _PYYAML.construct_object(node)
    except (yaml.YAMLError, ValueError, OverflowError):
        return None


def _read_by_1_2(text: str) -> Any:
    """Return what ruamel reads; None if it fails."""
    if not _NUMBER_IN_1_2.fullmatch(text):
        return text
    digits = text.replace("_", "").lower()
    if digits.lstrip("-+").startswith("."):
        digits = digits.replace(".inf", "inf").replace(".nan", "nan")
    for read in (int, float, lambda whole: int(whole, 0)):
        try:
            return read(digits)
        except ValueError:
            continue
    return None


def _shown(value: Any) -> str:
    if value is None:
        return "an error"
    if isinstance(value, datetime.date):
        return "a date"
    if isinstance(value, str):
        return "text"
    if isinstance(value, float) and value.is_integer() and abs(value) <= LARGEST:
        value = int(value)
    return str(yaml.safe_dump(value)).splitlines()[0]
