"""The documents name what there is, and their links lead somewhere."""

import re
from dataclasses import fields
from pathlib import Path
from typing import get_args

import pytest

import dejavu
from dejavu.config import DejaVuParams, load_params
from dejavu.method.distances import TERMS
from dejavu.method.redaction import REDACTIONS

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


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
    assert table == {
        name: [field.name for field in fields(redaction)] for name, redaction in REDACTIONS.items()
    }


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


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    links = [link for link in re.findall(r"\]\(([^)\s]+)\)", text) if "://" not in link]
    for link in links:
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        assert target.is_file(), f"{link}: no such file"
        if anchor and target.suffix == ".md":
            assert anchor in anchors(target), f"{link}: no such heading"
