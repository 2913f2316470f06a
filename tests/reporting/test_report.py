import base64
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from dejavu.reporting.report import FIGURES, Content, write_report
from dejavu.reporting.sources import collect_costs, collect_gaps, collect_probes, collect_runs
from dejavu.reporting.tables import Design
from dejavu.runtime.errors import DejaVuError

VOID = {"meta", "img", "br"}


class Page(HTMLParser):
    """Collects what a page would load, and checks that its tags nest."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, (tag, self.getpos())


@pytest.fixture
def content(
    run_paths: list[Path],
    gap_paths: list[Path],
    probe_paths: list[Path],
    cost_paths: list[Path],
    design: Design,
    tmp_path: Path,
) -> Content:
    figures = {name: tmp_path / f"{name}.png" for name in FIGURES}
    sheets = {task: tmp_path / f"qualitative_{task}.png" for task in design.tasks}
    for name, file in (figures | sheets).items():
        file.write_bytes(b"\x89PNG " + name.encode())
    return Content(
        design,
        collect_runs(run_paths),
        collect_gaps(gap_paths),
        collect_probes(probe_paths),
        collect_costs(cost_paths),
        figures,
        sheets,
        params="study: tiny  # <script>alert('&')</script>\n",
        commands=["make install", "snakemake --cores all"],
    )


def _written(content: Content, path: Path) -> tuple[str, Page]:
    write_report(content, path)
    text = path.read_text(encoding="utf-8")
    page = Page()
    page.feed(text)
    assert page.open == []
    return text, page


def test_loads_nothing_and_runs_nothing(content: Content, tmp_path: Path) -> None:
    text, page = _written(content, tmp_path / "report.html")
    assert not {"script", "link", "iframe", "object"} & {tag for tag, _ in page.tags}
    for _, attributes in page.tags:
        for key in ("src", "href", "srcset", "data"):
            target = attributes.get(key)
            assert target is None or target.startswith(("data:image/png;base64,", "#"))
    assert "http" not in text
    assert "url(" not in text
    assert "@import" not in text


def test_holds_every_picture_once(content: Content, tmp_path: Path) -> None:
    _, page = _written(content, tmp_path / "report.html")
    sources = [attributes["src"] or "" for tag, attributes in page.tags if tag == "img"]
    shown = [base64.b64decode(s.split(",", 1)[1]).removeprefix(b"\x89PNG ") for s in sources]
    assert sorted(shown) == sorted(n.encode() for n in (*FIGURES, "segmentation", "depth"))
    assert all(attributes.get("alt") for tag, attributes in page.tags if tag == "img")


def test_links_lead_to_sections(content: Content, tmp_path: Path) -> None:
    _, page = _written(content, tmp_path / "report.html")
    ids = {attributes.get("id") for _, attributes in page.tags}
    links = {(a["href"] or "")[1:] for tag, a in page.tags if tag == "a"}
    assert links
    assert links <= ids


def test_escapes_what_comes_from_files(content: Content, tmp_path: Path) -> None:
    text, _ = _written(content, tmp_path / "report.html")
    assert "&lt;script&gt;alert(&#39;&amp;&#39;)&lt;/script&gt;" in text


def test_says_the_answer_before_the_tables(content: Content, tmp_path: Path) -> None:
    text, _ = _written(content, tmp_path / "report.html")
    answer = text.index("2 are better, 1 is worse, and in 1 no difference can be claimed")
    assert answer < text.index("<table>")
    assert text.index("no difference can be claimed, the interval includes zero") < text.index(
        "<table>"
    )
    assert "this is a pilot" in text
    assert "val split, 8 images; boundary_ratio = 0.02" in text
    assert 'class="number better">+1.00 [0.75, 1.25] better' in text


def test_probes_follow_the_gap(content: Content, tmp_path: Path) -> None:
    text, page = _written(content, tmp_path / "report.html")
    gap, probes, scenes = (text.index(f'<h2 id="{name}">') for name in ("gap", "probes", "scenes"))
    assert gap < probes < scenes
    assert "#probes" in {a["href"] for tag, a in page.tags if tag == "a"}
    section = text[probes:scenes]
    assert "<li>depth: given the live prediction instead of zeros" in section
    assert '<td class="number">17.5</td>' in section


def test_a_study_without_probes_says_so_once(
    content: Content, no_probe_paths: list[Path], tmp_path: Path
) -> None:
    empty = replace(content, probes=collect_probes(no_probe_paths))
    text, _ = _written(empty, tmp_path / "report.html")
    section = text[text.index('<h2 id="probes">') : text.index('<h2 id="scenes">')]
    assert section.count("No method of the study regenerates from a live prediction.") == 1
    assert not re.search("<table|<ul|<li", section)


def test_is_deterministic(content: Content, tmp_path: Path, run_paths: list[Path]) -> None:
    first, _ = _written(content, tmp_path / "a.html")
    reordered = replace(content, runs=collect_runs(run_paths[::-1]))
    assert _written(reordered, tmp_path / "b.html")[0] == first


def test_names_a_missing_figure(content: Content, tmp_path: Path) -> None:
    content.figures["gap"].unlink()
    with pytest.raises(DejaVuError, match=r"gap\.png: cannot be read.*draw the figures first"):
        write_report(content, tmp_path / "report.html")
    assert not (tmp_path / "report.html").exists()
