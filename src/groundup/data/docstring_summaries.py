"""Summaries that programmers wrote: of each documented function, the text below the first paragraph of its docstring, and that paragraph's
first sentence."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from .python_pairs import is_python, is_test, module_name, parse_source, summary_of
from .sources import StdlibSource

_EXAMPLE = ">>>"
"""A doctest says nothing in words: what comes from there on is left out."""
_FEWEST_WORDS, _MOST_CHARACTERS = 12, 700
"""Of a text to be summarised: below, its first line says as much; above, it is cut at a word."""


def docstring_summaries(limit: int = 0) -> Iterator[tuple[str, str, str]]:
    """(id, name of the function and the rest of its docstring, its first sentence) from the running Python's standard library.
    limit 0: all of them."""
    found = 0
    seen: set[str] = set()
    for document in StdlibSource().documents():
        if document.dropped is not None or not is_python(document) or is_test(document.id):
            continue
        tree = parse_source(document.text)
        for name, documentation in _documented(tree) if tree is not None else ():
            head, _, rest = documentation.partition("\n\n")
            summary, body = summary_of(head), " ".join(rest.partition(_EXAMPLE)[0].split())
            if not summary or len(body.split()) < _FEWEST_WORDS or body in seen:
                continue
            seen.add(body)
            if len(body) > _MOST_CHARACTERS:
                body = body[: body.rfind(" ", 0, _MOST_CHARACTERS)]
            yield f"{module_name(document.id)}.{name}", f"{name}: {body}", summary
            found += 1
            if limit and found == limit:
                return


def _documented(tree: ast.Module) -> Iterator[tuple[str, str]]:
    for item in ast.walk(tree):
        if isinstance(item, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            documentation = (ast.get_docstring(item) or "").strip()
            if documentation:
                yield item.name, documentation
