"""The main text of a web page: navigation, forms, scripts and link lists left out, one line per block.

The page is cut to `<main>` or `<article>` where such an element holds most of the text; in what is left, a block whose
text is mostly links is navigation (Kohlschütter, Fankhauser and Nejdl 2010: link density is the strongest of the shallow
features). Layout is not computed and scripts are not run, so text that a page builds in the browser is not seen.
"""

from __future__ import annotations

import re
from typing import Any

from ..core.errors import MissingDependency

_NOISE_TAGS = "head script style noscript template svg iframe form button select nav aside footer dialog"
_NOISE = frozenset(_NOISE_TAGS.split())
_NOISE_ROLES = frozenset(("navigation", "banner", "contentinfo", "search"))
_BLOCK_TAGS = (
    "address article blockquote body dd div dl dt figcaption figure h1 h2 h3 h4 h5 h6 header hr li main ol p pre "
    "section table tbody td tfoot th thead tr ul br"
)
_BLOCKS = frozenset(_BLOCK_TAGS.split())
_SPACED = frozenset(("h1", "h2", "h3", "h4", "h5", "h6", "p", "pre", "table", "ul", "ol", "blockquote"))
_CONTAINERS = frozenset(("ul", "ol", "div", "section", "table", "header"))
_MAX_CANDIDATES = 16  # each is walked; a page with more is a list of teasers
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
    text = "" if tree.body is None else _centre(tree.body)
    lines = (line.strip() if "\t" not in line else line.rstrip() for line in text.split("\n"))
    return title, re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip()


def _centre(body: Any) -> str:
    whole = _collect(body)
    candidates = body.css('main, article, [role="main"], [itemprop="articleBody"]')[:_MAX_CANDIDATES]
    best = max(map(_collect, candidates), key=len, default="")
    return best if len(best) >= _CENTRE_SHARE * len(whole) else whole


def _is_noise(element: Any) -> bool:
    attributes = element.attributes
    return bool(
        element.tag in _NOISE
        or attributes.get("role") in _NOISE_ROLES
        or "hidden" in attributes
        or attributes.get("aria-hidden") == "true"
    )


def _collect(root: Any) -> str:
    """Text below `root`, in order, without containers that are mostly links.

    One walk with a stack of its own: hostile pages nest thousands deep, so neither recursion nor a look at each
    container's whole text (quadratic in the depth) will do.
    """
    pieces: list[str] = []
    solid = linked = 0  # characters kept so far, and those of them inside links
    stack: list[tuple[Any, bool, bool, tuple[int, int, int] | None]] = [(root, False, False, None)]
    while stack:
        here, pre, link, entered = stack.pop()
        tag = here.tag
        if entered is not None:
            start, solid_before, linked_before = entered
            if tag in _CONTAINERS and linked - linked_before > _LINK_SHARE * (solid - solid_before):
                del pieces[start:]
                solid, linked = solid_before, linked_before
            elif tag in _BLOCKS:
                pieces.append("\n\n" if tag in _SPACED else "\n")
            continue
        if tag == "-text":
            text = here.text(deep=False) or ""
            length = len("".join(text.split()))
            solid, linked = solid + length, linked + (length if link else 0)
            pieces.append(text if pre else _SPACES.sub(" ", text.replace("\n", " ")))
            continue
        if _is_noise(here):
            continue
        stack.append((here, pre, link, (len(pieces), solid, linked)))
        if tag in _BLOCKS:
            pieces.append("\n")
        pre, link = pre or tag == "pre", link or tag == "a"
        stack.extend((child, pre, link, None) for child in reversed(list(here.iter(include_text=True))))
    return "".join(pieces)
