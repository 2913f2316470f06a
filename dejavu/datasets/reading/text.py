"""Reading of the small text files of a data set, which people edit and convert."""

from pathlib import Path


def read_text(path: Path) -> str:
    """Read a text file in UTF-8, without the byte-order mark that some editors put before it.

    Lines that end in CR LF are as good as lines that end in LF.

    Raises:
        OSError: the file is missing or cannot be read.
        UnicodeDecodeError: it is not in UTF-8.
    """
    return path.read_text(encoding="utf-8-sig")
