"""Progress callback for long-running work."""

from typing import Protocol


class Progress(Protocol):
    """Callback after each unit of work, with the units done, their total number and a note."""

    def __call__(self, done: int, total: int, note: str = "") -> None:
        """Report the progress."""


def silent(done: int, total: int, note: str = "") -> None:
    """Report nothing."""
