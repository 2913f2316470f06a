"""The documents name what there is, and their links lead somewhere."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import get_args

import pytest

import dejavu
from dejavu.config import DejaVuParams, load_params
from dejavu.method.distances import TERMS
from dejavu.method.redaction import REDACTIONS
from dejavu.method.redaction.base import settings_of
from tests.support.pages import ADDING, shown
from tests.support.paths import (
    ROOT,
    missing,
    named_in_comments,
    named_in_page,
    named_in_python,
    named_in_text,
)

PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")),
    *(ROOT / name for name in ("data/README.md", "tests/README.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
]
ELSEWHERE = {
    # Files of other projects, from which a convention was taken.
    "panoptic2semantic_segmentation.py",
    "scripts/datasets/ade20k.py",
    # Files that a reader writes, or a command, while following a page.
    *("build/comparison.md", "raw/dvc.yaml", "params/stripes.yaml"),
    *(path for page in ADDING.glob("*.md") for path in shown(page)),
}


def name(page: Path) -> str:
    return str(page.relative_to(ROOT))


def section(title: str) -> str:
    """The text of docs/method.md below a heading, up to the next one of its level."""
    text = (ROOT / "docs/method.md").read_text(encoding="utf-8")
    _, found, rest = text.partition(f"\n## {title}\n")
    assert found, title
    return rest.partition("\n## ")[0]


def rows(text: str) -> list[list[str]]:
    """The cells of every table row, headings and rules left out."""
    lines = [line for line in text.splitlines() if line.startswith("| `")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]


def codes(text: str) -> list[str]:
    return re.findall(r"`([^`]+)`", text)


def anchors(page: Path) -> set[str]:
    """Anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", h.lower()).replace(" ", "-") for h in headings}


@pytest.mark.parametrize("name", dejavu.__all__)
def test_every_public_name_is_documented(name: str) -> None:
    said = getattr(dejavu, name).__doc__ or ""
    assert len(said.partition("\n")[0]) > 20
    assert ">>> " in said or "Args:\n" in said


def test_the_table_of_redactions_has_them_all_with_their_parameters() -> None:
    table = {cells[0].strip("`"): codes(cells[3]) for cells in rows(section("Redactions"))}
    assert table == {name: [*settings_of(redaction)] for name, redaction in REDACTIONS.items()}


def test_the_table_of_terms_has_them_all() -> None:
    assert tuple(cells[0].strip("`") for cells in rows(section("Terms of the distance"))) == TERMS


def test_every_condition_is_explained() -> None:
    said = {word for code in codes(section("Controls and probes")) for word in code.split()}
    conditions = get_args(DejaVuParams.model_fields["condition"].annotation)
    assert "live" in conditions
    assert set(conditions) <= said


def test_every_method_of_the_controls_has_its_prediction() -> None:
    params = load_params(ROOT / "params/controls.yaml")
    predicted = [
        m for cells in rows(section("What the controls should show")) for m in codes(cells[0])
    ]
    assert sorted(predicted) == sorted(params.methods.keys() - {params.report.reference})
    explained = {m for cells in rows(section("Controls and probes")) for m in codes(cells[0])}
    assert explained <= params.methods.keys()


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_links_lead_somewhere(page: Path) -> None:
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    links = [link for link in re.findall(r"\]\(([^)\s]+)\)", text) if "://" not in link]
    for link in links:
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        assert target.is_file(), f"{link}: no such file"
        if anchor and target.suffix == ".md":
            assert anchor in anchors(target), f"{link}: no such heading"


def unreleased(page: Path) -> str:
    """A page without the released part of the changelog, whose paths were true once."""
    before, _, rest = page.read_text(encoding="utf-8").partition("\n## Unreleased\n")
    return before + rest.partition("\n## ")[0] if rest else before


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_paths_in_pages_exist(page: Path) -> None:
    assert missing(named_in_page(unreleased(page)) - ELSEWHERE) == []


@pytest.mark.parametrize(
    ("pattern", "named"),
    [
        ("params/*.yaml", named_in_comments),
        ("workflow/report/*.rst", named_in_text),
        ("dejavu/**/*.py", named_in_python),
    ],
)
def test_paths_in_comments_and_docstrings_exist(
    pattern: str, named: Callable[[str], set[str]]
) -> None:
    files = [*ROOT.glob(pattern)]
    assert files
    stale = {name(file): missing(named(file.read_text("utf-8")) - ELSEWHERE) for file in files}
    assert {file: paths for file, paths in stale.items() if paths} == {}


def test_stale_paths_are_found() -> None:
    page = "See `dejavu/losses.py`, `dejavu/method/loss.py`, `loss.py` and `params/STUDY.yaml`."
    assert missing(named_in_page(page)) == ["dejavu/losses.py"]
    assert missing(named_in_page("`docs/NAME-lost.md` `results/STUDY/tables` `a/b`")) == [
        "docs/NAME-lost.md"
    ]
    assert missing(named_in_comments("a: 1  # as in docs/lost.md.\n")) == ["docs/lost.md"]
    module = '"""Read tests/lost."""\nx = "docs/lost.md"  # and dejavu/lost.py'
    assert missing(named_in_python(module)) == ["dejavu/lost.py", "tests/lost"]
