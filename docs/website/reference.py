"""The API reference: a page a package and a page a module, in the order of docs/map.md, from signatures and docstrings."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from .links import Links, api_page, in_cell, plain
from .sources import ROOT, Class, Field, Function, Module, first_sentence

WIDTH = 96
"""Characters of a signature before its parameters get a line each."""


def reference_pages(modules: Mapping[str, Module], links: Links, order: Mapping[str, str]) -> dict[str, str]:
    """Page -> Markdown."""
    pages = {"api/index.md": _front(modules, order)}
    for name, module in modules.items():
        if name == "groundup":
            continue
        page = api_page(name, modules)
        pages[page] = links.code(_module_page(module, modules, links, page), page, names=True)
    return pages


def reference_nav(modules: Mapping[str, Module], order: Mapping[str, str]) -> list[object]:
    """The packages in the order of the map; one that the map does not have is at the end."""

    def entry(module: Module) -> dict[str, object]:
        short = module.name.rpartition(".")[2]
        page = api_page(module.name, modules)
        if not module.is_package:
            return {short: page}
        return {short: [page, *map(entry, sorted(module.children, key=lambda m: (m.is_package, m.name)))]}

    return ["api/index.md", *(entry(modules[name]) for name in _packages(modules, order))]


def _packages(modules: Mapping[str, Module], order: Mapping[str, str]) -> list[str]:
    known = [f"groundup.{short}" for short in order if f"groundup.{short}" in modules]
    top = [m.name for m in modules["groundup"].children if m.is_package]
    return [*known, *sorted(set(top) - set(known))]


def _front(modules: Mapping[str, Module], order: Mapping[str, str]) -> str:
    rows = []
    for name in _packages(modules, order):
        short = name.rpartition(".")[2]
        count = sum(m.startswith(f"{name}.") for m in modules)
        rows.append(f"| [`{name}`]({short}/index.md) | {order.get(short, modules[name].summary)} | {count} |")
    return (
        "# API reference\n\nEvery public module, class and function, from its own signature and docstring, in the order in which data "
        "flows: a package imports only from those above it. [Map](../map.md) shows where to begin reading.\n\n"
        f"{plain(modules['groundup'].doc)}\n\n| package | what it does | modules |\n|---|---|---|\n"
        + "\n".join(rows)
        + "\n"
    )


def _module_page(module: Module, modules: Mapping[str, Module], links: Links, page: str) -> str:
    source = module.path.relative_to(ROOT).as_posix()
    parts = [f"# {module.name}", f"*{source}*{{.source}}", plain(module.doc)]
    if module.children:
        parts.append(_contents(module, modules, links, page))
    if module.constants:
        parts += ["## Constants", *(_constant(c) for c in module.constants)]
    parts += [text for found in module.classes for text in _class(found)]
    parts += [text for found in module.functions for text in _function(found)]
    return "\n\n".join(parts) + "\n"


def _contents(module: Module, modules: Mapping[str, Module], links: Links, page: str) -> str:
    rows = [
        f"| [`{m.name.rpartition('.')[2]}`]({links.relative(page, api_page(m.name, modules))}) | {in_cell(plain(m.summary))} |"
        for m in sorted(module.children, key=lambda m: (m.is_package, m.name))
    ]
    return "| module | what it holds |\n|---|---|\n" + "\n".join(rows)


def _constant(found: Field) -> str:
    value = found.default if len(found.default) <= WIDTH else "..."
    kind = f": {found.annotation}" if found.annotation else ""
    return f"### {found.name} {{#{found.name}}}\n\n```python\n{found.name}{kind} = {value}\n```\n\n{plain(found.doc)}"


def _class(found: Class) -> Iterator[str]:
    yield f"## {found.name} {{#{found.name}}}"
    bases = f"({', '.join(found.bases)})" if found.bases else ""
    kind = "dataclass" if found.is_dataclass else "class"
    yield f"```python\n{_broken(f'class {found.name}', found.signature) if found.signature else f'class {found.name}{bases}'}\n```"
    if found.doc:
        yield plain(found.doc)
    if found.fields:
        yield _fields(found.fields, kind)
    if found.methods:
        yield "\n\n".join(_method(m) for m in found.methods)


def _fields(fields: Iterable[Field], kind: str) -> str:
    rows = []
    for item in fields:
        default = item.default if len(item.default) <= 40 else "..."
        typed = f"`{item.annotation}`" if item.annotation else ""
        rows.append(f"| `{item.name}` | {typed} | {f'`{default}`' if default else ''} | {in_cell(plain(item.doc))} |")
    what = "field" if kind == "dataclass" else "attribute"
    return f"| {what} | type | default | |\n|---|---|---|---|\n" + "\n".join(in_row(r) for r in rows)


def in_row(row: str) -> str:
    return " ".join(row.split())


def _method(found: Function) -> str:
    kind = f" *{found.kind}*" if found.kind else ""
    head = f"`{found.name}{found.signature}`{kind}"
    if not found.doc:
        return head
    doc = plain(found.doc).replace("\n", "\n    ")
    return f"{head}\n:   {doc}"


def _function(found: Function) -> Iterator[str]:
    yield f"## {found.name} {{#{found.name}}}"
    yield f"```python\n{_broken(f'def {found.name}', found.signature)}\n```"
    if found.doc:
        yield plain(found.doc)


def _broken(head: str, signature: str) -> str:
    """A signature on one line, or a parameter a line where it is long."""
    if len(head) + len(signature) <= WIDTH:
        return head + signature
    depth, parts, start = 0, [], 1
    for at, letter in enumerate(signature):
        depth += (letter in "([{") - (letter in ")]}")
        if letter == "," and depth == 1:
            parts.append(signature[start:at].strip())
            start = at + 1
        if depth == 0:
            parts.append(signature[start:at].strip())
            return f"{head}(\n" + "".join(f"    {part},\n" for part in parts if part) + signature[at:]
    return head + signature


def summaries(modules: Mapping[str, Module]) -> dict[str, str]:
    """Address (`module` or `module:name`) -> first sentence of its docstring."""
    found = {name: module.summary for name, module in modules.items()}
    for name, module in modules.items():
        for item in module.items:
            found[f"{name}:{item.name}"] = first_sentence(item.doc)
    return found
