"""What is documented is executed: the python and bash blocks of the README, the guides and the lessons.

A page is a learner who starts with a checkout, a few notes, and a quickstart that has run (a real one, of a minute model). Blocks are taken
from top to bottom, in one folder and one Python namespace. By rule:

- Any block with a first line `# name.py` (or another suffix) is written to that file, where later lines find it.
- `python`: executed.
- `bash`, lines of groundup: `run`, `train` and `search` load their recipe with its overrides, swaps and budget, which checks every key and
  value; a lab or an exercise must exist; what starts a server or a page is parsed; every other verb is run where its model is there, and
  parsed where it is not.
- `bash`, other lines: targets of make and extras of pip must exist; the rest is the reader's shell.
- Any other block is output, and is not looked at.
"""

from __future__ import annotations

import html
import json
import os
import re
import shlex
import shutil
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from groundup.cli.main import VERBS, cli
from groundup.cli.wiring import STAGES, open_model
from groundup.core.errors import GroundupError
from groundup.core.recipe import load_recipe, run_recipe
from groundup.learn.content import all_labs
from groundup.learn.exercises import EXERCISES
from groundup.learn.projects import load_projects

ROOT = Path(__file__).resolve().parents[2]
PAGES = [
    ROOT / "README.md",
    ROOT / "docs" / "index.md",
    *sorted((ROOT / "docs" / "guides").glob("*.md")),
    *sorted((ROOT / "labs").glob("*/lesson.md")),
]
RECIPE_VERBS = {"run", "train", "search"}
PARSED = {"serve", "studio", "predict", "doctor"}
"""Verbs that are parsed only: servers and pages, what needs a run of another recipe, what looks at the machine."""
NEEDED = {
    "eval": ("model", "adapter"), "chat": ("model", "adapter"), "generate": ("model", "adapter"), "info": ("path",), "data": ("path",),
    "runs": ("directory",), "tokenizer": (),
}  # fmt: skip
"""Verb -> its arguments that must be there for it to be run: runs of other pages' commands are not."""
_TINY = (
    "data.source={type: files, path: notes}", "tokenizer.vocab_size=300", "model.hidden_size=32", "model.num_hidden_layers=1",
    "model.max_position_embeddings=256", "model.block.mixer={type: attention, num_attention_heads: 2}",
    "model.block.ffn.intermediate_size=32", "base.num_steps=2", "base.budget_seconds=20", "base.samples=[]", "sft.num_steps=2",
    "sft.num_epochs=null", "sft.budget_seconds=20", "sft.samples=[]", "sft.evaluations=1",
)  # fmt: skip
_NOTES = '''"""Numbers: small functions that are easy to read aloud."""


def mean_of(values):
    """Give the arithmetic mean of a list of values, zero where it is empty."""
    return sum(values) / len(values) if values else 0


def largest_of(values):
    """Give the largest of the values, the first of those that are equal."""
    return max(values)
'''


@dataclass(frozen=True)
class Block:
    language: str
    line: int
    text: str


def blocks(page: Path) -> Iterator[Block]:
    text = page.read_text(encoding="utf-8")
    for match in re.finditer(r"^```(\w+)[^\n]*\n(.*?)^```", text, re.S | re.M):
        yield Block(match[1], text.count("\n", 0, match.start()) + 2, match[2])


def lines(block: Block) -> Iterator[tuple[int, str]]:
    """Commands of a bash block with their line: continuations joined, comments gone, pipes and lists taken apart."""
    number = block.line
    for joined in re.split(r"(?<!\\)\n", block.text):
        line = re.sub(r"(^|\s)# .*$", "", joined.replace("\\\n", " ").removeprefix("$ ")).strip()
        for part in re.split(r"\s(?:&&|\|)\s", line):
            if part.strip():
                yield number, part.strip()
        number += joined.count("\n") + 1


@pytest.fixture(scope="session")
def learner(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as after `make quickstart`, of a model so small that it is made in seconds."""
    home = tmp_path_factory.mktemp("learner")
    (home / "notes").mkdir()
    for n in range(12):
        (home / "notes" / f"numbers_{n}.py").write_text(_NOTES.replace("_of", f"_{n}").replace("mean", f"mean{n}"))
    shutil.copy(home / "notes" / "numbers_0.py", home / "notes" / "copy_of_0.py")
    (home / "recipes").symlink_to(ROOT / "recipes")
    shutil.copy(ROOT / "README.md", home)
    pair = {"instruction": "Say what 2 + 3 is.", "output": "5"}
    (home / "rows.json").write_text(json.dumps([pair, {"instruction": "Say what 4 + 5 is.", "output": "9"}]))
    here = Path.cwd()
    os.chdir(home)
    try:
        recipe = load_recipe(Path("recipes/quickstart.yaml"), STAGES, overrides=_TINY)
        run_recipe(recipe, Path("runs/quickstart"), open_model=open_model)
        from groundup.evals.report import write_report_html

        write_report_html(Path("runs/quickstart"))
    finally:
        os.chdir(here)
    shutil.copytree(home / "runs" / "quickstart" / "sft", home / "models" / "SmolLM-135M")
    return home


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.stem if p.stem != "lesson" else p.parent.name)
def test_page(page: Path, learner: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(learner, tmp_path, symlinks=True, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("GROUNDUP_HOME", str(tmp_path / "progress"))
    names: dict[str, Any] = {"__name__": "page"}
    wrong = []
    for block in blocks(page):
        named = re.match(r"# ([\w./]+\.\w+)\n", block.text)
        if named:
            Path(named[1]).write_text(block.text)
        if block.language == "python":
            problem = execute(block, names, page)
            if problem:
                wrong.append(f"{page.name}:{block.line}: {problem}")
        if block.language in ("bash", "sh", "console"):
            for number, line in lines(block):
                problem = check(line)
                if problem:
                    wrong.append(f"{page.name}:{number}: {line}\n    {problem}")
    assert not wrong, "\n".join(wrong)


def execute(block: Block, names: dict[str, Any], page: Path) -> str:
    try:
        exec(compile("\n" * (block.line - 1) + block.text, str(page), "exec"), names)
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return ""


def check(line: str) -> str:
    """What is wrong with a line of a bash block; nothing where it is right."""
    line = re.sub(r"^(\w+=\S+ )+", "", line)
    for extras in re.findall(r"(?:groundup|\.)\[([\w,]+)\]", line):
        known = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
        if set(extras.split(",")) - set(known):
            return f"pyproject.toml has no extra of that name; it has {', '.join(known)}"
    words = shlex.split(re.sub(r"\s[0-9]?>{1,2}\s*\S+", "", line))
    if words[0] == "make":
        target = next((w for w in words[1:] if "=" not in w), "")
        if not re.search(rf"^{re.escape(target)}:", (ROOT / "Makefile").read_text(), re.M):
            return f"the Makefile has no target {target!r}"
    return check_groundup(words[1], words[2:]) if words[0] == "groundup" and len(words) > 1 else ""


def check_groundup(verb: str, arguments: list[str]) -> str:
    if verb.startswith("-"):
        return ""
    if verb not in VERBS:
        return f"there is no verb {verb!r}"
    command = cli.get_command(click.Context(cli), verb)
    assert command is not None
    try:
        given = command.make_context(verb, list(arguments)).params
    except click.exceptions.Exit:  # --help
        return ""
    except click.UsageError as error:
        return error.format_message()
    if verb in RECIPE_VERBS:
        return load(Path(given["recipe"]), given)
    if verb == "lab":
        return "" if given["lab_id"] is None or given["lab_id"] in all_labs() else "there is no such lab"
    if verb == "check":
        return "" if given["exercise_id"] in EXERCISES else "there is no such exercise"
    needed = [given[name] for name in NEEDED.get(verb, ()) if given.get(name) is not None]
    asks = verb == "assess" and "--from" not in arguments
    if verb in PARSED or asks or not all(Path(path).expanduser().exists() for path in needed):
        return ""
    ran = CliRunner().invoke(cli, [verb, *arguments], input="")
    if ran.exit_code == 0:
        return ""
    return f"it exits with {ran.exit_code}: {ran.exception!r} {ran.output[-300:]}"


def load(recipe: Path, given: dict[str, Any]) -> str:
    try:
        loaded = load_recipe(
            recipe, STAGES, overrides=given["overrides"], swaps=given.get("swaps", ()), budget=given.get("budget")
        )
    except (GroundupError, OSError) as error:
        return f"{type(error).__name__}: {error}"
    if given.get("only") is not None and given["only"] not in loaded.stages:
        return f"the recipe has no stage {given['only']!r}"
    return ""


def test_the_report_names_commands_that_exist(learner: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(learner)
    found = re.findall(r"<pre>(groundup [^<]+)</pre>", (learner / "runs" / "quickstart" / "report.html").read_text())
    commands = [html.unescape(line).replace("yours.txt", "README.md") for line in found]
    assert {shlex.split(line)[1] for line in commands} >= {"chat", "serve", "generate", "eval"}
    assert [problem for line in commands if (problem := check(line))] == []


@pytest.mark.row("L.7")
def test_projects_take_own_data(learner: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The overrides that point each project at the learner's own files are keys of its recipe."""
    monkeypatch.chdir(learner)
    commands = [project.command_line(own=True) for project in load_projects() if project.recipes]
    assert len(commands) > 8
    assert [f"{line}: {problem}" for line in commands if (problem := check(line))] == []


def test_what_is_wrong_is_found(learner: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(learner)
    monkeypatch.setenv("GROUNDUP_HOME", str(tmp_path / "progress"))
    right = [
        "groundup run recipes/quickstart.yaml base.num_steps=3 --budget 3m",
        "make test ARGS='-k tokenizer'",
        "pip install -e '.[serve,learn]'",
        "GROUNDUP_API_KEY=secret123 groundup serve runs/quickstart --port 8080",
        "groundup generate runs/quickstart/base 'def ' --max-tokens 2",
        "groundup check 5.4 exercise_5_4.py",
    ]
    wrong = [
        "groundup runn recipes/quickstart.yaml",
        "groundup run recipes/quickstart.yaml base.num_stepz=3",
        "groundup run recipes/quickstart.yaml --bugdet 3m",
        "groundup run recipes/nothing.yaml",
        "groundup run recipes/quickstart.yaml --only nothing",
        "groundup lab 3.99",
        "groundup check 5.99 mine.py",
        "groundup eval runs/quickstart/data --text README.md",
        "groundup calc '2 +'",
        "make nothing",
        "pip install 'groundup[nothing]'",
    ]
    assert [line for line in right if check(line)] == []
    assert [line for line in wrong if not check(line)] == []
    assert execute(Block("python", 1, "undefined_name"), {}, Path("page.md")).startswith("NameError")
    assert [part for _, part in lines(Block("bash", 1, "a \\\n  b  # why\nc && d | e\n"))] == ["a    b", "c", "d", "e"]
