"""Instruction pairs built from a corpus: collected, deduplicated, balanced between kinds, phrased.

The pairs of a split come from that split's documents only, and no question of train stands in another split. Everything is
a function of the documents and the seed.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import Any

from ..core.artifact import atomic_write
from ..core.types import Document
from . import python_pairs, text_pairs
from .python_pairs import Pair
from .split import SPLITS

PHRASINGS: dict[str, tuple[str, ...]] = {**python_pairs.PHRASINGS, **text_pairs.PHRASINGS}


@dataclass
class Pairs:
    """Pairs per split, and what was left out of them."""

    by_split: dict[str, list[Pair]] = field(default_factory=lambda: {split: [] for split in SPLITS})
    left_out: Counter[str] = field(default_factory=Counter)

    def counts(self) -> dict[str, dict[str, int]]:
        """Split -> kind -> pairs."""
        return {split: dict(sorted(Counter(p.kind for p in pairs).items())) for split, pairs in self.by_split.items()}


def build_pairs(
    read: Callable[[str], Iterable[Document]],
    *,
    seed: int,
    min_python_pairs: int,
    max_per_kind: int,
    max_ratio: float,
    on_document: Callable[[], None] = lambda: None,
) -> Pairs:
    """Pairs of every split of a corpus; `read(split)` gives its documents.

    With fewer than `min_python_pairs` of Python in train, pairs from the texts are added. No kind gets more than
    `max_per_kind` pairs, nor more than `max_ratio` times as many as the scarcest kind.
    """
    found = {split: list(_python_pairs(read(split), on_document)) for split in SPLITS}
    _keep_unique_names(found)
    if len(found["train"]) < min_python_pairs:
        texts = {split: [d for d in read(split) if not python_pairs.is_python(d)] for split in SPLITS}
        named = len({text_pairs.title_of(d) for documents in texts.values() for d in documents} - {""}) > 1
        for split in SPLITS:
            found[split] += [pair for d in texts[split] for pair in text_pairs.pairs_of(d, named=named)]
    pairs = Pairs()
    seen: set[tuple[str, str]] = set()
    for split in SPLITS:
        fresh = _without_copies(found[split], seen, pairs.left_out)
        pairs.by_split[split] = _balanced(fresh, seed, max_per_kind, max_ratio, pairs.left_out)
    return pairs


def _python_pairs(documents: Iterable[Document], on_document: Callable[[], None]) -> Iterator[Pair]:
    for document in documents:
        on_document()
        if not python_pairs.is_python(document) or python_pairs.is_test(document.id):
            continue
        tree = python_pairs.parse_source(document.text)
        if tree is not None:
            yield from python_pairs.pairs_of(document, tree)


def _keep_unique_names(found: dict[str, list[Pair]]) -> None:
    """Ask for the module only of names that one module of the whole corpus has: else there are several right answers."""
    modules: dict[str, set[str]] = {}
    for pairs in found.values():
        for pair in pairs:
            if pair.kind == python_pairs.MODULE:
                modules.setdefault(pair.slots["name"], set()).add(pair.answer)
    for split, pairs in found.items():
        found[split] = [p for p in pairs if p.kind != python_pairs.MODULE or len(modules[p.slots["name"]]) == 1]


def _without_copies(pairs: Iterable[Pair], seen: set[tuple[str, str]], left_out: Counter[str]) -> list[Pair]:
    """Pairs whose question was not asked before, in this split or an earlier one."""
    kept = []
    for pair in pairs:
        key = (pair.kind, json.dumps(pair.slots, sort_keys=True))
        if key in seen:
            left_out["the same question again"] += 1
        else:
            seen.add(key)
            kept.append(pair)
    return kept


def _balanced(pairs: list[Pair], seed: int, max_per_kind: int, max_ratio: float, left_out: Counter[str]) -> list[Pair]:
    """At most the limit of each kind, chosen and ordered by a hash, so that kinds are mixed."""
    counts = Counter(pair.kind for pair in pairs)
    limit = min([max_per_kind, *(max(1, int(n * max_ratio)) for n in counts.values())])
    kept: list[Pair] = []
    taken: Counter[str] = Counter()
    for pair in sorted(pairs, key=lambda p: _draw(seed, p.id)):
        taken[pair.kind] += 1
        if taken[pair.kind] <= limit:
            kept.append(pair)
        else:
            left_out["more of its kind than the balance allows"] += 1
    return kept


def _draw(seed: int, name: str) -> bytes:
    return blake2b(f"{seed} {name}".encode("utf-8", errors="replace"), digest_size=8).digest()


def example_of(pair: Pair, seed: int) -> dict[str, Any]:
    """The pair in the messages format, in one of its kind's phrasings."""
    phrasings = PHRASINGS[pair.kind]
    chosen = phrasings[_draw(seed, f"phrasing {pair.id}")[0] % len(phrasings)]
    question = chosen.format_map(pair.slots)
    messages = [{"role": "user", "content": question}, {"role": "assistant", "content": pair.answer}]
    return {"messages": messages, "kind": pair.kind, "id": pair.id, **pair.extra}


def write_pairs(pairs: Pairs, directory: Path, *, seed: int) -> Mapping[str, int]:
    """One JSON-lines file per split. Returns characters of the assistant's side per split."""
    characters: dict[str, int] = {}
    for split, rows in pairs.by_split.items():
        characters[split] = sum(len(pair.answer) for pair in rows)
        with atomic_write(directory / f"{split}.jsonl") as file:
            for pair in rows:
                file.write(json.dumps(example_of(pair, seed), ensure_ascii=False).encode("utf-8", "replace") + b"\n")
    return characters
