"""Parse the YAML of a study file, within limits that let a wrong file be answered at once.

`dejavu.config.scalars` says what the single values mean. Tags, directives, keys that are not text,
and keys given twice are refused.
"""

import re
from dataclasses import dataclass, field
from typing import Any

import yaml

from dejavu.config.scalars import RefusedError, checked_text, plain_value, shortened
from dejavu.runtime.errors import ParamsError

MAX_BYTES = 256 * 1024
"""Largest size of a study file; one of 100 complete methods is half as large."""
MAX_DEPTH = 32
"""Deepest nesting of lists and mappings; a study needs 7, and more only for nested redactions."""
MAX_VALUES = 20_000
"""Largest number of values, those of each alias counted again."""

_OLD_BREAKS = re.compile("[\x85\u2028\u2029]")
"""Line breaks of YAML 1.1 alone."""

_MERGE = object()
"""The key ``<<``."""


def parse_yaml(text: str, source: str) -> Any:
    """Return what a YAML text holds, in plain Python types.

    Args:
        text: the text.
        source: where it was read from, for error messages.

    Raises:
        ParamsError: it is not valid YAML, parsers would read it differently, or it breaks a limit;
            the message names the line, the key and the form to write.

    Example:
        >>> parse_yaml("train: {steps: 300, learning_rate: 3.0e-3}", "mine")
        {'train': {'steps': 300, 'learning_rate': 0.003}}
    """
    if found := _OLD_BREAKS.search(text):
        line = text.count("\n", 0, found.start()) + 1
        raise ParamsError(
            f"{source}: line {line}: holds the character {found.group()!r}, which ends a line in "
            "YAML 1.1 alone; remove it"
        )
    tree = _Tree()
    try:
        for event in yaml.parse(text, Loader=yaml.SafeLoader):
            tree.take(event)
    except RefusedError as error:
        raise ParamsError(f"{source}: {tree.place}: {error}") from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        place = f"line {mark.line + 1}" if mark else tree.place
        said = ", ".join(part for part in (error.context, error.problem) if part)
        raise ParamsError(f"{source}: {place}: not valid YAML: {said}") from None
    except (yaml.YAMLError, ValueError, OverflowError) as error:  # characters and escapes
        said = " ".join(str(error).split())
        raise ParamsError(f"{source}: after {tree.place}: not valid YAML: {said}") from None
    return tree.root


@dataclass
class _Open:
    """A list or mapping whose end is yet to come.

    Attributes:
        value: what it holds so far, without merged keys.
        anchor: its anchor, if any.
        before: the number of values before it.
        key: of a mapping, the key whose value comes next; None if a key does.
        keys: of a mapping, all keys so far.
        merged: of a mapping, what ``<<`` merges into it.
    """

    value: list[Any] | dict[str, Any]
    anchor: str | None
    before: int
    key: Any = None
    keys: set[Any] = field(default_factory=set)
    merged: dict[str, Any] = field(default_factory=dict)

    @property
    def place(self) -> str | None:
        """The index or key that comes next."""
        if isinstance(self.value, list):
            return str(len(self.value))
        return "<<" if self.key is _MERGE else self.key


class _Tree:
    """Puts values together from the parser's events; nothing recurses."""

    def __init__(self) -> None:
        self.root: Any = None
        self._line = 1
        self._open: list[_Open] = []
        self._anchors: dict[str, tuple[Any, int]] = {}
        self._count = 0
        self._documents = 0

    @property
    def place(self) -> str:
        """The line and the key that are being read."""
        keys = ".".join(place for one in self._open if (place := one.place) is not None)
        return f"line {self._line}" + (f": {shortened(keys)}" if keys else "")

    def take(self, event: yaml.Event) -> None:
        """Take the next event of the parser.

        Raises:
            RefusedError: a study cannot have it.
        """
        if event.start_mark:
            self._line = event.start_mark.line + 1
        if isinstance(event, yaml.DocumentStartEvent):
            self._documents += 1
            if self._documents > 1:
                raise RefusedError("a second document starts; a study is one")
            if event.version or event.tags:
                raise RefusedError("has a directive (%YAML or %TAG); remove it")
        elif isinstance(event, yaml.AliasEvent):
            self._put(self._alias(str(event.anchor)))
        elif isinstance(event, yaml.ScalarEvent):
            before = self._start(event)
            self._put(self._scalar(event), event.anchor, before)
        elif isinstance(event, yaml.CollectionStartEvent):
            before = self._start(event)
            if self._is_at_key:
                raise RefusedError("a key must be text, not a list or mapping")
            if len(self._open) == MAX_DEPTH:
                raise RefusedError(f"more than {MAX_DEPTH} lists and mappings within each other")
            value: Any = {} if isinstance(event, yaml.MappingStartEvent) else []
            self._open.append(_Open(value, event.anchor, before))
        elif isinstance(event, yaml.CollectionEndEvent):
            one = self._open.pop()
            value = one.merged | one.value if isinstance(one.value, dict) else one.value
            self._put(value, one.anchor, one.before)

    def _start(self, event: yaml.ScalarEvent | yaml.CollectionStartEvent) -> int:
        """Check and count a value; return the number of values before it."""
        if event.tag is not None:
            raise RefusedError(f"has the tag {shortened(event.tag)}; write the value without it")
        known = [*self._anchors, *(one.anchor for one in self._open)]
        if event.anchor is not None and event.anchor in known:
            raise RefusedError(f"anchor &{shortened(event.anchor)} is given twice; rename one")
        self._grow(1)
        return self._count - 1

    def _grow(self, number: int) -> None:
        self._count += number
        if self._count > MAX_VALUES:
            raise RefusedError(f"more than {MAX_VALUES} values, those of each alias counted again")

    def _scalar(self, event: yaml.ScalarEvent) -> Any:
        if event.style is not None:  # quoted, or a block of text
            return checked_text(event.value)
        return _MERGE if self._is_at_key and event.value == "<<" else plain_value(event.value)

    def _alias(self, anchor: str) -> Any:
        if anchor not in self._anchors:
            raise RefusedError(f"*{shortened(anchor)}: no anchor of this name ends above it")
        value, size = self._anchors[anchor]
        self._grow(size)
        return value

    @property
    def _is_at_key(self) -> bool:
        return bool(self._open) and self._open[-1].place is None

    def _put(self, value: Any, anchor: str | None = None, before: int = 0) -> None:
        """Put a whole value where it belongs."""
        if anchor is not None:
            self._anchors[anchor] = value, self._count - before
        one = self._open[-1] if self._open else None
        if one is None:
            self.root = value
        elif isinstance(one.value, list):
            one.value.append(value)
        elif one.key is None:
            one.key = _new_key(value, one.keys)
        else:
            if one.key is _MERGE:
                one.merged = _merged(value)
            else:
                one.value[one.key] = value
            one.key = None


def _new_key(key: Any, others: set[Any]) -> Any:
    """Return a key that is text, or `_MERGE`, and not among the others; note it there."""
    if key is not _MERGE and not isinstance(key, str):
        raise RefusedError(f"the key {shortened(repr(key))} must be text; quote it")
    if key in others:
        name = "<<" if key is _MERGE else shortened(str(key))
        raise RefusedError(f"key {name!r} is given twice; remove one")
    others.add(key)
    return key


def _merged(value: Any) -> dict[str, Any]:
    """Return what ``<<`` merges: a mapping, or several, of which the first has precedence."""
    parts = value if isinstance(value, list) else [value]
    if not all(isinstance(part, dict) for part in parts):
        raise RefusedError("must be a mapping, or a list of mappings")
    merged: dict[str, Any] = {}
    for part in reversed(parts):
        merged |= part
    return merged
