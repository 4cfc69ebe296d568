"""Data cards: `card.json` for programs, `README.md` for people, from the same figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..core.artifact import read_json, write_json, write_text
from ..core.errors import DataError

CARD = "card.json"


def write_card(directory: Path, card: Mapping[str, Any], *, title: str, text: str) -> None:
    """`card` as JSON, and a page that opens with `text` and tells the rest."""
    write_json(directory / CARD, {"title": title, **card})
    write_text(directory / "README.md", f"# {title}\n\n{text.strip()}\n\n{card_page(card)}")


def read_card(directory: Path | str) -> dict[str, Any]:
    card = read_json(Path(directory) / CARD)
    if not isinstance(card, dict):
        raise DataError(f"{directory}/{CARD} does not hold a data card", hint="make the data again")
    return card


def card_page(card: Mapping[str, Any]) -> str:
    """Every figure of a card as Markdown: scalars as a list, lists of rows and mappings as tables."""
    lines: list[str] = []
    scalars = {k: v for k, v in card.items() if not isinstance(v, (Mapping, list, tuple))}
    lines += [f"- {_words(key)}: {_cell(value)}" for key, value in scalars.items() if value != ""]
    for key, value in card.items():
        if isinstance(value, Mapping) and value:
            lines += ["", f"## {_words(key)}", "", *_mapping_table(value)]
        elif isinstance(value, (list, tuple)) and value and isinstance(value[0], Mapping):
            lines += ["", f"## {_words(key)}", "", *_table(value)]
        elif isinstance(value, (list, tuple)) and value:
            lines += ["", f"## {_words(key)}", "", *(f"- {_cell(v)}" for v in value)]
    return "\n".join(lines) + "\n"


def _mapping_table(value: Mapping[str, Any]) -> list[str]:
    if all(isinstance(v, Mapping) for v in value.values()):
        return _table([{"": k, **v} for k, v in value.items()])
    return ["| | |", "|---|---:|", *(f"| {_cell(k)} | {_cell(v)} |" for k, v in value.items())]


def _table(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    columns = list(dict.fromkeys(key for row in rows for key in row))
    head = "| " + " | ".join(_words(c) for c in columns) + " |"
    rule = "|" + "---|" * len(columns)
    return [head, rule, *("| " + " | ".join(_cell(row.get(c, "")) for c in columns) + " |" for row in rows)]


def _words(key: str) -> str:
    return key.replace("_", " ")


def _cell(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, Mapping):
        return "; ".join(f"{k}: {_cell(v)}" for k, v in value.items())
    return " ".join(str(value).split()).replace("|", "\\|")
