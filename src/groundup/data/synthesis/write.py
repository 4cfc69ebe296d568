"""Made rows as a directory of kind `instruct`: splits, what was dropped, and the card that says how it came about."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ...core.artifact import atomic_write
from ..card import write_card
from ..split import SPLITS, Split, hash_position
from .diversity import diversity
from .made import Made, encodable

DROPPED = "dropped.jsonl"
_HEAD_CHARACTERS = 200
_EXAMPLES_PER_KIND = 2


def write_made(rows: Sequence[Made], directory: Path, split: Split) -> dict[str, list[Made]]:
    """`<split>.jsonl` of the kept rows, `dropped.jsonl` of the others (whole, with reason and detail). Returns the kept."""
    kept = [made for made in rows if made.dropped is None]
    where = split.assign([hash_position(made.id) for made in kept])
    by_split = {name: [m for m, w in zip(kept, where) if w == i] for i, name in enumerate(SPLITS)}
    for name, part in by_split.items():
        _write_lines(directory / f"{name}.jsonl", (made.row for made in part))
    _write_lines(directory / DROPPED, (_dropped_row(made) for made in rows if made.dropped is not None))
    return by_split


def write_made_card(
    directory: Path,
    rows: Sequence[Made],
    by_split: Mapping[str, Sequence[Made]],
    *,
    source: str,
    model: str,
    seed: int,
    makers: Sequence[Mapping[str, Any]],
    filters: Sequence[Mapping[str, Any]],
    prompts: Mapping[str, str],
    usage: Mapping[str, int],
) -> dict[str, Any]:
    """card.json and README.md. makers and filters: one row of figures each. Returns the card."""
    kept = [made for part in by_split.values() for made in part]
    counts = {name: Counter(str(m.row["kind"]) for m in part) for name, part in by_split.items()}
    kinds = sorted({kind for part in counts.values() for kind in part})
    card: dict[str, Any] = {
        "kind": "instruct",
        "source": source,
        "licence": _licence(model),
        "model": model or "none (templates)",
        "seed": seed,
        "splits": {name: {"examples": len(part)} for name, part in by_split.items()},
        "kinds": {kind: {name: counts[name].get(kind, 0) for name in SPLITS} for kind in kinds},
        "makers": list(makers),
        "filters": list(filters),
        "left_out": dict(Counter(m.dropped for m in rows if m.dropped is not None).most_common()),
        "diversity": diversity(kept, seed=seed),
        "usage": dict(usage),
        "prompts": [{"prompt": name, "text": text} for name, text in prompts.items()],
        "examples": _examples(kept),
    }
    write_card(
        directory,
        card,
        title=f"Made instruction data: {source}",
        text="Made by a program, not by people. What was refused or filtered out is in `dropped.jsonl` with its reason.",
    )
    return card


def _licence(model: str) -> str:
    if model:
        return f"that of the outputs of {model}; see its terms before you train on them or pass them on"
    return "made from templates of this project; Apache-2.0"


def _examples(kept: Iterable[Made]) -> list[dict[str, str]]:
    shown: Counter[str] = Counter()
    examples = []
    for made in kept:
        kind = str(made.row["kind"])
        shown[kind] += 1
        if shown[kind] <= _EXAMPLES_PER_KIND:
            text = " / ".join(encodable(made.text).split("\n\n"))[:_HEAD_CHARACTERS]
            examples.append({"kind": kind, "id": made.id, "text": text})
    return examples


def _dropped_row(made: Made) -> dict[str, Any]:
    text = made.text
    return {
        "id": made.id,
        "reason": made.dropped,
        "detail": made.detail,
        "source": str(made.row["kind"]),
        "characters": len(text),
        "head": text[:_HEAD_CHARACTERS],
        "row": made.row,
    }


def _write_lines(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    with atomic_write(path) as file:
        for row in rows:
            # A model can write half a surrogate pair, which no UTF-8 file can hold.
            file.write(json.dumps(row, ensure_ascii=False).encode("utf-8", "replace") + b"\n")
