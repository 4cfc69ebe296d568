"""What a solution may not do, read from its syntax tree before anything is run: a component needs none of it.

The walls are the separate process and the judging outside it; these rules only turn attempts to get around the exercise (the
library's answer, the fused call, the interpreter's insides) into a sentence that says so.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from .exercise import PLAIN_IMPORTS, Exercise

_BUILTINS = frozenset(
    {"eval", "exec", "compile", "__import__", "open", "globals", "locals", "vars", "breakpoint", "input", "exit", "quit", "help",
     "delattr", "setattr"}
)  # fmt: skip
_MAX_BYTES = 200_000


def broken_rules(source: str, exercise: Exercise) -> list[str]:
    """Sentences, with line numbers; [] where there is nothing to say. A syntax error is one of them."""
    if len(source.encode()) > _MAX_BYTES:
        return [f"the file is larger than {_MAX_BYTES:,} bytes"]
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        where = f"line {error.lineno}: " if isinstance(error, SyntaxError) and error.lineno else ""
        return [f"{where}this is not valid Python: {error.msg if isinstance(error, SyntaxError) else error}"]
    return list(dict.fromkeys(_found(tree, exercise)))


def _found(tree: ast.AST, exercise: Exercise) -> Iterator[str]:
    allowed = PLAIN_IMPORTS | exercise.imports | set(exercise.packages)
    denied = {name.rpartition(".")[2] for name in exercise.denied}
    for node in ast.walk(tree):
        where = f"line {getattr(node, 'lineno', '?')}: "
        match node:
            case ast.Import(names=names):
                for alias in names:
                    yield from _import(where, alias.name, allowed, denied)
            case ast.ImportFrom(module=module, names=names, level=level):
                if level:
                    yield f"{where}relative imports lead nowhere: the solution is one file"
                    continue
                for alias in names:
                    yield from _import(where, f"{module}.{alias.name}", allowed, denied)
            case ast.Attribute(attr=name, value=value):
                if name in denied:
                    yield f"{where}{name} does what this exercise asks you to write"
                elif name.startswith("_") and not (isinstance(value, ast.Name) and value.id in ("self", "cls")):
                    if not (name == "__init__" and isinstance(value, ast.Call)):  # super().__init__
                        yield f"{where}{name} is an inside of Python or of a package, which a component does not need"
                elif name in ("ops", "library", "compile", "load", "save", "ctypeslib", "cpp_extension"):
                    yield f"{where}.{name} is not needed for a component, and is not let through"
            case ast.Name(id=name) if name in _BUILTINS or (name.startswith("__") and name != "__name__"):
                yield f"{where}{name} is not needed for a component, and is not let through"
            case ast.Call(func=ast.Name(id="getattr" | "hasattr"), args=[_, second, *_]):
                if not (isinstance(second, ast.Constant) and isinstance(second.value, str)):
                    yield f"{where}getattr with a name made at run time is not let through"
                elif second.value.startswith("_") or second.value in denied:
                    yield f"{where}getattr of {second.value!r} is not let through"


def _import(where: str, name: str, allowed: set[str] | frozenset[str], denied: set[str]) -> Iterator[str]:
    top, *rest = name.split(".")
    if top == "groundup":
        yield f"{where}groundup is what the solution is compared with; it cannot be imported here"
    elif rest[-1:] == ["*"]:
        yield f"{where}import what you use by its name, not *"
    elif top not in allowed:
        yield f"{where}{top} cannot be imported here; there are {', '.join(sorted(allowed - {'__future__'}))}"
    elif any(part in denied for part in rest):
        yield f"{where}{rest[-1]} does what this exercise asks you to write"
    elif any(part.startswith("_") or part in ("ops", "library", "utils") for part in rest):
        yield f"{where}{name} is an inside of the package, which a component does not need"
