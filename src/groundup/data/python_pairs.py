"""Questions and answers from Python source, read with `ast`: nothing is imported or run.

Four kinds: what a signature does (its summary line), which module a name is in, which signature a description asks for, and
a short function to be completed. Test code is left out: its names and docstrings say little.
"""

from __future__ import annotations

import ast
import re
import textwrap
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

from ..core.types import Document

SUMMARY, MODULE, SIGNATURE, COMPLETE = "summary", "module", "signature", "complete"

# Sizes in characters, so that question and answer together fit a small model's context: about four characters a token.
_MAX_SIGNATURE = 160
_MAX_SUMMARY = 240
_MAX_DOC = 400
_MAX_BODY = 420
_MAX_BODY_LINES = 14
_MIN_SUMMARY_WORDS = 3
_SENTENCE_END = re.compile(r"(?<=[a-z0-9)\]`'\"])\.(?= +[A-Z])")

PHRASINGS = {
    SUMMARY: (
        "What does `{call}` do?",
        "Describe `{call}` in one sentence.",
        "What is `{call}` for?",
        "Explain briefly: `{call}`",
        "Give the summary line of the documentation of `{call}`.",
    ),
    MODULE: (
        "Which module has `{name}`?",
        "Where is `{name}` defined?",
        "Which module do I import to use `{name}`?",
        "Name the module that `{name}` belongs to.",
    ),
    SIGNATURE: (
        "Write the signature of `{name}`: {summary}",
        "Which `def` line has `{name}`? {summary}",
        "Give the first line of `{name}`. Its documentation: {summary}",
        "How is `{name}` defined, with which parameters? {summary}",
    ),
    COMPLETE: (
        "Complete this function:\n\n{code}",
        "Write the body of this Python function.\n\n{code}",
        "Finish the code:\n\n{code}",
        "Implement this function:\n\n{code}",
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """One question with its answer, before a phrasing is chosen."""

    id: str
    kind: str
    slots: dict[str, str]
    """What the phrasing's names are filled with."""
    answer: str
    extra: dict[str, Any] = field(default_factory=dict)
    """Further fields of the example."""


def is_python(document: Document) -> bool:
    return document.meta.get("format") == "python"


def module_name(document_id: str) -> str:
    """asyncio/events.py -> asyncio.events; a package's __init__.py is the package."""
    parts = list(PurePosixPath(document_id.partition("@")[0].partition("#")[0]).with_suffix("").parts)
    if parts and parts[-1] == "__init__":
        parts.pop()
    return ".".join(parts)


def is_test(document_id: str) -> bool:
    parts = PurePosixPath(document_id).parts
    return any(part in ("test", "tests", "idle_test") for part in parts[:-1]) or parts[-1].startswith("test_")


def defined_names(tree: ast.Module) -> Iterator[str]:
    """Public functions and classes at the top of a module."""
    for item in tree.body:
        if isinstance(item, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)) and not item.name.startswith("_"):
            yield item.name


def parse_source(text: str) -> ast.Module | None:
    """The tree, or None for source that this Python does not parse (another version's, or hostile)."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # invalid escapes in old code
        try:
            return ast.parse(text)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return None


def pairs_of(document: Document, tree: ast.Module) -> Iterator[Pair]:
    """Every pair of one source file. `module` pairs are for all public names; see `unique` in `groundup.data.instruct`."""
    module = module_name(document.id)
    for name in defined_names(tree):
        if module and not module.rpartition(".")[2].startswith("__"):
            yield Pair(id=f"{document.id}::{name}/{MODULE}", kind=MODULE, slots={"name": name}, answer=module)
    lines = document.text.split("\n")
    for owner, function in _functions(tree):
        yield from _function_pairs(document.id, module, owner, function, lines)


_Function = ast.FunctionDef | ast.AsyncFunctionDef


def _functions(tree: ast.Module) -> Iterator[tuple[str, _Function]]:
    """(name of the class or "", function) of functions and of methods of classes at the top of the module."""
    for item in tree.body:
        if isinstance(item, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield "", item
        elif isinstance(item, ast.ClassDef):
            for inner in item.body:
                if isinstance(inner, (ast.FunctionDef, ast.AsyncFunctionDef)):
                    yield item.name, inner


def _function_pairs(document_id: str, module: str, owner: str, function: _Function, lines: list[str]) -> Iterator[Pair]:
    documentation = (ast.get_docstring(function) or "").strip()
    if not documentation:
        return
    summary = summary_of(documentation)
    head = f"{'async ' if isinstance(function, ast.AsyncFunctionDef) else ''}def {function.name}"
    arguments = ast.unparse(function.args)
    returns = f" -> {ast.unparse(function.returns)}" if function.returns is not None else ""
    signature = f"{head}({arguments}){returns}:"
    name = f"{owner}.{function.name}" if owner else function.name
    dotted = f"{module}.{name}" if module else name
    if len(signature) > _MAX_SIGNATURE:
        return
    if summary:
        shown = _without_self(arguments) if owner else arguments
        yield Pair(
            id=f"{document_id}::{name}/{SUMMARY}",
            kind=SUMMARY,
            slots={"call": f"{dotted}({shown})"},
            answer=summary,
        )
        if not function.name.startswith("__"):  # what the special methods do says nothing about their parameters
            yield Pair(
                id=f"{document_id}::{name}/{SIGNATURE}",
                kind=SIGNATURE,
                slots={"name": name, "summary": summary},
                answer=signature,
            )
    body = _body(function, lines)
    if body and len(documentation) <= _MAX_DOC:
        raw = "r" if "\\" in documentation else ""
        quoted = textwrap.indent(f'{raw}"""{documentation}"""', "    ", lambda line: bool(line.strip()))
        code = f"{signature}\n{quoted}\n"
        if _compiles(code + body):
            yield Pair(
                id=f"{document_id}::{name}/{COMPLETE}",
                kind=COMPLETE,
                slots={"code": code.rstrip("\n")},
                answer=body,
                extra={"code": code},
            )


def _without_self(arguments: str) -> str:
    return re.sub(r"^(self|cls)(, /)?(, |$)", "", arguments)


def summary_of(documentation: str) -> str:
    """The first sentence of the first paragraph, on one line; "" if it is no sentence, or too long."""
    paragraph = " ".join(documentation.strip().partition("\n\n")[0].split())
    end = _SENTENCE_END.search(paragraph)
    sentence = paragraph[: end.end()] if end else paragraph
    # A line that is a signature or a doctest describes nothing.
    if ">>>" in sentence or "->" in sentence or len(sentence.split()) < _MIN_SUMMARY_WORDS:
        return ""
    return sentence if len(sentence) <= _MAX_SUMMARY else ""


def _body(function: _Function, lines: list[str]) -> str:
    """Source below the docstring, at four spaces; "" when there is none or too much."""
    rest = function.body[1:]
    if not rest or rest[0].lineno <= (function.body[0].end_lineno or 0):
        return ""
    first, last = (function.body[0].end_lineno or 0), rest[-1].end_lineno or 0
    block = lines[first:last]
    if len(block) > _MAX_BODY_LINES:
        return ""
    body = textwrap.indent(textwrap.dedent("\n".join(block)).strip("\n"), "    ")
    return body if len(body) <= _MAX_BODY else ""


def _compiles(code: str) -> bool:
    """Whether the question's code and the answer are one function, as dedenting and quoting can break it."""
    tree = parse_source(code)
    return tree is not None and len(tree.body) == 1
