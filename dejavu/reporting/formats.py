"""Tables as files: CSV for programs, Markdown and LaTeX for people."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from dejavu.runtime.files import write_text

_TEX = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "±": r"$\pm$",
    "↑": r"$\uparrow$",
    "↓": r"$\downarrow$",
    "Δ": r"$\Delta$",
    "°": r"$^\circ$",
}
_MINUS = re.compile(r"(?<![\w.)])-(?=\d)")


@dataclass(frozen=True)
class Section:
    """A header and the rows below it; all cells are plain text."""

    header: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True)
class Table:
    """A text table.

    Attributes:
        name: identifier, and file name without suffix.
        caption: text above the table.
        sections: sections with the same number of columns.
        text_columns: number of columns, from the left, that hold text; the others hold numbers.
        notes: lines below the table.
    """

    name: str
    caption: str
    sections: Sequence[Section]
    text_columns: int
    notes: Sequence[str]


def write_csv(frame: pd.DataFrame, path: Path) -> None:
    """Write a frame: ten significant digits, empty where undefined, Unix line ends."""
    write_text(path, frame.to_csv(index=False, float_format="%.10g", lineterminator="\n"))


def write_table(frame: pd.DataFrame, table: Table, folder: Path) -> None:
    """Write ``NAME.csv``, ``NAME.md`` and ``NAME.tex`` of a table to ``folder``."""
    write_csv(frame, folder / f"{table.name}.csv")
    write_text(folder / f"{table.name}.md", to_markdown(table))
    write_text(folder / f"{table.name}.tex", to_tex(table))


def to_markdown(table: Table) -> str:
    """Render a table in GitHub's Markdown: the caption, one table per section, the notes.

    Example:
        >>> section = Section(["depth", "RMSE (m) ↓"], [["baseline", "0.512 ± 0.004"]])
        >>> print(to_markdown(Table("main", "Errors.", [section], 1, ["Split: test."])))
        Errors.
        <BLANKLINE>
        | depth | RMSE (m) ↓ |
        | :--- | ---: |
        | baseline | 0.512 ± 0.004 |
        <BLANKLINE>
        - Split: test.
        <BLANKLINE>
    """
    blocks = [_markdown_text(table.caption)]
    for section in table.sections:
        rule = [":---" if i < table.text_columns else "---:" for i in range(len(section.header))]
        lines = [map(_markdown_text, section.header), rule]
        lines += [map(_markdown_text, row) for row in section.rows]
        blocks.append("\n".join(f"| {' | '.join(line)} |" for line in lines))
    blocks.append("\n".join(f"- {_markdown_text(note)}" for note in table.notes))
    return "\n\n".join(blocks) + "\n"


def to_tex(table: Table) -> str:
    """Render a table in LaTeX as a ``longtable``, which may span pages.

    It needs the packages booktabs and longtable; without sections, it has only the text.
    """
    caption = escape_tex(table.caption)
    lines = [
        r"% needs \usepackage{booktabs,longtable}",
        r"\begingroup",
        r"\small",
        *(_longtable(table, caption) if table.sections else [caption]),
        *(rf"\par\smallskip\footnotesize {escape_tex(note)}" for note in table.notes),
        r"\par",
        r"\endgroup",
    ]
    return "\n".join(lines) + "\n"


def escape_tex(text: str) -> str:
    r"""Escape plain text for LaTeX.

    Example:
        >>> print(escape_tex("random_blocks: 5 % [-0.3, 1.0]"))
        random\_blocks: 5 \% [$-$0.3, 1.0]
    """
    pieces = _MINUS.split(text)
    return "$-$".join("".join(_TEX.get(c, c) for c in piece) for piece in pieces)


def _longtable(table: Table, caption: str) -> list[str]:
    columns = len(table.sections[0].header)
    alignment = "l" * table.text_columns + "r" * (columns - table.text_columns)
    body: list[str] = []
    for index, section in enumerate(table.sections):
        body += [r"\toprule" if index == 0 else r"\midrule", _tex_row(section.header), r"\midrule"]
        body += map(_tex_row, section.rows)
    return [
        rf"\begin{{longtable}}{{{alignment}}}",
        rf"\caption{{{caption}}}\label{{tab:{table.name.replace('_', '-')}}}\\",
        *body,
        r"\bottomrule",
        r"\end{longtable}",
    ]


def _tex_row(cells: Sequence[str]) -> str:
    return " & ".join(map(escape_tex, cells)) + r" \\"


def _markdown_text(text: str) -> str:
    return re.sub(r"([\\|*<>`])", r"\\\1", text)
