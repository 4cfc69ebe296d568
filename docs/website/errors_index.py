"""The errors index: every class of error, exit code, code of the API and message, from the places that raise them.

Read from the syntax tree: a message is shown as it is written, with what is put in in braces, so a part of one that was seen can be
looked for. A message that is made elsewhere (passed on from a library) is not listed.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from .links import Links, api_page, in_cell, plain
from .sources import Module, first_sentence

ROOT_ERROR = "GroundupError"
INDEX = "errors/index.md"
_OPEN, _CLOSE = "\x01", "\x02"  # around what a message has put in; braces and backticks may be of the message itself
EXIT_CODES = {
    0: "it worked",
    1: "it did not: see the line that begins with `error:`, and the line `try:` below it",
    2: "what was asked is wrong: a recipe, a key, an option, an argument",
    3: "an optional package is missing; the line `try:` is the command that installs it",
    130: "it was interrupted with Ctrl-C; the same command goes on where it was",
    143: "it was ended with SIGTERM; the same command goes on where it was",
    141: "what read its output went away (a pipe)",
}


@dataclass(frozen=True, kw_only=True)
class ErrorClass:
    name: str
    module: str
    base: str
    doc: str
    exit_code: str
    """A number, or how one is made."""


@dataclass(frozen=True, kw_only=True)
class Raised:
    """One place that raises an error."""

    kind: str
    module: str
    message: str
    hint: str
    code: str
    status: int | None


def error_classes(modules: Mapping[str, Module]) -> dict[str, ErrorClass]:
    """The tree below GroundupError, wherever its classes are; parents before children."""
    nodes = {
        node.name: (name, node)
        for name, module in modules.items()
        for node in module.tree.body
        if isinstance(node, ast.ClassDef)
    }
    found: dict[str, ErrorClass] = {}

    def add(name: str, base: str) -> None:
        module, node = nodes[name]
        code = next(
            (
                n.value.value
                for n in node.body
                if isinstance(n, ast.Assign)
                and ast.unparse(n.targets[0]) == "exit_code"
                and isinstance(n.value, ast.Constant)
            ),
            found[base].exit_code if base else 1,
        )
        made = re.search(r"self\.exit_code = (.+)", ast.unparse(node))  # 128 + number, of a signal
        found[name] = ErrorClass(
            name=name,
            module=module,
            base=base,
            doc=ast.get_docstring(node) or "",
            exit_code=made[1] if made else str(code),
        )
        for child, (_, other) in nodes.items():
            if any(ast.unparse(b) == name for b in other.bases):
                add(child, name)

    add(ROOT_ERROR, "")
    return found


def raised(modules: Mapping[str, Module], classes: Mapping[str, ErrorClass]) -> Iterator[Raised]:
    """Every place that makes one of these errors, in the order of the files."""
    for name, module in modules.items():
        for node in ast.walk(module.tree):
            if not isinstance(node, ast.Call):
                continue
            kind = ast.unparse(node.func).rpartition(".")[2]
            if kind not in classes:
                continue
            given = {k.arg: k.value for k in node.keywords if k.arg}
            said = _text(node.args[0]) if node.args else ""
            if kind == "MissingDependency":
                package, purpose, extra = said, _text(given.get("purpose")), _text(given.get("extra"))
                said = f"{purpose} needs the package {package!r}, which is not installed"
                given["hint"] = ast.Constant(f"pip install 'groundup[{extra}]'")
            if not said:
                continue
            if kind == "ConfigError" and (path := _text(given.get("path"))):
                said = f"{path}: {said}"  # as the class puts them together
            status = given.get("status")
            yield Raised(
                kind=kind,
                module=name,
                message=said,
                hint=_text(given.get("hint")),
                code=_text(given.get("code")),
                status=status.value if isinstance(status, ast.Constant) and isinstance(status.value, int) else None,
            )


def api_codes(modules: Mapping[str, Module]) -> dict[str, set[tuple[int | None, str, str]]]:
    """Code of OpenAI's error object -> (status, message, module): from every call that gives a `code`, and from the server's table of
    other failures."""
    found: dict[str, set[tuple[int | None, str, str]]] = {}
    for name, module in modules.items():
        if name.split(".")[1:2] not in (["server"], ["engine"], ["client"], ["core"]):
            continue
        for node in ast.walk(module.tree):
            if isinstance(node, ast.Call):
                given = {k.arg: k.value for k in node.keywords if k.arg}
                code, status = given.get("code"), given.get("status")
                if isinstance(code, ast.Constant) and isinstance(code.value, str) and node.args:
                    number = status.value if isinstance(status, ast.Constant) and isinstance(status.value, int) else 400
                    texts = [t for t in map(_text, node.args) if t]
                    found.setdefault(code.value, set()).add((number, max(texts, key=len, default=""), name))
            if (
                isinstance(node, ast.Assign)
                and isinstance(node.targets[0], ast.Tuple)
                and isinstance(node.value, ast.Tuple)
            ):
                names = [ast.unparse(t).rpartition(".")[2] for t in node.targets[0].elts]
                if "status" in names and "code" in names:
                    values = dict(zip(names, node.value.elts, strict=False))
                    coded, numbered = values["code"], values["status"]
                    if isinstance(coded, ast.Constant) and isinstance(numbered, ast.Constant):
                        message = _text(values.get("message"))
                        found.setdefault(str(coded.value), set()).add((int(str(numbered.value)), message, name))
    return dict(sorted(found.items()))


def errors_pages(modules: Mapping[str, Module], links: Links) -> dict[str, str]:
    """The index, and a page of messages for each class that is raised."""
    classes = error_classes(modules)
    places: dict[str, list[Raised]] = {}
    for place in raised(modules, classes):
        places.setdefault(place.kind, []).append(place)
    rows = []
    for found in classes.values():
        page = f"[{len(places[found.name])}]({found.name}.md)" if found.name in places else "0"
        home = links.relative(INDEX, api_page(found.module, modules))
        said = in_cell(plain(first_sentence(found.doc)))
        rows.append(
            f"| [`{found.name}`]({home}#{found.name}) | `{found.base or 'Exception'}` | {said} | {found.exit_code} | {page} |"
        )
    codes = [
        f"| `{code}` | {status} | {in_cell(_shown(message))} |"
        for code, uses in api_codes(modules).items()
        for status, message, _ in sorted(uses, key=str)
    ]
    index = [
        "# Errors",
        "Every error that the library raises on purpose is one of these classes. The command line prints it on one line that begins with "
        "`error:`, with the next thing to do on a second line, `try:`; `--json` prints an object `error` with `message`, `hint` and "
        "`exit_code`. With `GROUNDUP_DEBUG=1` the traceback is shown. Look for a part of the message that you saw with the search above, "
        "or in the page of its class.",
        "| class | is a | what it means | exit code | messages |\n|---|---|---|---|---|\n" + "\n".join(rows),
        "## Exit codes {#exit-codes}",
        "| code | meaning |\n|---|---|\n" + "\n".join(f"| {n} | {meaning} |" for n, meaning in EXIT_CODES.items()),
        "## Codes of the API {#api-codes}",
        "The server answers every failure with OpenAI's error object: `message`, `type`, `param` (the field of the request that is wrong) "
        "and `code`.",
        "| code | status | message |\n|---|---|---|\n" + "\n".join(codes),
        "## Sandbox, grader, labs",
        "A program that the sandbox stopped is no error of the library: it is a verdict, with the limit that was reached "
        "(`groundup.sandbox.running`). So is an exercise that is wrong (`groundup check` exits with 1) and a figure of a lab outside its band.",
    ]  # fmt: skip
    pages = {INDEX: links.code("\n\n".join(index) + "\n", INDEX)}
    for kind, found_places in places.items():
        page = f"errors/{kind}.md"
        text = [
            f"# {kind}",
            plain(classes[kind].doc),
            f"[All errors](index.md) · exit code {classes[kind].exit_code}",
        ]
        by_package: dict[str, list[Raised]] = {}
        for place in found_places:
            by_package.setdefault(place.module.split(".")[1] if "." in place.module else place.module, []).append(place)
        for package, those in by_package.items():
            lines = []
            for place in those:
                home = links.relative(page, api_page(place.module, modules))
                short = place.module.removeprefix(f"groundup.{package}.")
                extra = f" (`{place.code}`)" if place.code else ""
                lines.append(
                    f"| {in_cell(_shown(place.message))}{extra} | {in_cell(_shown(place.hint))} | [`{short}`]({home}) |"
                )
            text += [f"## {package}", "| message | try | where |\n|---|---|---|\n" + "\n".join(lines)]
        pages[page] = "\n\n".join(text) + "\n"
    return pages


def _shown(text: str) -> str:
    """A message as words, its variable parts as code in braces."""
    parts = re.split(f"{_OPEN}(.*?){_CLOSE}", text)
    words = (f"`{{{part}}}`" if n % 2 else plain(part) for n, part in enumerate(parts))
    return "".join(words).replace("*", "&#42;").replace("~", "&#126;")


def _text(node: ast.expr | None) -> str:
    """A message as it is written, with the expression between _OPEN and _CLOSE where a value is put in."""
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else ""
    if isinstance(node, ast.JoinedStr):
        return "".join(_text(v) if isinstance(v, ast.Constant) else _value(v) for v in node.values)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return _text(node.left) + _text(node.right)
    if isinstance(node, ast.IfExp):
        return " / ".join(t for t in (_text(node.body), _text(node.orelse)) if t)
    if isinstance(node, ast.Call) and ast.unparse(node.func) == "did_you_mean":
        return "did you mean ...?"
    return ""


def _value(node: ast.expr) -> str:
    if isinstance(node, ast.FormattedValue):
        inner = node.value
        if isinstance(inner, ast.IfExp) and (text := _text(inner)):
            return text
        name = ast.unparse(inner)
        return _OPEN + (name if len(name) <= 28 and "`" not in name else "...") + _CLOSE
    return ""
