"""Pairs of texts, a source and what it becomes: sentences with their translations, articles with their summaries.

The stage reads two files whose lines belong together, or rows (JSON lines, CSV, TSV) with a column for each side, or makes pairs
itself; it drops what cannot be learned from, and splits. What it makes is a `documents` artifact whose documents are the pairs, both
sides in one text, so that a tokenizer is trained on it like on any other; `read_pairs` gives the two sides back.

Left out: aligning texts whose lines do not correspond.
"""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from ..core.artifact import atomic_write
from ..core.errors import ConfigError, DataError
from ..core.recipe import StageContext
from ..text.decode import decode
from .card import write_card
from .docstring_summaries import docstring_summaries
from .documents import read_documents
from .files import FoundFile, find_files, fingerprint, read_bytes
from .formats import parse_row
from .made.translation import made_translations
from .split import SPLITS, Split, hash_position

_LIMIT_BYTES = 1 << 31
_MOST_MADE = 500_000
_TABLES = {".csv": ",", ".tsv": "\t"}


@dataclass(frozen=True, slots=True)
class TextPair:
    id: str
    source: str
    target: str


@dataclass(frozen=True, kw_only=True)
class ParallelStage:
    """Read pairs of texts, check and split them. Without any path the pairs are made."""

    source_path: str | None = None
    target_path: str | None = None
    """Two files with as many lines, plain or compressed; line n of one belongs to line n of the other."""
    validation_source_path: str | None = None
    validation_target_path: str | None = None
    test_source_path: str | None = None
    test_target_path: str | None = None
    """Parts that are split already; what is not given is cut from the training part by `split`."""
    path: str | None = None
    """Or rows: a .jsonl, .csv or .tsv file, folder or glob, with a column for each side."""
    validation_path: str | None = None
    test_path: str | None = None
    source_field: str = "source"
    target_field: str = "target"
    made: Literal["translation", "docstrings"] = "translation"
    """What is made where no path is given. translation: sentences of a small grammar, English to French. docstrings: of each documented
    function of the standard library the first line (the summary) and the rest (the text)."""
    num_pairs: int = 8000
    """How many are made (of docstrings: at most)."""
    max_characters: int = 2000
    """Pairs with a longer side are dropped."""
    max_length_ratio: float = 0.0
    """Pairs with a side this many times as long as the other are dropped, as misaligned lines are; 0 keeps all."""
    split: Split = field(default_factory=lambda: Split(by="document", validation=0.05, test=0.05))
    licence: str = ""
    type: Literal["parallel"] = "parallel"
    kind = "documents"

    def __post_init__(self) -> None:
        for side, other in (
            ("source_path", "target_path"),
            ("validation_source_path", "validation_target_path"),
            ("test_source_path", "test_target_path"),
        ):
            if (getattr(self, side) is None) != (getattr(self, other) is None):
                missing = side if getattr(self, side) is None else other
                raise ConfigError("is missing: line-aligned files come in twos", path=missing, hint=f"{missing}=<file>")
        if self.path is not None and self.source_path is not None:
            raise ConfigError("give rows (path) or two aligned files (source_path, target_path), not both", path="path")
        if not 1 <= self.num_pairs <= _MOST_MADE:
            raise ConfigError(f"must be 1 to {_MOST_MADE:,}, not {self.num_pairs}", path="num_pairs")

    def inputs(self) -> Sequence[str]:
        return ()

    def fingerprint(self) -> str:
        names = ("source_path", "target_path", "validation_source_path", "validation_target_path",
                 "test_source_path", "test_target_path", "path", "validation_path", "test_path")  # fmt: skip
        paths = [getattr(self, name) for name in names]
        return "|".join("" if path is None else fingerprint(find_files(path)) for path in paths)

    def run(self, context: StageContext) -> Mapping[str, Any]:
        given = self._parts(context.seed)
        dropped: Counter[str] = Counter()
        seen: set[tuple[str, str]] = set()
        kept: dict[str, list[TextPair]] = {}
        for split in ("test", "validation", "train"):  # what is held out is not trained on
            if split in given:
                kept[split] = list(self._kept(given[split], dropped, seen, held_out=split != "train"))
        parts = self._splits(kept)
        if not parts["train"]:
            raise DataError(
                f"no pair is left to train on; dropped: {dict(dropped) or 'none'}",
                hint="look at the files, and at max_characters and max_length_ratio",
            )
        source = self.path or self.source_path or f"made: {self.made}"
        rows = {split: _write(context.directory / f"{split}.jsonl", parts[split], source) for split in SPLITS}
        card = {
            "kind": "documents",
            "form": "parallel",
            "source": source,
            "licence": self.licence
            or ("none needed: made by a program" if source.startswith("made") else "not stated"),
            "documents_in": sum(len(part) for part in parts.values()) + sum(dropped.values()),
            "documents_kept": sum(len(part) for part in parts.values()),
            "documents_dropped": sum(dropped.values()),
            "splits": rows,
            "dropped": dict(dropped.most_common()),
        }
        write_card(
            context.directory,
            card,
            title=f"Pairs of texts: {Path(source).name}",
            text="JSON lines, one pair each: `text` is both sides, `meta` has them apart (`groundup.data.parallel.read_pairs`).",
        )
        return {
            "pairs": {split: len(parts[split]) for split in SPLITS},
            "dropped": dict(dropped),
            "words_per_pair": _mean_words(parts["train"]),
            "example": {"source": parts["train"][0].source, "target": parts["train"][0].target},
        }

    def _parts(self, seed: int) -> dict[str, Iterable[TextPair]]:
        """The splits that are given, as they are read."""
        if self.path is not None:
            paths = {"train": self.path, "validation": self.validation_path, "test": self.test_path}
            return {split: self._rows(path) for split, path in paths.items() if path is not None}
        if self.source_path is not None:
            both = {
                "train": (self.source_path, self.target_path),
                "validation": (self.validation_source_path, self.validation_target_path),
                "test": (self.test_source_path, self.test_target_path),
            }
            return {split: aligned_lines(a, b) for split, (a, b) in both.items() if a is not None and b is not None}
        if self.made == "docstrings":
            return {"train": (TextPair(*pair) for pair in docstring_summaries(self.num_pairs))}
        made = made_translations(self.num_pairs, seed)
        return {"train": (TextPair(f"made:{n}", a, b) for n, (a, b) in enumerate(made, start=1))}

    def _kept(
        self, pairs: Iterable[TextPair], dropped: Counter[str], seen: set[tuple[str, str]], *, held_out: bool
    ) -> Iterator[TextPair]:
        """A published test file is scored as it is: only pairs with an empty side are left out of it."""
        for pair in pairs:
            lengths = sorted((len(pair.source), len(pair.target)))
            if lengths[0] == 0:
                dropped["an empty side"] += 1
            elif not held_out and (pair.source, pair.target) in seen:
                dropped["the same pair again"] += 1
            elif not held_out and lengths[1] > self.max_characters:
                dropped[f"longer than {self.max_characters} characters"] += 1
            elif not held_out and self.max_length_ratio and lengths[1] > self.max_length_ratio * lengths[0]:
                dropped[f"one side more than {self.max_length_ratio:g} times the other"] += 1
            else:
                seen.add((pair.source, pair.target))
                yield pair

    def _splits(self, kept: Mapping[str, list[TextPair]]) -> dict[str, list[TextPair]]:
        """What was not given is cut from train, all pairs with one source together."""
        groups: dict[str, list[TextPair]] = {}
        for pair in kept["train"]:
            groups.setdefault(pair.source, []).append(pair)
        wanted = Split(
            by="document",
            validation=0.0 if "validation" in kept else self.split.validation,
            test=0.0 if "test" in kept else self.split.test,
        )
        made: dict[str, list[TextPair]] = {split: list(kept.get(split, ())) for split in SPLITS}
        made["train"] = []
        for place, group in zip(wanted.assign([hash_position(s) for s in groups]), groups.values(), strict=True):
            made[SPLITS[place]] += group
        return made

    def _rows(self, path: str) -> Iterator[TextPair]:
        for file in find_files(path):
            text = decode(read_bytes(file, limit_bytes=_LIMIT_BYTES)).text
            rows = _table_rows(file, text) if file.suffix in _TABLES else _json_rows(file, text)
            for number, row in rows:
                where = f"{file.path}, row {number}"
                sides = []
                for name in (self.source_field, self.target_field):
                    value = row.get(name)
                    if not isinstance(value, str):
                        raise DataError(
                            f"{where}: {name!r} is {'missing' if value is None else type(value).__name__}, text is needed; "
                            f"the row has {', '.join(map(repr, row)) or 'nothing'}",
                            hint="name the columns: source_field, target_field",
                        )
                    sides.append(value.strip())
                yield TextPair(f"{file.name}:{number}", sides[0], sides[1])


def aligned_lines(source_path: str, target_path: str) -> Iterator[TextPair]:
    """Line n of one file with line n of the other. DataError says where they part."""
    sources, targets = (
        [line for file in find_files(path) for line in _lines(file)] for path in (source_path, target_path)
    )
    if len(sources) != len(targets):
        raise DataError(
            f"{source_path} has {len(sources):,} lines and {target_path} {len(targets):,}; they must have as many",
            hint="are they of one corpus, and is no line lost at the end?",
        )
    name = Path(source_path).name
    for number, (source, target) in enumerate(zip(sources, targets, strict=True), start=1):
        yield TextPair(f"{name}:{number}", source.strip(), target.strip())


def _lines(file: FoundFile) -> list[str]:
    text = decode(read_bytes(file, limit_bytes=_LIMIT_BYTES)).text
    lines = text.split("\n")
    return lines[:-1] if lines[-1] == "" else lines


def _json_rows(file: FoundFile, text: str) -> Iterator[tuple[int, Mapping[str, Any]]]:
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            where = f"{file.path}, row {number}"
            row = parse_row(line, where)
            if isinstance(row, DataError):
                raise row
            if not isinstance(row, Mapping):
                raise DataError(f"{where}: must be an object, not {type(row).__name__}")
            yield number, row


def _table_rows(file: FoundFile, text: str) -> Iterator[tuple[int, Mapping[str, Any]]]:
    csv.field_size_limit(_LIMIT_BYTES - 1)
    quoting: Any = csv.QUOTE_MINIMAL if file.suffix == ".csv" else csv.QUOTE_NONE
    reader: csv.DictReader[str] = csv.DictReader(
        io.StringIO(text, newline=""), delimiter=_TABLES[file.suffix], quoting=quoting
    )
    try:
        for row in reader:
            yield reader.line_num, row
    except csv.Error as error:
        raise DataError(f"{file.path}, row {reader.line_num}: not valid: {error}") from None


def _write(path: Path, pairs: Sequence[TextPair], source: str) -> dict[str, int]:
    size = 0
    with atomic_write(path) as file:
        for pair in pairs:
            text = f"{pair.source}\n{pair.target}"
            size += len(text.encode("utf-8", "replace"))
            row = {
                "id": pair.id,
                "text": text,
                "source": source,
                "meta": {"source": pair.source, "target": pair.target},
            }
            file.write(json.dumps(row, ensure_ascii=False).encode("utf-8", "replace") + b"\n")
    return {"documents": len(pairs), "text_bytes": size}


def _mean_words(pairs: Sequence[TextPair]) -> dict[str, float]:
    counts = {"source": 0, "target": 0}
    for pair in pairs:
        counts["source"] += len(pair.source.split())
        counts["target"] += len(pair.target.split())
    return {side: round(count / len(pairs), 2) for side, count in counts.items()}


def read_pairs(directory: Path | str, split: str) -> Iterator[TextPair]:
    """The pairs of one split, in order. DataError if the documents there are no pairs."""
    for document in read_documents(directory, split):
        source, target = document.meta.get("source"), document.meta.get("target")
        if not isinstance(source, str) or not isinstance(target, str):
            raise DataError(
                f"{directory} holds documents, not pairs: {document.id!r} has no two sides",
                hint="name a stage of type parallel",
            )
        yield TextPair(document.id, source, target)
