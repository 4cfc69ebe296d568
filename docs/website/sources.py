"""What the library's sources say of themselves: modules, their public classes and functions, docstrings, fields.

Read from the syntax tree: nothing is imported, so the reference of an optional package needs no optional package.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SRC = ROOT / "src"


@dataclass(frozen=True, kw_only=True)
class Field:
    """A field of a dataclass, an attribute of a class or a constant of a module, with the docstring that follows it."""

    name: str
    annotation: str
    default: str
    doc: str


@dataclass(frozen=True, kw_only=True)
class Function:
    name: str
    signature: str
    """Without the name: `(x, state=None) -> Tensor`."""
    doc: str
    kind: str = ""
    """property, classmethod, staticmethod, or nothing."""


@dataclass(frozen=True, kw_only=True)
class Class:
    name: str
    bases: tuple[str, ...]
    doc: str
    signature: str
    """Of `__init__`, where it is written out; a dataclass has its fields."""
    fields: tuple[Field, ...]
    methods: tuple[Function, ...]
    is_dataclass: bool


@dataclass(frozen=True)
class Module:
    """One file. `name` is dotted; a package's is its `__init__.py`'s."""

    name: str
    path: Path
    children: list[Module] = field(default_factory=list, compare=False)

    @property
    def is_package(self) -> bool:
        return self.path.name == "__init__.py"

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.path.read_text(encoding="utf-8"))

    @cached_property
    def doc(self) -> str:
        return ast.get_docstring(self.tree) or ""

    @property
    def summary(self) -> str:
        return first_sentence(self.doc)

    @cached_property
    def classes(self) -> tuple[Class, ...]:
        return tuple(_class(n) for n in self.tree.body if isinstance(n, ast.ClassDef) and public(n.name))

    @cached_property
    def functions(self) -> tuple[Function, ...]:
        return tuple(
            _function(n)
            for n in self.tree.body
            if isinstance(n, (ast.FunctionDef, ast.AsyncFunctionDef)) and public(n.name)
        )

    @cached_property
    def constants(self) -> tuple[Field, ...]:
        """Those that a docstring follows."""
        return tuple(f for f in _fields(self.tree.body) if f.doc)

    @property
    def items(self) -> tuple[Class | Function, ...]:
        return (*self.classes, *self.functions)

    @property
    def names(self) -> tuple[str, ...]:
        """Everything that the module's page has an anchor for."""
        return tuple(item.name for item in (*self.items, *self.constants))


def public(name: str) -> bool:
    return not name.startswith("_")


@cache
def modules(src: Path = SRC) -> dict[str, Module]:
    """Every public module by its dotted name; packages hold their modules."""
    found: dict[str, Module] = {}
    for path in sorted((src / "groundup").rglob("*.py")):
        parts = path.relative_to(src).with_suffix("").parts
        parts = parts[:-1] if parts[-1] == "__init__" else parts
        if all(public(part) for part in parts):
            found[".".join(parts)] = Module(".".join(parts), path)
    for name, module in found.items():
        package = found.get(name.rpartition(".")[0])
        if package is not None:
            package.children.append(module)
    return found


def package_order(page: Path = ROOT / "docs" / "map.md") -> dict[str, str]:
    """Package -> what the map says it does, in the order of the map."""
    rows = re.findall(r"^\| `(\w+)/` \| (.*?) \|", page.read_text(encoding="utf-8"), re.M)
    return dict(rows)


def first_sentence(doc: str) -> str:
    """The first sentence (or line) of a docstring, on one line."""
    paragraph = " ".join(doc.partition("\n\n")[0].split())
    match = re.match(r"(.+?[.:])(?: [A-Z`(]|$)", paragraph)
    return (match[1] if match else paragraph).rstrip(":")


def _class(node: ast.ClassDef) -> Class:
    is_dataclass = any("dataclass" in ast.unparse(d) for d in node.decorator_list)
    functions = [n for n in node.body if isinstance(n, (ast.FunctionDef, ast.AsyncFunctionDef))]
    made = next((n for n in functions if n.name == "__init__"), None)
    called = [n for n in functions if public(n.name) or n.name == "__call__"]
    overloaded = {n.name for n in called if any("overload" in ast.unparse(d) for d in n.decorator_list)}
    setters = [n for n in called if any(ast.unparse(d).endswith(".setter") for d in n.decorator_list)]
    return Class(
        name=node.name,
        bases=tuple(ast.unparse(base) for base in node.bases),
        doc=ast.get_docstring(node) or "",
        signature=_signature(made, skip_first=True) if made is not None else "",
        fields=tuple(f for f in _fields(node.body) if is_dataclass or f.doc or f.annotation),
        methods=tuple(_function(n, in_class=True) for n in called if n.name not in overloaded and n not in setters),
        is_dataclass=is_dataclass,
    )


def _fields(body: list[ast.stmt]) -> Iterator[Field]:
    for n, node in enumerate(body):
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            name, annotation = node.target.id, ast.unparse(node.annotation)
        elif isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name):
            name, annotation = node.targets[0].id, ""
        else:
            continue
        if not public(name):
            continue
        after = body[n + 1] if n + 1 < len(body) else None
        doc = ""
        if isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant) and isinstance(after.value.value, str):
            doc = after.value.value
        yield Field(name=name, annotation=annotation, default=ast.unparse(node.value) if node.value else "", doc=doc)


def _function(node: ast.FunctionDef | ast.AsyncFunctionDef, *, in_class: bool = False) -> Function:
    decorators = [ast.unparse(d) for d in node.decorator_list]
    kind = next((k for k in ("classmethod", "staticmethod") if k in decorators), "")
    if any(d in ("property", "cached_property", "functools.cached_property") for d in decorators):
        kind = "property"
    signature = _signature(node, skip_first=in_class and kind != "staticmethod")
    if kind == "property":
        signature = signature.removeprefix("()")
    return Function(name=node.name, signature=signature, doc=ast.get_docstring(node) or "", kind=kind)


def _signature(node: ast.FunctionDef | ast.AsyncFunctionDef, *, skip_first: bool) -> str:
    arguments = ast.unparse(node.args)
    if skip_first:
        arguments = re.sub(r"^\w+(, /)?(, |$)", "", arguments)
    returns = f" -> {ast.unparse(node.returns)}" if node.returns is not None and node.name != "__init__" else ""
    return f"({arguments}){returns}"
