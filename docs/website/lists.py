"""Pages that are lists: recipes, commands, the glossary, decisions; each from the place where it is kept."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import click
import yaml

from groundup.cli.main import VERBS, cli

from .links import Links, in_cell, plain
from .roadmap_pages import chapter_page, row_page
from .sources import ROOT

GLOSSARY = ROOT / "docs" / "glossary.yaml"


@dataclass(frozen=True, kw_only=True)
class Term:
    term: str
    meaning: str
    where: tuple[str, ...]
    """Addresses in the library: `groundup.nn.norm:RMSNorm`, a module, a file such as `recipes/lora.yaml`."""
    chapter: int | None
    row: str | None
    """Where in the roadmap it is taught."""
    also: tuple[str, ...]
    """Other names of it."""

    @property
    def anchor(self) -> str:
        return re.sub(r"[^a-z0-9]+", "-", self.term.lower()).strip("-")


def glossary_terms(path: Path = GLOSSARY) -> list[Term]:
    """The terms in alphabetical order."""
    found = []
    for entry in yaml.safe_load(path.read_text(encoding="utf-8")):
        place = entry.get("in")
        row = str(place) if place is not None and "." in str(place) else None
        found.append(
            Term(
                term=entry["term"],
                meaning=" ".join(entry["meaning"].split()),
                where=tuple(entry.get("where", ())),
                chapter=int(str(place).partition(".")[0]) if place is not None else None,
                row=row,
                also=tuple(entry.get("also", ())),
            )
        )
    return sorted(found, key=lambda t: t.term.casefold())


def glossary_page(links: Links) -> str:
    terms = glossary_terms()
    letters = sorted({t.term[0].upper() for t in terms})
    parts = [
        "# Glossary",
        f"{len(terms)} terms of the field as this library uses them, each with where it lives: the code, and the chapter that teaches it.",
        " ".join(f"[{letter}](#{letter.lower()}-terms)" for letter in letters),
    ]
    for letter in letters:
        parts.append(f"## {letter} {{#{letter.lower()}-terms}}")
        for term in terms:
            if term.term[0].upper() != letter:
                continue
            places = []
            for address in term.where:
                home = links.address(address)
                places.append(f"[`{address.removeprefix('groundup.')}`]({home})" if home else f"`{address}`")
            if term.chapter is not None:
                places.append(
                    f"[row {term.row}]({row_page(term.row)})"
                    if term.row
                    else f"[chapter {term.chapter}]({chapter_page(term.chapter)})"
                )
            also = f" Also: {', '.join(term.also)}." if term.also else ""
            parts.append(
                f"### {term.term} {{#{term.anchor}}}\n\n{plain(term.meaning)}{also} *{' · '.join(places)}*{{.where}}"
            )
    return "\n\n".join(parts) + "\n"


def recipes_page(links: Links) -> str:
    parts = [
        "# Recipes",
        "A recipe is one run, as YAML: stages, and what each reads. `groundup run recipes/NAME.yaml` runs it, `--dry-run` checks it, "
        "`--print` shows every setting there is, and any key can be set behind it: `base.num_steps=200`. "
        "[Your own text](guides/your-own-text.md) and [your own part](guides/your-own-part.md) change them.",
    ]
    rows, bodies = [], []
    for path in sorted((ROOT / "recipes").glob("*.yaml")):
        text = path.read_text(encoding="utf-8")
        recipe = yaml.safe_load(text)
        stages = [v["type"] for v in recipe.values() if isinstance(v, dict) and "type" in v]
        about = in_cell(plain(str(recipe.get("description", ""))))
        rows.append(f"| [`{path.stem}`](#{path.stem}) | {about} | {' → '.join(dict.fromkeys(stages))} |")
        bodies.append(
            f"## {path.stem} {{#{path.stem}}}\n\n{plain(str(recipe.get('description', '')))}\n\n```yaml\n{text.rstrip()}\n```"
        )
    return (
        "\n\n".join([*parts, "| recipe | what it makes | stages |\n|---|---|---|\n" + "\n".join(rows), *bodies]) + "\n"
    )


def commands_page() -> str:
    """Every verb of the command line as its own help tells it."""
    parts = [
        "# Commands",
        "`groundup VERB --help` prints the same. Every verb takes `--json` where it prints figures, and ends with one of the "
        "[exit codes](errors/index.md#exit-codes).",
        "| verb | what it does |\n|---|---|\n"
        + "\n".join(f"| [`{verb}`](#{verb}) | {said} |" for verb, said in VERBS.items()),
    ]
    root = click.Context(cli, info_name="groundup", max_content_width=96, terminal_width=96)
    for verb in VERBS:
        command = cli.get_command(root, verb)
        assert command is not None
        parts.append(f"## {verb} {{#{verb}}}\n\n```text\n{_help(command, verb, root)}\n```")
    return "\n\n".join(parts) + "\n"


def _help(command: click.Command, verb: str, parent: click.Context) -> str:
    context = click.Context(command, info_name=verb, parent=parent, max_content_width=96, terminal_width=96)
    told = command.get_help(context)
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            below = command.get_command(context, name)
            if below is not None:
                told += f"\n\n{_help(below, name, context)}"
    return told


def decisions() -> list[tuple[str, Path]]:
    """Title and file of each decision note, oldest first."""
    found = []
    for path in sorted((ROOT / "docs" / "decisions").glob("*.md")):
        head = path.read_text(encoding="utf-8").partition("\n")[0]
        found.append((head.lstrip("# ").strip(), path))
    return found
