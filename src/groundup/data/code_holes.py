"""Holes in Python source for a model to fill: the body of a function, with the file before and after it. Read with `ast`;
nothing is imported or run. Left out: classes, nested functions, and bodies that are only a docstring.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass

from .python_pairs import parse_source

_MAX_BODY_CHARACTERS = 400
_MAX_AROUND_CHARACTERS = 500
"""On each side, cut at an end of line: about 150 tokens."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hole:
    """`prefix + middle + suffix` is a stretch of the file."""

    name: str
    """The function's."""
    prefix: str
    middle: str
    suffix: str

    def parses(self, filled: str) -> bool:
        """Is the function, with `filled` for its body, Python? An empty body is none. What stands around the
        function is the file's own and is not looked at.
        """
        start = self.prefix.rfind(f"def {self.name}")
        start = self.prefix.rfind("\n", 0, start) + 1
        source = self.prefix[start:] + filled
        indent = len(source) - len(source.lstrip())
        if indent:  # a method
            source = "if True:\n" + source
        return bool(filled.strip()) and parse_source(source) is not None


def holes(text: str) -> Iterator[Hole]:
    """A hole for each function whose body, after its docstring, is short enough; in the order of the file."""
    tree = parse_source(text)
    if tree is None:
        return
    lines = text.splitlines(keepends=True)
    for node in _functions(tree):
        body = node.body
        if isinstance(body[0], ast.Expr) and isinstance(body[0].value, ast.Constant):
            body = body[1:]
        if not body or body[0].lineno == node.lineno:
            continue
        first, last = body[0].lineno - 1, (node.end_lineno or 0)
        above = body[0].decorator_list if isinstance(body[0], (ast.FunctionDef, ast.ClassDef)) else []
        first = min([first, *(d.lineno - 1 for d in above)])
        middle = "".join(lines[first:last])
        if not middle.strip() or len(middle) > _MAX_BODY_CHARACTERS:
            continue
        prefix, suffix = "".join(lines[:first]), "".join(lines[last:])
        if len(prefix) > _MAX_AROUND_CHARACTERS:
            prefix = prefix[-_MAX_AROUND_CHARACTERS:].partition("\n")[2]
        if len(suffix) > _MAX_AROUND_CHARACTERS:
            suffix = suffix[:_MAX_AROUND_CHARACTERS].rpartition("\n")[0] + "\n"
        if f"def {node.name}" in prefix:
            yield Hole(name=node.name, prefix=prefix, middle=middle, suffix=suffix)


def _functions(tree: ast.Module) -> Iterator[ast.FunctionDef]:
    """Functions of the module and methods of its classes."""
    for node in tree.body:
        inner = node.body if isinstance(node, ast.ClassDef) else [node]
        yield from (n for n in inner if isinstance(n, ast.FunctionDef))
