"""The rows of a run's data, a page at a time: where each row of a JSON-lines file begins is known, the rows themselves stay on disk.

Memory holds eight bytes a row. A search reads the file once, a row at a time, and keeps the numbers of the rows that match.
"""

from __future__ import annotations

import json
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from groundup.core.artifact import SEAL, read_json, sealed_in
from groundup.core.errors import DataError, GroundupError
from groundup.core.protocols import Tokenizer
from groundup.core.run_figures import is_number, read_resolved
from groundup.data.card import CARD
from groundup.data.documents import DROPPED
from groundup.data.shards import INDEX, TokenShards
from groundup.data.split import SPLITS
from groundup.data.tokens import tokenizer_identity

from .token_pieces import Piece, piece_of

PAGE_ROWS = 20
HEAD_CHARACTERS = 160
MOST_FOUND = 10_000
"""Rows that a search keeps the numbers of; nobody pages through more."""
_BLOCK_BYTES = 8 << 20
_KEPT_FILES = 8
"""Files whose row offsets are kept: a run has four or five that are looked at."""
DROPPED_ROWS = DROPPED.removesuffix(".jsonl")


class RowFile:
    """A JSON-lines file whose rows are read one at a time, by number from 0. Blank lines are no rows."""

    def __init__(self, path: Path) -> None:
        """Reads the file once, for the places of its lines. Raises DataError when it cannot be read."""
        self.path = path
        try:
            self.starts = _line_starts(path)
        except OSError as error:
            raise DataError(f"{path} cannot be read: {error.strerror}", hint=f"groundup data {path.parent}") from None

    def __len__(self) -> int:
        return len(self.starts)

    def rows(self, numbers: Sequence[int] | NDArray[np.int64]) -> list[dict[str, Any]]:
        """Those rows. What is no JSON object is a row with `broken`: what is wrong with it."""
        made = []
        with open(self.path, "rb") as file:
            for number in numbers:
                file.seek(int(self.starts[int(number)]))
                made.append(_parsed(file.readline(), self.path, int(number)))
        return made

    def search(
        self, matches: Callable[[Mapping[str, Any]], bool], *, most: int = MOST_FOUND
    ) -> tuple[NDArray[np.int64], bool]:
        """(numbers of the first rows that match, whether there were more than `most`)."""
        found: list[int] = []
        with open(self.path, "rb") as file:
            for number, start in enumerate(self.starts):
                file.seek(int(start))
                if matches(_parsed(file.readline(), self.path, number)):
                    if len(found) == most:
                        return np.array(found, dtype=np.int64), True
                    found.append(number)
        return np.array(found, dtype=np.int64), False


def _line_starts(path: Path) -> NDArray[np.int64]:
    """Where each line begins that is not blank."""
    starts: list[NDArray[np.int64]] = [np.zeros(1, dtype=np.int64)]
    at = 0
    with open(path, "rb") as file:
        while block := file.read(_BLOCK_BYTES):
            ends = np.flatnonzero(np.frombuffer(block, dtype=np.uint8) == 10)
            starts.append(ends.astype(np.int64) + (at + 1))
            at += len(block)
    places = np.concatenate(starts)
    lengths = np.diff(np.append(places, at))
    return places[lengths > 1]  # an empty line, or what follows the last line's end


def _parsed(line: bytes, path: Path, number: int) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        return {"broken": f"{path.name}, row {number + 1}: not valid JSON: {error}"}
    if not isinstance(row, dict):
        return {"broken": f"{path.name}, row {number + 1}: must be an object, not {type(row).__name__}"}
    return row


class RowFiles:
    """Row files that were opened, until they change on disk. For many threads: an index is made once, while others wait."""

    def __init__(self) -> None:
        self._open: OrderedDict[Path, tuple[tuple[int, int], RowFile]] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, path: Path) -> RowFile:
        """Raises DataError when it cannot be read."""
        try:
            state = path.stat()
        except OSError as error:
            raise DataError(f"{path} cannot be read: {error.strerror}", hint=f"groundup data {path.parent}") from None
        stamp = (state.st_mtime_ns, state.st_size)
        with self._lock:
            known = self._open.get(path)
            if known is None or known[0] != stamp:
                known = self._open[path] = (stamp, RowFile(path))
            self._open.move_to_end(path)
            while len(self._open) > _KEPT_FILES:
                self._open.popitem(last=False)
            return known[1]


# --------------------------------------------------------------------------------------------------- what a run has


@dataclass(frozen=True, kw_only=True)
class DataStage:
    """One data artifact of a run."""

    name: str
    path: Path
    kind: str
    card: Mapping[str, Any]
    files: tuple[str, ...]
    """Splits (and `dropped`) that have rows; of token shards the splits with tokens."""


def data_stages(run: Path) -> list[DataStage]:
    """In the order of the recipe. Those that are broken are left out."""
    order = list(read_resolved(run))
    found: list[tuple[int, DataStage]] = []
    for folder, seal in sealed_in(run):
        if not (folder / CARD).is_file():
            continue
        try:
            card = read_json(folder / CARD)
        except (GroundupError, OSError):
            continue
        if not isinstance(card, dict):
            continue
        if (folder / INDEX).is_file():
            splits = card.get("splits")
            files = tuple(s for s in SPLITS if isinstance(splits, dict) and (splits.get(s) or {}).get("tokens"))
        else:
            names = (*SPLITS, DROPPED_ROWS)
            files = tuple(n for n in names if (p := folder / f"{n}.jsonl").is_file() and p.stat().st_size)
        made = DataStage(name=folder.name, path=folder, kind=seal.kind, card=card, files=files)
        found.append((order.index(folder.name) if folder.name in order else len(order), made))
    return [stage for _, stage in sorted(found, key=lambda pair: (pair[0], pair[1].name))]


def runs_with_data(runs: Path) -> list[str]:
    """Names of the runs that have data of their own, the newest first."""
    newest: dict[str, float] = {}
    for card in runs.glob(f"*/*/{CARD}") if runs.is_dir() else ():
        if (card.parent / SEAL).is_file():
            name = card.parent.parent.name
            newest[name] = max(newest.get(name, 0.0), card.stat().st_mtime)
    return sorted(newest, key=lambda name: -newest[name])


# ------------------------------------------------------------------------------------------------------------- rows


def matcher(text: str, reason: str = "") -> Callable[[Mapping[str, Any]], bool]:
    """Whether a row has `text` somewhere in its values, in any case, and (dropped documents) exactly this reason."""
    wanted = text.casefold()

    def matches(row: Mapping[str, Any]) -> bool:
        if reason and row.get("reason") != reason:
            return False
        return not wanted or any(wanted in value.casefold() for value in _texts(row))

    return matches


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from _texts(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _texts(inner)
    elif is_number(value):
        yield str(value)


def title_of(row: Mapping[str, Any], number: int) -> str:
    return str(row.get("id") or f"row {number + 1:,}")


def head_of(row: Mapping[str, Any]) -> str:
    """The beginning of what a row says, in one line."""
    if "broken" in row:
        return str(row["broken"])
    said = turns_of(row)
    text = said[0][1] if said else ""
    line = " ".join(text[: 4 * HEAD_CHARACTERS].split())
    return line if len(line) <= HEAD_CHARACTERS else line[: HEAD_CHARACTERS - 1] + "…"


def size_of(row: Mapping[str, Any]) -> int:
    """Characters of what a row says; of a dropped document, of all of it."""
    if is_number(row.get("characters")):
        return int(row["characters"])
    return sum(len(text) for _, text in turns_of(row))


_PARTS = ("prompt", "chosen", "rejected", "completion", "question", "context", "answer", "source", "target")
_KNOWN = ("id", "text", "meta", "reason", "detail", "characters", "head", "messages", "broken", *_PARTS)


def turns_of(row: Mapping[str, Any]) -> list[tuple[str, str]]:
    """(role or part, text) of what a row says, in order: a document's text, a talk's turns, a preference's two sides."""
    if isinstance(row.get("text"), str):
        return [("text", row["text"])]
    if "head" in row:
        return [("beginning", str(row["head"]))]
    if isinstance(row.get("messages"), list):
        return _turns(row["messages"], "")
    said: list[tuple[str, str]] = []
    for part in _PARTS:
        value = row.get(part)
        if part == "source" and "target" not in row:
            continue
        if isinstance(value, list):
            said += _turns(value, "" if part == "prompt" else part)
        elif value is not None:
            said.append((part, value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)))
    if not said:
        rest = {k: v for k, v in row.items() if k not in ("id", "broken")}
        said = [("row", json.dumps(rest, ensure_ascii=False, indent=1))] if rest else []
    return said


def _turns(messages: list[Any], part: str) -> list[tuple[str, str]]:
    made = []
    for message in messages:
        role = str(message.get("role", "?")) if isinstance(message, Mapping) else "?"
        content = message.get("content") if isinstance(message, Mapping) else message
        text = content if isinstance(content, str) else json.dumps(content, ensure_ascii=False)
        if isinstance(message, Mapping) and message.get("tool_calls"):
            text = f"{text if content else ''}{json.dumps(message['tool_calls'], ensure_ascii=False)}"
        made.append((f"{part}: {role}" if part else role, text))
    return made


def facts_of(row: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What else a row carries: where it is from, why it was dropped, its kind."""
    pairs = [(name, str(row[name])) for name in ("reason", "detail") if row.get(name)]
    for name, value in row.items():
        if name == "meta" and isinstance(value, Mapping):
            pairs += [(str(key), str(inner)) for key, inner in value.items()]
        elif name == "source" and "target" not in row and value:
            pairs.append(("source", str(value)))
        elif name not in _KNOWN and value is not None and not isinstance(value, (dict, list)):
            pairs.append((str(name), str(value)))
    if "text" in row or "characters" in row:
        pairs.append(("characters", f"{size_of(row):,}"))
    return pairs


# ----------------------------------------------------------------------------------------------------------- tokens


@dataclass(frozen=True, kw_only=True)
class Window:
    """Some tokens of a split, as its shards hold them."""

    start: int
    pieces: Sequence[Piece]
    documents: Sequence[int]
    """Number of the document that each token is of."""
    ends: Sequence[bool]
    """Whether the token is the one that ends a document."""


def token_window(shards: TokenShards, tokenizer: Tokenizer, start: int, size: int) -> Window:
    """At most `size` tokens from `start`, which is moved inside. Ids that the tokenizer does not know are shown as their number."""
    start = max(0, min(start, shards.num_tokens - 1))
    stop = min(start + size, shards.num_tokens)
    ids = shards.tokens(start, stop)
    documents = shards.document_numbers(np.arange(start, stop))
    pieces = []
    for token_id in ids.tolist():
        known = 0 <= token_id < tokenizer.vocab_size
        pieces.append(
            piece_of(tokenizer.token_bytes(token_id) if known else f"⟨{token_id}⟩".encode(), token_id=token_id)
        )
    eos = shards.index.eos_id
    return Window(
        start=start, pieces=pieces, documents=documents.tolist(), ends=[eos is not None and i == eos for i in ids.tolist()]
    )  # fmt: skip


def tokenizer_of(run: Path, identity: str, open_tokenizer: Callable[[Path], Tokenizer]) -> Tokenizer:
    """The tokenizer that made the shards: of the run's own, the one with that identity. Raises DataError when none has it."""
    found = [(path, seal) for path, seal in sealed_in(run) if seal.kind in ("tokenizer", "model")]
    for path, seal in found:
        if (seal.facts.get("figures") or {}).get("identity") == identity:
            return open_tokenizer(path)
    for folder, _ in found:
        if (folder / "tokenizer.json").is_file():
            tokenizer = open_tokenizer(folder)
            if tokenizer_identity(tokenizer) == identity:
                return tokenizer
    raise DataError(
        f"no tokenizer in {run} is the one that made these tokens ({identity[:12]}…), so they cannot be read as text",
        hint="run the recipe again: tokenizer and tokens are made again",
    )
