"""Where a reader of a page is sent: files of the checkout and code spans, as links between pages of the site.

The pages are read in the repository too, so they link to files (`../README.md`, `../src/...`). What has a page on the site becomes a link
to that page; what has none (a test, a folder) stays as words. A target that does not exist stays as it is, and fails the strict build.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path, PurePosixPath

from .mathematics import map_code_spans, map_prose
from .sources import ROOT, Module

_LINK = re.compile(r"(?P<bang>!?)\[(?P<text>[^\]\n]*)\]\((?P<target>[^)\s#]*)(?P<anchor>#[^)\s]*)?\)")
_SPAN = re.compile(r"(?P<open>\[?)(?P<code>`+)(?!`)(?P<said>.+?)(?<!`)(?P=code)(?P<close>\]?)", re.S)


def api_page(name: str, modules: Mapping[str, Module]) -> str:
    """Path of a module's page in the site's tree."""
    below = name.split(".")[1:]
    if modules[name].is_package:
        return "/".join(["api", *below, "index.md"])
    return "/".join(["api", *below]) + ".md"


class Links:
    def __init__(self, modules: Mapping[str, Module], files: Mapping[str, str]) -> None:
        """`files`: path in the checkout -> page of the site, for everything that is no module."""
        self.modules = modules
        self.files = dict(files)
        for name, module in modules.items():
            self.files[module.path.relative_to(ROOT).as_posix()] = api_page(name, modules)
        owners: dict[str, list[str]] = {}
        for name, module in modules.items():
            for found in module.items:
                owners.setdefault(found.name, []).append(name)
        self.unique = {n: o[0] for n, o in owners.items() if len(o) == 1 and (n[0].isupper() or len(n) > 12)}

    def relative(self, page: str, target: str) -> str:
        return os.path.relpath(target, PurePosixPath(page).parent.as_posix())

    def address(self, said: str, *, names: bool = False) -> str | None:
        """The page (and anchor) that a code span means: `groundup.nn.norm:RMSNorm`, `nn/norm.py`, `recipes/lora.yaml`, and with
        `names` also a class or function that only one module has."""
        module, _, name = said.partition(":")
        if module.startswith("groundup."):
            if not name and module not in self.modules:
                module, _, name = module.rpartition(".")
            if module not in self.modules or (name and name not in self.modules[module].names):
                return None
            return api_page(module, self.modules) + (f"#{name}" if name else "")
        for path in (said, f"src/groundup/{said}", f"src/groundup/{said.rstrip('/')}/__init__.py"):
            if path in self.files and ("/" in said or said.endswith(".md")):
                return self.files[path]
        if names and said in self.unique:
            return api_page(self.unique[said], self.modules) + f"#{said}"
        return None

    def code(self, text: str, page: str, *, names: bool = False) -> str:
        """Code spans that name something with a page, as links. Headings are left alone."""

        def linked(span: str) -> str:
            found = self.address(span.strip("`"), names=names)
            if found is None or (found.split("#")[0] == page and "#" not in found):
                return span
            return f"[{span}]({self.relative(page, found.split('#')[0])}{'#' + found.split('#')[1] if '#' in found else ''})"

        # A span that is a link already is protected by what is around it.
        held: list[str] = []

        def hold(match: re.Match[str]) -> str:
            held.append(match[0])
            return f"\x00{len(held) - 1}\x00"

        text = re.sub(r"\[[^\]\n]*`[^\]\n]*\]\([^)\n]*\)|^#+ .*$", hold, text, flags=re.M)
        text = map_code_spans(text, linked)
        return re.sub(r"\x00(\d+)\x00", lambda m: held[int(m[1])], text)

    def rewrite(self, text: str, page: str, source: Path) -> str:
        """Links of the file `source` as links of `page`."""

        def rewritten(match: re.Match[str]) -> str:
            target, anchor = match["target"], match["anchor"] or ""
            if not target or "://" in target or target.startswith("mailto:"):
                return match[0]
            path = (source.parent / target).resolve()
            if not path.exists() or not path.is_relative_to(ROOT):
                return match[0]
            key = path.relative_to(ROOT).as_posix()
            if key not in self.files and path.is_dir():
                key = next((k for k in (f"{key}/__init__.py", f"{key}/index.md") if k in self.files), key)
            if key not in self.files:
                return match["text"]
            return f"{match['bang']}[{match['text']}]({self.relative(page, self.files[key])}{anchor})"

        return map_prose_with_code(text, lambda part: _LINK.sub(rewritten, part))


def map_prose_with_code(text: str, change: Callable[[str], str]) -> str:
    """`change` applied outside fences, with code spans left in place, since the text of a link may hold one."""
    parts = re.split(r"(^[ \t]*```.*?^[ \t]*```[ \t]*$)", text, flags=re.S | re.M)
    return "".join(part if n % 2 else change(part) for n, part in enumerate(parts))


def plain(doc: str) -> str:
    """A docstring as Markdown: what Markdown would take for a mark of its own is escaped outside of code."""

    def escaped(part: str) -> str:
        part = part.replace("\\", "&#92;").replace("<", "&lt;").replace("[", "&#91;").replace("|", "&#124;")
        part = re.sub(r"(?<!\w)_|_(?!\w)", "&#95;", part)
        return re.sub(r"^(\s*)#", r"\1&#35;", part, flags=re.M)

    return map_prose(doc, escaped)


def in_cell(text: str) -> str:
    """Text for a cell of a table: on one line, and no bar outside of code that would end the cell."""
    return map_prose(" ".join(text.split()), lambda part: part.replace("|", "&#124;"))
