"""Paths of the repository that its texts name, and those among them that lead nowhere."""

import ast
import io
import re
import tokenize
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
FOLDERS = (
    *(".ci", ".dvc", ".github", "benchmarks", "data", "dejavu", "docs", "examples", "params"),
    *("profiles", "results", "tests", "workflow"),
)
"""Top folders of the repository."""
MADE = (
    *(".dvc/*", "data/*", "results/*/adopted.json", "results/*/checkpoints*"),
    *("results/*/records/*", "results/*/report.html"),
)
"""Paths that commands make: a clone need not have them."""


def named_in_text(text: str) -> set[str]:
    """Words that look like paths of this repository."""
    words = {word.rstrip(".,:;/") for word in re.findall(r"[\w.*/{}\[\],-]+", text)}
    return {word for word in words if _is_rooted(word) or word.endswith((".py", ".md", ".yaml"))}


def named_in_page(text: str) -> set[str]:
    """Paths in backticks in a Markdown page; blocks of code hold files of the reader's own."""
    text = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    return named_in_text(" ".join(re.findall(r"`([^`]+)`", text)))


def named_in_comments(text: str) -> set[str]:
    """Paths in comments that begin with ``#``, as of YAML."""
    return named_in_text(" ".join(re.findall(r"(?:^|\s)#(.*)", text)))


def named_in_python(text: str) -> set[str]:
    """Paths in docstrings and comments of a Python module."""
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    words = [
        ast.get_docstring(node) or ""
        for node in ast.walk(ast.parse(text))
        if isinstance(node, documented)
    ]
    tokens = tokenize.generate_tokens(io.StringIO(text).readline)
    words += [token.string for token in tokens if token.type == tokenize.COMMENT]
    return named_in_text(" ".join(words))


def missing(paths: set[str]) -> list[str]:
    """Return the paths that match nothing; words in capitals stand for any name."""
    return sorted(path for path in paths if not _exists(path))


def _is_rooted(word: str) -> bool:
    return word.partition("/")[0] in FOLDERS and "/" in word


def _exists(path: str) -> bool:
    if (ROOT / path).exists() or any(fnmatchcase(path, made) for made in MADE):
        return True
    pattern = re.sub(r"[A-Z]{2,}|\{[^}]*\}", "*", path)
    patterns = (pattern,) if _is_rooted(path) else (pattern, f"*/{pattern}")
    return any(fnmatchcase(known, p) for p in patterns for known in _known())


@cache
def _known() -> list[str]:
    """Files and folders of the repository, from its root."""
    files = [path for folder in FOLDERS for path in (ROOT / folder).rglob("*")]
    return [str(path.relative_to(ROOT)) for path in (*files, *ROOT.iterdir())]
