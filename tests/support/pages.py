"""Pages of docs/adding: the files that they show, written into a tree as a reader would."""

import re
from pathlib import Path

from tests.support.paths import ROOT

ADDING = ROOT / "docs/adding"


def shown(page: Path) -> dict[str, str]:
    """The files that a page shows, by the path in the line above: content, or a diff's hunks."""
    blocks = re.findall(
        r"^.*`([\w./-]+\.\w+)`:?\n\n```\w+\n((?s:.*?))^```",
        page.read_text(encoding="utf-8"),
        flags=re.MULTILINE,
    )
    return dict(blocks)


def write(page: Path, tree: Path) -> list[str]:
    """Write the files that a page shows into a tree, and change others by diffs; return paths."""
    files = shown(page)
    for name, text in files.items():
        path = tree / name
        if text.startswith("@@"):
            text = changed(path.read_text(encoding="utf-8"), text, name)
        else:
            assert not path.exists(), f"{page.name}: {name} exists; show its change as a diff"
            path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return [*files]


def changed(text: str, diff: str, name: str) -> str:
    """A text after the hunks of a diff, whose line numbers are left out."""
    for hunk in re.split(r"^@@.*\n", diff, flags=re.MULTILINE)[1:]:
        lines = [line if line.strip() else " \n" for line in hunk.splitlines(keepends=True)]
        old, new = ("".join(line[1:] for line in lines if line[0] in kept) for kept in (" -", " +"))
        assert text.count(old) == 1, f"{name} has {text.count(old)} places with\n{old}"
        text = text.replace(old, new)
    return text
