"""How long work says how far it is."""

from typing import Protocol


class Progress(Protocol):
    """Called after each piece of work: pieces done, pieces in all, and a word on how it goes."""

    def __call__(self, done: int, total: int, note: str = "") -> None:
        """Show it."""


def silent(done: int, total: int, note: str = "") -> None:
    """Show nothing."""
