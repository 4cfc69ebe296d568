"""A public part that nothing reaches is a museum piece: every public function and class has a user inside the library.

Names are compared, wherever they are written: in code, in a table of `"module:Name"`, as a config's `type`. Not asked of protocols,
which are the written form of a shape; of readable references, whose users are the tests that hold fast code equal to them;
of commands, whose users are people.
"""

from __future__ import annotations

import ast
import re
from collections import Counter
from pathlib import Path

SOURCE = Path(__file__).resolve().parents[2] / "src" / "groundup"


def names_in(tree: ast.AST) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(tree):
        match node:
            case ast.Name(id=name, ctx=ast.Load()):
                found.add(name)
            case ast.Attribute(attr=name):
                found.add(name)
            case ast.alias(name=name):
                found.add(name.rpartition(".")[2])
            case ast.Constant(value=str(text)) if re.fullmatch(r"[\w.]+:[\w.]+|\w+", text):
                found.update(re.findall(r"\w+", text))
    return found


def needs_a_user(node: ast.stmt) -> bool:
    if not isinstance(node, (ast.FunctionDef, ast.ClassDef)) or node.name.startswith("_"):
        return False
    protocol = isinstance(node, ast.ClassDef) and any(
        isinstance(b, ast.Name) and b.id == "Protocol" for b in node.bases
    )
    command = any("command" in ast.unparse(decorator) for decorator in node.decorator_list)
    return not protocol and not command and not node.name.endswith("_reference")


def unused(modules: dict[str, str]) -> list[str]:
    trees = {name: ast.parse(source) for name, source in modules.items()}
    written = {name: names_in(tree) for name, tree in trees.items()}
    modules_with = Counter(word for words in written.values() for word in words)
    found = []
    for name, tree in trees.items():
        for node in tree.body:
            if not needs_a_user(node):
                continue
            assert isinstance(node, (ast.FunctionDef, ast.ClassDef))
            if modules_with[node.name] > (node.name in written[name]):
                continue
            rest = ast.Module([other for other in tree.body if other is not node], [])
            if node.name not in names_in(rest):
                found.append(f"{name}:{node.name}")
    return found


def test_every_public_part_has_a_user() -> None:
    modules = {str(path.relative_to(SOURCE)): path.read_text(encoding="utf-8") for path in SOURCE.rglob("*.py")}
    assert unused(modules) == []


def test_one_without_a_user_is_found() -> None:
    modules = {
        "a.py": "def used(): pass\ndef alone(): return alone()\nclass Shape(Protocol): pass\ndef _own(): pass\n",
        "b.py": "from a import used\n@click.command()\ndef verb(): used()\nTABLE = {'x': 'c:Named'}\n",
        "c.py": "class Named: pass\ndef sum_reference(): pass\n",
    }
    assert unused(modules) == ["a.py:alone"]
