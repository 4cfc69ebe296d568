"""The main text of a web page: navigation, forms, scripts and link lists left out, one line per block.

The page is cut to `<main>` or `<article>` where such an element holds most of the text; in what is left, a block whose
text is mostly links is navigation (Kohlschütter, Fankhauser and Nejdl 2010: link density is the strongest of the shallow
features). Layout is not computed and scripts are not run, so text that a page builds in the browser is not seen.
"""

from __future__ import annotations

import re
from typing import Any

from ..core.errors import MissingDependency

_NOISE = "script, style, noscript, template, svg, iframe, form, button, select, nav, aside, footer, dialog"
_ROLES = '[role="navigation"], [role="banner"], [role="contentinfo"], [role="search"], [hidden], [aria-hidden="true"]'
_BLOCK_TAGS = (
    "address article blockquote body dd div dl dt figcaption figure h1 h2 h3 h4 h5 h6 header hr li main ol p pre "
    "section table tbody td tfoot th thead tr ul br"
)
_BLOCKS = frozenset(_BLOCK_TAGS.split())
_HEADINGS = frozenset(("h1", "h2", "h3", "h4", "h5", "h6"))
_CENTRE_SHARE = 0.4  # an <article> below this share of the page's text is a teaser in a list, not the page
_LINK_SHARE = 0.5
_SPACES = re.compile(r"[^\S\n]+")


def main_text(page: str) -> tuple[str, str]:
    """(title, main text) of an HTML page. Raises MissingDependency without selectolax."""
    try:
        from selectolax.lexbor import LexborHTMLParser
    except ImportError:
        raise MissingDependency("selectolax", extra="data", purpose="reading HTML") from None
    tree = LexborHTMLParser(page)
    heading = tree.css_first("title") or tree.css_first("h1")
    title = " ".join(heading.text().split()) if heading is not None else ""
    body = tree.body
    if body is None:
        return title, ""
    for noise in body.css(f"{_NOISE}, {_ROLES}"):
        noise.decompose()
    root = _centre(body)
    pieces: list[str] = []
    _collect(root, pieces, preformatted=False)
    lines = (line.strip() if "\t" not in line else line.rstrip() for line in "".join(pieces).split("\n"))
    return title, re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip()


def _centre(body: Any) -> Any:
    whole = len(body.text() or "")
    candidates = [*body.css("main"), *body.css("article"), *body.css('[role="main"], [itemprop="articleBody"]')]
    best = max(candidates, key=lambda element: len(element.text() or ""), default=None)
    return best if best is not None and len(best.text() or "") >= _CENTRE_SHARE * whole else body


def _is_link_list(element: Any) -> bool:
    text = len("".join((element.text() or "").split()))
    if text == 0:
        return False
    linked = sum(len("".join((link.text() or "").split())) for link in element.css("a"))
    return linked > _LINK_SHARE * text


def _collect(element: Any, pieces: list[str], *, preformatted: bool) -> None:
    """Text of `element` and everything in it, in order. Iterative, since hostile pages nest thousands deep."""
    stack: list[tuple[Any, bool, bool]] = [(element, preformatted, False)]
    while stack:
        here, pre, leaving = stack.pop()
        tag = here.tag
        if leaving:
            pieces.append(
                "\n\n" if tag in _HEADINGS or tag in ("p", "pre", "table", "ul", "ol", "blockquote") else "\n"
            )
            continue
        if tag == "-text":
            text = here.text(deep=False) or ""
            pieces.append(text if pre else _SPACES.sub(" ", text.replace("\n", " ")))
            continue
        if tag in ("ul", "ol", "div", "section", "table", "header") and _is_link_list(here):
            continue
        block = tag in _BLOCKS
        if block:
            pieces.append("\n")
            stack.append((here, pre, True))
        children = list(here.iter(include_text=True))
        stack.extend((child, pre or tag == "pre", False) for child in reversed(children))
