"""What `groundup data` shows: a data directory's figures, its dropped documents by reason, one document."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from ..core.artifact import SEAL, read_seal
from ..core.config import did_you_mean
from ..core.errors import DataError
from .card import card_page, read_card
from .documents import read_documents, read_dropped
from .messages import read_examples, read_feedback, read_preferences
from .shards import INDEX, TokenShards, read_index
from .split import SPLITS

KINDS = ("documents", "tokens", "instruct", "preference", "feedback", "table")
_READ_ROWS: dict[Any, Callable[[Path, str], Iterator[dict[str, Any]]]] = {
    "instruct": read_examples,
    "preference": read_preferences,
    "feedback": read_feedback,
}
_MAX_SUGGESTED = 5


def data_directories(path: Path | str) -> dict[str, Path]:
    """Name -> directory of every data artifact that `path` means: itself, or those of a run directory.

    Raises DataError when there is none.
    """
    path = Path(path)
    candidates = [path] if (path / SEAL).is_file() else sorted(p.parent for p in path.glob(f"*/{SEAL}"))
    found = {p.name: p for p in candidates if read_seal(p).kind in KINDS}
    if not found:
        raise DataError(
            f"{path} holds no {', '.join(KINDS[:-1])} or {KINDS[-1]} made by groundup",
            hint="groundup runs lists the runs; give one of them, or its data directory",
        )
    return found


def summarise(directory: Path | str) -> dict[str, Any]:
    """The card of one data directory; for token shards also the check of every shard (`quarantined`)."""
    card = read_card(directory)
    if card.get("kind") == "tokens":
        card["quarantined"] = quarantined(directory)
    return card


def quarantined(directory: Path | str) -> list[dict[str, str]]:
    """Damaged shards of every split: split, shard, reason."""
    rows: list[dict[str, str]] = []
    for split, shards in read_index(directory).splits.items():
        try:
            bad = TokenShards.open(directory, split).quarantined if shards else ()
        except DataError as error:
            rows.append({"split": split, "shard": "all", "reason": str(error)})
            continue
        rows += [{"split": split, "shard": name, "reason": reason} for name, reason in bad]
    return rows


def summary_page(directory: Path | str) -> str:
    """`summarise` as text for a terminal (Markdown)."""
    card = summarise(directory)
    return f"# {card.get('title', directory)}\n\n" + card_page({k: v for k, v in card.items() if k != "title"})


def dropped_documents(directory: Path | str, reason: str | None = None) -> Iterator[dict[str, Any]]:
    """Rows of dropped documents whose reason contains `reason`. DataError when no document has it."""
    reasons: set[str] = set()
    matched = False
    for row in read_dropped(directory):
        reasons.add(str(row["reason"]))
        if reason is None or reason in row["reason"]:
            matched = True
            yield row
    if reason is not None and not matched:
        raise DataError(
            f"no document of {directory} was dropped for {reason!r}", hint=did_you_mean(reason, sorted(reasons))
        )


def show_document(directory: Path | str, document_id: str) -> dict[str, Any]:
    """One document, dropped document or instruction example by its id, with the split it is in.

    In token shards ids are `split:number`, and the answer has the token ids.
    """
    directory = Path(directory)
    if (directory / INDEX).is_file():
        return _show_tokens(directory, document_id)
    read = _READ_ROWS.get(read_card(directory).get("kind"))
    if read is not None:
        rows = ((split, row) for split in SPLITS for row in read(directory, split))
    else:
        rows = (
            (split, {"id": d.id, "source": d.source, "meta": dict(d.meta), "text": d.text})
            for split in SPLITS
            for d in read_documents(directory, split)
        )
    near: list[str] = []
    for split, row in rows:
        if str(row["id"]) == document_id:
            return {"split": split, **row}
        if document_id in str(row["id"]) and len(near) < _MAX_SUGGESTED:
            near.append(str(row["id"]))
    if (directory / "dropped.jsonl").is_file():
        for row in read_dropped(directory):
            if row["id"] == document_id:
                return {"split": "dropped", **row}
    raise DataError(
        f"{directory} has no document {document_id!r}",
        hint="ids like it: " + ", ".join(near) if near else "ids are relative paths, as in dropped.jsonl",
    )


def _show_tokens(directory: Path, name: str) -> dict[str, Any]:
    split, _, number = name.rpartition(":")
    if not number.isdigit():
        raise DataError(f"{name!r} is no document of token shards", hint="write split:number, for example train:0")
    shards = TokenShards.open(directory, split)
    try:
        ids = shards.document(int(number))
    except IndexError as error:
        raise DataError(f"{directory}: {error}") from None
    return {"split": split, "id": name, "token_ids": ids.tolist()}
