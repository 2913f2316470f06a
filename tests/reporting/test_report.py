import base64
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from markupsafe import escape

from dejavu.reporting.numbers import Numbers, tables_of
from dejavu.reporting.report import Content, write_report
from dejavu.runtime.errors import DejaVuError
from dejavu.study.exhibits import FIGURES, TABLES

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
def content(numbers: Numbers, tmp_path: Path) -> Content:
    tasks = numbers.design.tasks
    figures = {
        figure.name: {
            task: tmp_path / f"{figure.name}{task}.png"
            for task in (tasks if figure.per_task else [""])
        }
        for figure in FIGURES
    }
    for file in (file for by_task in figures.values() for file in by_task.values()):
        file.write_bytes(b"\x89PNG " + file.stem.encode())
    return Content(
        numbers,
        figures,
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
    files = [file for by_task in content.figures.values() for file in by_task.values()]
    assert sorted(shown) == sorted(file.stem.encode() for file in files)
    assert all(attributes.get("alt") for tag, attributes in page.tags if tag == "img")


def test_holds_every_table_once_in_its_section(content: Content, tmp_path: Path) -> None:
    text, _ = _written(content, tmp_path / "report.html")
    tables = tables_of(content.numbers)
    assert list(tables) == [table.name for table in TABLES]
    for table in TABLES:
        shown = tables[table.name][1]
        assert shown.name == table.name
        assert text.count(f"<figcaption>{escape(shown.caption)}</figcaption>") == 1
        section = text[text.index(f'<h2 id="{table.section}">') :].partition("<h2")[2]
        assert escape(shown.caption) in section.partition("<h2")[0]


def test_pictures_name_their_reference_and_task(content: Content, tmp_path: Path) -> None:
    text, _ = _written(content, tmp_path / "report.html")
    assert "<figcaption>Differences to baseline, paired by seed" in text
    scenes = text[text.index('<h2 id="scenes">') : text.index('<h2 id="training">')]
    for task in content.numbers.design.tasks:
        assert scenes.count(f"<h3>{task}</h3>\n<figure>") == 1
        assert scenes.count(f"<figcaption>Scenes with their predictions and errors, {task}.") == 1
    assert text.count("<h3></h3>") == 0


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
    empty = replace(content, numbers=replace(content.numbers, probe_files=no_probe_paths))
    text, _ = _written(empty, tmp_path / "report.html")
    section = text[text.index('<h2 id="probes">') : text.index('<h2 id="scenes">')]
    assert section.count("No method of the study regenerates from a live prediction.") == 1
    assert not re.search("<table|<ul|<li", section)


def test_is_deterministic(content: Content, tmp_path: Path, run_paths: list[Path]) -> None:
    first, _ = _written(content, tmp_path / "a.html")
    reordered = replace(content, numbers=replace(content.numbers, metrics_files=run_paths[::-1]))
    assert _written(reordered, tmp_path / "b.html")[0] == first


def test_names_a_missing_figure(content: Content, tmp_path: Path) -> None:
    content.figures["gap"][""].unlink()
    with pytest.raises(DejaVuError, match=r"gap\.png: cannot be read.*draw the figures first"):
        write_report(content, tmp_path / "report.html")
    assert not (tmp_path / "report.html").exists()
