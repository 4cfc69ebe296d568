"""Puts the tree of pages together in build/website/ and has Zensical make site/ of it, strictly: a link that leads nowhere fails.

Nothing is loaded from elsewhere, neither while building nor by a page: fonts are the reader's own, formulas are MathML, search is a file.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from .errors_index import INDEX as ERRORS
from .errors_index import errors_pages
from .links import Links
from .lists import commands_page, decisions, glossary_page, recipes_page
from .mathematics import draw_mathematics
from .reference import reference_nav, reference_pages
from .roadmap_pages import PROJECTS, chapter_page, roadmap_nav, roadmap_pages
from .sources import ROOT, modules, package_order

WORK = ROOT / "build" / "website"
SITE = ROOT / "site"
HERE = Path(__file__).parent
_ZENSICAL = (sys.executable, "-m", "zensical")
_CONFIG = ("--config-file", "zensical.toml")
_PLAIN = {**os.environ, "NO_COLOR": "1"}
_SHIM = "https://unpkg.com/iframe-worker/shim"
_LOADED = re.compile(
    r"""<(?:script|img|iframe|source|audio|video)\b[^>]*\bsrc=["']?(?:https?:)?//[^>]*>"""
    r"""|<link\b(?=[^>]*\brel=["']?(?:stylesheet|preconnect|preload|icon))[^>]*\bhref=["']?(?:https?:)?//[^>]*>"""
)
GUIDES = {
    "Install": "install",
    "Quickstart": "quickstart",
    "Your own text": "your-own-text",
    "Your own model": "your-own-model",
    "Your own part": "your-own-part",
    "Labs and exercises": "labs-and-exercises",
    "Plan and progress": "plan-and-progress",
    "Serving and chatting": "serving",
    "Comparing runs": "comparing-runs",
    "Studio": "studio",
}
"""Title in the navigation -> file in docs/guides/, in the order in which they are read."""


def pages() -> tuple[dict[str, str], list[object]]:
    """Every page of the site as Markdown, and the navigation."""
    found = modules()
    order = package_order()
    written = {
        "docs/index.md": "index.md",
        "README.md": "overview.md",
        "docs/map.md": "map.md",
        "CHANGELOG.md": "changelog.md",
        "LOG.md": "log.md",
        **{f"docs/guides/{name}.md": f"guides/{name}.md" for name in GUIDES.values()},
        **{path.relative_to(ROOT).as_posix(): f"decisions/{path.name}" for _, path in decisions()},
    }
    files = {
        **written,
        "docs/decisions/index.md": "decisions/index.md",
        "docs/glossary.yaml": "glossary.md",
        "docs/website/errors_index.py": ERRORS,
        "docs/website/lists.py": "commands.md",
        "src/groundup/learn/roadmap.yaml": "roadmap/index.md",
        **{f"recipes/{path.name}": f"recipes.md#{path.stem}" for path in (ROOT / "recipes").glob("*.yaml")},
        **{f"docs/images/{path.name}": f"images/{path.name}" for path in (ROOT / "docs" / "images").iterdir()},
        "src/groundup/learn/projects.yaml": PROJECTS,
        **{
            f"labs/{p.parent.name}/lesson.md": chapter_page(int(p.parent.name[2:4]))
            for p in ROOT.glob("labs/ch*/lesson.md")
        },
    }
    links = Links(found, files)
    made: dict[str, str] = {}
    for source, page in written.items():
        path = ROOT / source
        text = path.read_text(encoding="utf-8")
        text = links.code(links.rewrite(text, page, path), page)
        made[page] = draw_mathematics(text) if page.startswith(("guides/", "index")) else text
    notes = decisions()
    made["decisions/index.md"] = "# Decisions\n\nWhy things are as they are, each on a page.\n\n" + "\n".join(
        f"- [{title}]({path.name})" for title, path in notes
    )
    made["glossary.md"] = glossary_page(links)
    made["recipes.md"] = recipes_page(links)
    made["commands.md"] = commands_page()
    made |= errors_pages(found, links)
    made |= roadmap_pages(links)
    made |= reference_pages(found, links, order)
    nav: list[object] = [
        {"Home": ["index.md", {"Everything at a glance": "overview.md"}]},
        {"Guides": [{title: f"guides/{name}.md"} for title, name in GUIDES.items()]},
        {"Roadmap": roadmap_nav()},
        {
            "Reference": [
                {"Commands": "commands.md"},
                {"Recipes": "recipes.md"},
                {"Errors": [ERRORS, *sorted(page for page in made if page.startswith("errors/") and page != ERRORS)]},
                {"Glossary": "glossary.md"},
            ]
        },
        {"API": reference_nav(found, order)},
        {
            "Project": [
                {"Map": "map.md"},
                {"Decisions": ["decisions/index.md", *(f"decisions/{path.name}" for _, path in notes)]},
                {"Measurements": "log.md"},
                {"Changes": "changelog.md"},
            ]
        },
    ]
    return made, nav


def write_tree(made: Mapping[str, str], nav: list[object], work: Path, *, served: bool = False) -> None:
    """The tree that Zensical reads. Files that did not change keep their times. `served`: without the plugin that only pages opened as
    files need, whose script comes from elsewhere until `build` has replaced it."""
    tree = work / "docs"
    kept = {tree / page for page in made}
    for page, text in made.items():
        _write(tree / page, text)
    for folder, target in (("images", ROOT / "docs" / "images"), ("assets", HERE / "assets")):
        for path in target.iterdir():
            kept.add(tree / folder / path.name)
            (tree / folder).mkdir(parents=True, exist_ok=True)
            shutil.copy2(path, tree / folder / path.name)
    for path in tree.rglob("*"):
        if path.is_file() and path not in kept:
            path.unlink()
    config = (HERE / "zensical.toml").read_text(encoding="utf-8").replace("nav = []", f"nav = {_toml(nav)}")
    if served:
        config = config.replace("[project.plugins.offline]", "")
    _write(work / "zensical.toml", config)


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.is_file() or path.read_text(encoding="utf-8") != text:
        path.write_text(text, encoding="utf-8")


def _toml(value: object) -> str:
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, list):
        return f"[{', '.join(map(_toml, value))}]"
    assert isinstance(value, dict)
    return "{ " + ", ".join(f"{json.dumps(k, ensure_ascii=False)} = {_toml(v)}" for k, v in value.items()) + " }"


def build(*, work: Path = WORK, site: Path = SITE) -> int:
    """Build the site; what Zensical exits with. A site that was there stays where the build fails."""
    write_tree(*pages(), work)
    code = subprocess.run([*_ZENSICAL, "build", "--strict", "--clean", *_CONFIG], cwd=work, env=_PLAIN).returncode
    if code == 0:
        _keep_at_home(work / "site")
        if site.exists():
            shutil.rmtree(site)
        shutil.copytree(work / "site", site)
        count = sum(1 for _ in site.rglob("*.html"))
        print(f"{site}: {count} pages. Open {site / 'index.html'}, or: make docs-serve")
    return code


def serve(address: str, *, work: Path = WORK) -> int:
    """Show the site at `address` until Ctrl-C, and make its pages again when one written by hand changes."""
    write_tree(*pages(), work, served=True)
    server = subprocess.Popen([*_ZENSICAL, "serve", "--dev-addr", address, *_CONFIG], cwd=work, env=_PLAIN)
    try:
        seen = _newest()
        while server.poll() is None:
            time.sleep(1)
            if _newest() > seen:
                seen = _newest()
                write_tree(*pages(), work, served=True)
        return server.returncode
    except KeyboardInterrupt:
        return 0
    finally:
        server.terminate()
        server.wait()


def _newest() -> float:
    written = (
        ROOT.glob("*.md"),
        (ROOT / "docs").rglob("*.md"),
        (ROOT / "labs").glob("*/lesson.md"),
        [ROOT / "docs" / "glossary.yaml"],
    )
    return max(path.stat().st_mtime for paths in written for path in paths)


def _keep_at_home(site: Path) -> None:
    """Pages load nothing from another host: the one script that the theme would fetch (its stand-in for Workers in pages opened as files)
    is ours, and anything else is an error. Links that a reader may follow stay."""
    for path in site.rglob("*.html"):
        text = path.read_text(encoding="utf-8")
        shim = os.path.relpath(site / "assets" / "worker.js", path.parent)
        text = text.replace(_SHIM, Path(shim).as_posix())
        loaded = _LOADED.search(text)
        if loaded:
            raise RuntimeError(f"{path.relative_to(site)} loads something from another host: {loaded[0]}")
        path.write_text(text, encoding="utf-8")
