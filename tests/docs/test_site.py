"""The documentation site: it is built, no link of it leads nowhere, its indexes hold everything, and a page loads nothing from elsewhere."""

from __future__ import annotations

import importlib
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from website.build import GUIDES, build, pages
from website.errors_index import api_codes, error_classes, raised
from website.links import Links, plain
from website.lists import glossary_terms
from website.mathematics import draw_mathematics
from website.roadmap_pages import chapter_page, roadmap_pages
from website.sources import ROOT, first_sentence, modules

from browsing import opened
from groundup.core.errors import GroundupError
from groundup.learn.projects import load_projects
from groundup.learn.roadmap import load_roadmap

if TYPE_CHECKING:
    from playwright.sync_api import Browser


@pytest.fixture(scope="module")
def made() -> dict[str, str]:
    return pages()[0]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("zensical", reason="the site is built with the extra docs: pip install -e '.[docs]'")
    work = tmp_path_factory.mktemp("website")
    assert build(work=work / "work", site=work / "site") == 0, (
        "a link or an anchor leads nowhere: see what Zensical printed"
    )
    return work / "site"


def below(cls: type) -> Iterator[type]:
    for child in cls.__subclasses__():
        yield child
        yield from below(child)


def test_every_error_class_is_in_the_index(made: dict[str, str]) -> None:
    for path in (ROOT / "src").rglob("*.py"):
        if re.search(r"^class \w+\(.*(Error|Interrupted|MissingDependency)\b", path.read_text(), re.M):
            importlib.import_module(".".join(path.relative_to(ROOT / "src").with_suffix("").parts))
    there = {cls.__name__ for cls in below(GroundupError) if cls.__module__.startswith("groundup.")}
    assert {"ConfigError", "BusyError", "Interrupted", "CalculatorError"} <= there
    missing = {name for name in there if f"[`{name}`](../api/" not in made["errors/index.md"]}
    assert not missing
    codes = {cls.__name__: str(cls.exit_code) for cls in below(GroundupError) if issubclass(cls, GroundupError)}
    codes["Interrupted"] = "128 + number"  # of the signal, and so each one's own
    assert all(found.exit_code == codes[name] for name, found in error_classes(modules()).items() if name in codes)


def test_messages_hints_and_codes_are_read_from_the_sources(made: dict[str, str]) -> None:
    found = modules()
    places = list(raised(found, error_classes(found)))
    assert len(places) > 800 and sum(bool(place.hint) for place in places) > 200
    assert "`{number}`; they go from 0 to" in made["errors/ConfigError.md"]
    assert "groundup roadmap" in made["errors/ConfigError.md"]
    assert "pip install 'groundup&#91;serve]'" in made["errors/MissingDependency.md"]
    codes = api_codes(found)
    assert {status for status, _, _ in codes["queue_full"]} == {429} and {s for s, _, _ in codes["shutting_down"]} == {
        503
    }
    assert all(f"| `{code}` |" in made["errors/index.md"] for code in codes)
    for path in (ROOT / "src/groundup/server").rglob("*.py"):
        for code in re.findall(r'\bcode="(\w+)"', path.read_text()):
            assert code in codes, f"{path.name}: {code}"


def test_an_error_of_a_new_module_would_be_listed(tmp_path: Path) -> None:
    package = tmp_path / "groundup"
    (package / "server").mkdir(parents=True)
    (package / "__init__.py").write_text('"""Package."""\n')
    (package / "errors.py").write_text(
        '"""Errors."""\nclass GroundupError(Exception):\n    """Root."""\n    exit_code = 1\n'
        'class Odd(GroundupError):\n    """Something odd."""\n    exit_code = 7\n'
        'def check(n):\n    """Check."""\n    if n % 2:\n        raise Odd(f"{n} is odd | and more", hint=f"take {n + 1}")\n'
    )
    found = modules(tmp_path)
    classes = error_classes(found)
    assert classes["Odd"].exit_code == "7" and classes["Odd"].base == "GroundupError"
    [place] = raised(found, classes)
    assert place.kind == "Odd" and place.module == "groundup.errors"
    assert re.sub(r"[\x01\x02]", "", place.message) == "n is odd | and more"


def test_glossary_leads_somewhere() -> None:
    terms = glossary_terms()
    rows = {row.id for row in load_roadmap().rows()}
    assert len(terms) >= 120 and len({t.anchor for t in terms}) == len(terms)
    for term in terms:
        assert term.meaning.endswith(".") and len(term.meaning) < 300, term.term
        assert term.row in rows and term.where, term.term
        for address in term.where:
            if not address.startswith("groundup."):
                assert (ROOT / address).exists(), f"{term.term}: {address}"
                continue
            module, _, name = address.partition(":")
            assert not name or hasattr(importlib.import_module(module), name), f"{term.term}: {address}"
            assert module in modules(), f"{term.term}: {address}"


def test_the_reference_has_every_public_module_and_no_private_one(made: dict[str, str]) -> None:
    found = modules()
    assert len(found) > 350
    for name, module in found.items():
        if name == "groundup":
            continue
        page = "api/" + "/".join(name.split(".")[1:]) + ("/index.md" if module.is_package else ".md")
        text = made[page]
        assert text.startswith(f"# {name}\n")
        assert all(f"{{#{item}}}" in text for item in module.names), name
        assert not re.search(r"^#+ _|\{#_", text, re.M), name
    attention = made["api/nn/mixers/attention.md"]
    assert "| `num_key_value_heads` | `int &#124; None`" in attention.replace("`int | None`", "`int &#124; None`")
    assert "1 is multi-query attention" in attention
    assert "[`core/config.py`](core/config.md)" not in attention


def test_the_roadmap_has_a_page_a_chapter(made: dict[str, str]) -> None:
    for chapter in load_roadmap().chapters:
        text = made[chapter_page(chapter.number)]
        for row in chapter.rows:
            assert f"{{#row-{row.id.replace('.', '-')}}}" in text
            assert row.status == "planned" or all(address in text for address in row.api), row.id
    projects = made["roadmap/projects.md"]
    for project in load_projects():
        assert f"## {project.id} {project.title}" in projects and all(plain(step) in projects for step in project.steps)


def test_guides_are_all_in_the_navigation_and_extras_all_explained() -> None:
    assert {path.stem for path in (ROOT / "docs/guides").glob("*.md")} == set(GUIDES.values())
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    listed = re.findall(r"^\| `(\w+)` \|", (ROOT / "docs/guides/install.md").read_text(), re.M)
    assert set(listed) - {"runs"} == set(extras)


def test_formulas_become_mathml() -> None:
    pytest.importorskip("latex2mathml", reason="formulas are drawn with the extra docs: pip install -e '.[docs]'")
    text = "Cost $a_i * b_i$ and `$x$`, 5 $ or $6.\n\n$$\\frac{1}{n}\\sum_i x_i$$\n\n```bash\necho $HOME $PATH\n```\n"
    drawn = draw_mathematics(text)
    assert drawn.count("<math") == 2 and 'display="block"' in drawn and "<mfrac>" in drawn
    assert "`$x$`, 5 $ or $6." in drawn and "echo $HOME $PATH" in drawn
    assert "*" not in drawn.split("</math>")[0] and "_" not in drawn.split("</math>")[0]
    for wrong, why in (("$x^{$", "cannot be read"), ("$\\nosuch{a}$", "is not known")):
        with pytest.raises(ValueError, match=why):
            draw_mathematics(wrong)


def test_docstrings_and_links_as_markdown() -> None:
    assert (
        plain("a <b> of [B, T] and `x[0] < y` | _z_ \\")
        == "a &lt;b> of &#91;B, T] and `x[0] < y` &#124; &#95;z&#95; &#92;"
    )
    assert first_sentence("Says what. It is.\n\nMore.") == "Says what."
    links = Links(modules(), {"README.md": "overview.md", "recipes/lora.yaml": "recipes.md#lora"})
    assert links.code("see `groundup.nn.norm:RMSNorm`", "guides/a.md") == (
        "see [`groundup.nn.norm:RMSNorm`](../api/nn/norm.md#RMSNorm)"
    )
    assert links.code("`nn/norm.py`, `recipes/lora.yaml`, `none.py`", "a.md") == (
        "[`nn/norm.py`](api/nn/norm.md), [`recipes/lora.yaml`](recipes.md#lora), `none.py`"
    )
    source = ROOT / "docs" / "guides" / "x.md"
    text = "[a](../../README.md#x) [b](../../Makefile) [c](nowhere.md) [d](https://example.org/)"
    assert (
        links.rewrite(text, "guides/x.md", source)
        == "[a](../overview.md#x) b [c](nowhere.md) [d](https://example.org/)"
    )


def test_a_lesson_is_part_of_its_chapter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("latex2mathml", reason="formulas are drawn with the extra docs: pip install -e '.[docs]'")
    folder = tmp_path / "labs" / "ch05_the_transformer"
    folder.mkdir(parents=True)
    lesson = folder / "lesson.md"
    lesson.write_text(
        "# Chapter 5: The transformer\n\nHow the rows hang together.\n\n## 5.1 One decoder\n\nWith $x_i$, in `nn/norm.py`.\n\n"
        "```bash\n## 5.4 no heading\n```\n\n### Cost\n\n$$\\sum_i x_i$$\n\n## 5.4 Attention\n\nOf heads.\n\n## What is left\n\nMuch.\n"
    )
    monkeypatch.setattr("website.roadmap_pages.lesson_path", lambda number: lesson if number == 5 else None)
    text = roadmap_pages(Links(modules(), {}))[chapter_page(5)]
    assert text.count("<math") == 2 and "$" not in text.split("```bash")[0]
    assert "[`nn/norm.py`](../api/nn/norm.md)" in text and "# Chapter 5" not in text
    order = [
        "How the rows",
        "{#row-5-1}",
        "With <math",
        "### Cost",
        "{#row-5-4}",
        "Of heads.",
        "## What is left",
        "## Reading",
    ]
    assert [text.index(part) for part in order] == sorted(text.index(part) for part in order)
    lesson.write_text("# Chapter 5\n\n## 5.1 One\n\n$x^{$\n")
    with pytest.raises(ValueError, match=r"lesson\.md, 5\.1: the formula"):
        roadmap_pages(Links(modules(), {}))
    lesson.write_text("# Chapter 5\n\n## 5.77 One\n\nText.\n")
    with pytest.raises(ValueError, match=r"5\.77, which is no row"):
        roadmap_pages(Links(modules(), {}))


@pytest.mark.slow
def test_links_and_anchors_lead_somewhere(site: Path) -> None:
    assert sum(1 for _ in site.rglob("*.html")) > 400
    assert "RMSNorm" in (site / "api" / "nn" / "norm.html").read_text()


def test_a_link_that_leads_nowhere_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("zensical", reason="the site is built with the extra docs: pip install -e '.[docs]'")
    for link, fails in (("b.md", False), ("nothing.md", True), ("b.md#nothing", True)):
        made = {"index.md": f"# A\n\n[to]({link})\n", "b.md": "# B\n"}
        monkeypatch.setattr("website.build.pages", lambda made=made: (made, ["index.md", "b.md"]))
        site = tmp_path / link.replace("#", "-")
        assert (build(work=tmp_path / "work", site=site) != 0) == fails == (not site.exists())


def test_a_page_that_asks_another_host_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("zensical", reason="the site is built with the extra docs: pip install -e '.[docs]'")
    made = {"index.md": "# A\n\n![a picture](https://example.org/a.png)\n"}
    monkeypatch.setattr("website.build.pages", lambda: (made, ["index.md"]))
    with pytest.raises(RuntimeError, match=r"example\.org"):
        build(work=tmp_path / "work", site=tmp_path / "site")


@pytest.mark.slow
def test_in_a_browser(site: Path, browser: Browser) -> None:
    """Opened as files: nothing is asked of another host, search finds, and 360 px are enough."""
    names = [f"roadmap/chapter-{n:02d}" for n in range(8)]
    names += (
        "guides/quickstart",
        "guides/serving",
        "commands",
        "roadmap/projects",
        "api/nn/norm",
        "errors/ConfigError",
        "recipes",
        "glossary",
    )
    with opened(browser, (site / "index.html").as_uri(), viewport={"width": 360, "height": 740}) as page:
        for name in names:
            page.goto((site / f"{name}.html").as_uri())
            assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth"), (
                f"{name} is too wide"
            )
            assert page.locator("h1").count() == 1
    with opened(browser, (site / "index.html").as_uri(), color_scheme="dark") as page:
        page.keyboard.press("Control+k")
        page.locator("input[placeholder=Search]").press_sequentially("RMSNorm", delay=50)
        page.locator("a[href*='api/nn/norm.html']:visible").first.wait_for()
        assert page.locator("input[placeholder=Search]").input_value() == "RMSNorm"
        page.locator("input[placeholder=Search]").fill("queue_full")
        page.locator("a[href*='errors/BusyError.html']:visible").first.wait_for()
