"""Functions to be written on from their signature and docstring, judged by whether the result is valid Python.

Prompts come from Python source: everything of a function up to the end of its docstring, moved to the left margin. The judge
cuts the continuation where the function ends, then parses and compiles it. Nothing is ever run. So `score` says that the
grammar was kept, not that the code is right; a judge that runs tests needs a sandbox.
"""

from __future__ import annotations

import ast
import codeop
import textwrap
import warnings
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from ..core.types import Completion, TaskExample, Verdict

# A longer prompt leaves a small model no room to write in.
_MAX_PROMPT_CHARACTERS = 600
_Function = (ast.FunctionDef, ast.AsyncFunctionDef)


class GeneratedFunctions:
    """Function beginnings as a Task; `score` is 1 where prompt and continuation together compile and have a body."""

    def __init__(self, examples: Sequence[TaskExample]) -> None:
        self._examples = list(examples)

    def examples(self) -> Iterable[TaskExample]:
        return list(self._examples)

    def score(self, example: TaskExample, completion: Completion) -> Verdict:
        source = function_source(str(example.prompt), completion.text, cut=completion.finish_reason == "length")
        reason = why_not_a_function(source)
        return Verdict(score=float(not reason), reason=reason or "compiles", details={"source": source})


def find_functions(source: str, *, name: str = "") -> Iterator[TaskExample]:
    """An example for every function of some Python source that has a docstring and a body after it; the body is the
    `answer`. Source that does not parse has none. `name` begins the ids.
    """
    tree = _parsed(source)
    if tree is None:
        return
    lines = source.splitlines(keepends=True)
    # ast counts lines at \n, \r and \r\n only; a form feed or U+2028 in the source would put the two out of step.
    if len(lines) != len(ast_lines := source.replace("\r\n", "\n").replace("\r", "\n").split("\n")):
        lines = [line + "\n" for line in ast_lines]
    for node in ast.walk(tree):
        if not isinstance(node, _Function) or ast.get_docstring(node) is None or len(node.body) < 2:
            continue
        docstring_end = node.body[0].end_lineno
        if docstring_end is None or node.body[1].lineno <= docstring_end or node.end_lineno is None:
            continue
        start = node.lineno - 1
        whole = textwrap.dedent("".join(lines[start : node.end_lineno]))
        cut = docstring_end - start
        parts = whole.splitlines(keepends=True)
        prompt, body = "".join(parts[:cut]), "".join(parts[cut:])
        # Where dedent was stopped by a docstring at the margin, the two do not make a function: leave it out.
        if len(prompt) <= _MAX_PROMPT_CHARACTERS and not why_not_a_function(prompt + body):
            yield TaskExample(id=f"{name}:{node.lineno}:{node.name}", prompt=prompt, answer=body)


def function_source(prompt: str, continuation: str, *, cut: bool) -> str:
    """Prompt and as much of the continuation as belongs to the function: up to the first line at the margin that does
    not go on with a bracket, string or statement begun before. `cut`: the continuation was stopped by its length, so if the
    function did not end before that, its last line is left out, and with it a statement that only lacks its end. What is
    wrong, and not just unfinished, stays.
    """
    lines = (prompt + continuation).splitlines(keepends=True)
    first = len(prompt.splitlines())
    for number in range(max(first, 1), len(lines)):
        line = lines[number]
        # A comment may stand at the margin in the middle of a function (tempfile.mktemp): it ends nothing.
        if line.strip() and not line[0].isspace() and line[0] != "#" and _is_whole("".join(lines[:number])):
            return "".join(lines[:number])
    if cut and len(lines) > first:
        if not lines[-1].endswith("\n"):
            lines.pop()
        if _is_unfinished("".join(lines)):
            while len(lines) > first and not _is_whole("".join(lines)):
                lines.pop()
    return "".join(lines)


def why_not_a_function(source: str) -> str:
    """ "" for the source of one function with a body beside its docstring, else what is wrong with it."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # an invalid escape in a string is a warning, and still compiles
            tree = ast.parse(source)
            compile(tree, "<generated>", "exec", dont_inherit=True)
    except SyntaxError as error:
        return f"line {error.lineno}: {error.msg}"
    except (ValueError, RecursionError, MemoryError, OverflowError) as error:
        return f"{type(error).__name__}: {error}"
    functions = [node for node in tree.body if isinstance(node, _Function)]
    if len(functions) != 1 or len(tree.body) != 1:
        return "not one function"
    body: list[Any] = functions[0].body
    if ast.get_docstring(functions[0]) is not None:
        body = body[1:]
    return "" if body else "no body"


def _parsed(source: str) -> ast.Module | None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError, OverflowError):
        return None


def _is_unfinished(source: str) -> bool:
    """More text could make it valid."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return codeop.compile_command(source, symbol="exec") is None
    except (SyntaxError, ValueError, RecursionError, MemoryError, OverflowError):
        return False


def _is_whole(source: str) -> bool:
    return _parsed(source) is not None
