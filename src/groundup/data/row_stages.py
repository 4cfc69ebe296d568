"""The stages of post-training rows: `rows` reads the user's own files, `mix` puts several stages' rows together.

Both write one JSON-lines file per split in the shape's own form, with kind and id. A row's split is told by a hash of its
prompt, so a question is in one split only, however many answers it has and whatever is added later. Left out: judging rows
(heuristics, near-duplicates); exact copies are dropped.
"""

from __future__ import annotations

import heapq
import json
from array import array
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import IO, Any, Literal

from ..core.artifact import atomic_write, read_seal
from ..core.errors import ConfigError, DataError
from ..core.recipe import StageContext
from .card import CARD, read_card, write_card
from .documents import read_rows
from .files import find_files, fingerprint
from .messages import checked
from .row_files import encoded, read_objects
from .rows import SHAPE_FIELDS, Shape, detect, form_named, rename
from .split import SPLITS, Split, hash_position

MAX_PATH_CHARS = 100


def prompt_of(row: Mapping[str, Any]) -> list[Any]:
    """The messages before the first answer: what tells two questions apart."""
    if "messages" not in row:
        return list(row["prompt"])
    turns = row["messages"]
    first = next((i for i, message in enumerate(turns) if message["role"] == "assistant"), len(turns))
    return list(turns[:first])


def digest(value: Any) -> bytes:
    return blake2b(json.dumps(value, sort_keys=True).encode(), digest_size=16).digest()


def content_key(row: Mapping[str, Any], shape: str) -> bytes:
    """The same for rows that say the same, whatever their ids and other fields."""
    return digest({name: row[name] for name in SHAPE_FIELDS[shape] if name in row})


def prompt_key(row: Mapping[str, Any]) -> str:
    return digest([[message["role"], message["content"]] for message in prompt_of(row)]).hex()


def _draw(seed: int, key: bytes) -> float:
    return int.from_bytes(blake2b(key, digest_size=8, key=seed.to_bytes(8, "big")).digest(), "big") / 2**64


@dataclass(frozen=True, kw_only=True)
class RowsStage:
    """Instruction, preference or feedback rows from the user's own files, checked and split."""

    path: str
    """A file, folder or quoted glob: JSON lines, a JSON list (also .gz, .xz, .bz2) or Parquet."""
    format: str | None = None
    """A form of `groundup data convert --help`; by default each row's fields tell it."""
    columns: Mapping[str, str] = field(default_factory=dict)
    """Fields under other names: {completion: answer} reads the file's `answer` as completion."""
    validation: float = 0.03
    test: float = 0.03
    """Shares of the prompts that are held out."""
    limit: int | None = None
    """Keep this many rows, chosen by the seed."""
    on_error: Literal["stop", "drop"] = "stop"
    """What a malformed row does: stop with its file, row and field, or be left out and counted."""
    licence: str = ""
    """What may be done with the rows; written on the data card."""
    type: Literal["rows"] = "rows"

    def __post_init__(self) -> None:
        if self.format is not None:
            form_named(self.format)
        if self.limit is not None and self.limit < 1:
            raise ConfigError(f"limit {self.limit} must be at least 1, or null for all rows", path="limit")
        Split(by="document", validation=self.validation, test=self.test)

    @property
    def kind(self) -> str:
        """instruct, preference or feedback: as the format says, or the first row."""
        return self._shape()

    def _shape(self) -> Shape:
        if self.format is not None:
            return form_named(self.format).shape
        for file in find_files(self.path):
            for number, row in read_objects(file):
                where = f"{file.path}, row {number}"
                try:
                    renamed = rename(row, self.columns, where)
                    if not isinstance(renamed, Mapping):
                        raise DataError(f"{where}: must be an object, not {type(row).__name__}")
                    return detect(renamed, where).shape
                except DataError:
                    if self.on_error == "stop":
                        raise
        raise DataError(f"there is no row in {self.path} whose form could be told", hint="name it: format: messages")

    def inputs(self) -> Sequence[str]:
        return ()

    def fingerprint(self) -> str:
        return fingerprint(find_files(self.path))

    def run(self, context: StageContext) -> Mapping[str, Any]:
        shape = self._shape()
        left_out: Counter[str] = Counter()
        draws, positions = array("d"), array("d")
        seen: set[bytes] = set()
        spool = context.scratch / "rows"
        with context.progress.task("rows") as task, open(spool, "wb") as kept:
            for row in self._checked(shape, left_out):
                key = content_key(row, shape)
                if key in seen:
                    left_out["exact copy of another row"] += 1
                    continue
                seen.add(key)
                kept.write(encoded(row) + b"\n")
                draws.append(_draw(context.seed, key))
                positions.append(hash_position(prompt_key(row)))
                if len(seen) % 500 == 0:
                    task.update(completed=len(seen))
        if not draws:
            raise DataError(f"no row of {self.path} is left", hint=f"left out: {dict(left_out)}")
        chosen = range(len(draws))
        if self.limit is not None and self.limit < len(draws):
            left_out["beyond the limit"] = len(draws) - self.limit
            chosen = sorted(heapq.nsmallest(self.limit, chosen, key=lambda i: (draws[i], i)))  # type: ignore[assignment]
        # Rows of one prompt are one document to the split, so that it stays whole.
        unique = list(dict.fromkeys(positions[i] for i in chosen))
        split = Split(by="document", validation=self.validation, test=self.test)
        split_of = dict(zip(unique, split.assign(unique), strict=True))
        places = {i: split_of[positions[i]] for i in chosen}
        counts, kinds = _write_spooled(spool, places, context.directory)
        spool.unlink()
        return _card(
            context.directory, shape, counts, kinds, left_out,
            source=self.path[:MAX_PATH_CHARS], licence=self.licence or "none stated", title="Rows",
            text="Read from files by the stage `rows`; exact copies are left out, and no prompt is in two splits.",
        )  # fmt: skip

    def _checked(self, shape: Shape, left_out: Counter[str]) -> Iterator[dict[str, Any]]:
        form = None if self.format is None else form_named(self.format)
        for file in find_files(self.path):
            for number, raw in read_objects(file):
                where = f"{file.path}, row {number}"
                try:
                    row = rename(raw, self.columns, where)
                    yield checked(row, where, f"{file.name}:{number}", shape=shape, form=form)
                except DataError as error:
                    if self.on_error == "stop":
                        raise
                    left_out[f"malformed: {error.message.removeprefix(where + ': ')[:60]}"] += 1


@dataclass(frozen=True, kw_only=True)
class MixPart:
    """One ingredient of a mixture."""

    stage: str
    """The stage whose rows are taken."""
    share: float | None = None
    """Its part of the mixture's rows; parts with a share add up as they relate (1 and 3 are 25 % and 75 %). Without one, all."""
    limit: int | None = None
    """At most this many rows of its train split."""

    def __post_init__(self) -> None:
        if self.share is not None and not 0 < self.share < float("inf"):
            raise ConfigError(f"share {self.share} must be above 0", path="share")
        if self.limit is not None and self.limit < 1:
            raise ConfigError(f"limit {self.limit} must be at least 1", path="limit")


@dataclass(frozen=True, kw_only=True)
class MixStage:
    """Rows of several stages of one kind in one artifact, in an order drawn by the seed.

    The shares hold for each split; no row is taken twice, so the scarcest part decides how many there are. A train row whose
    prompt is held out by another part is left out.
    """

    parts: tuple[MixPart, ...]
    of: Literal["instruct", "preference", "feedback"] = "instruct"
    """The kind of rows that all parts hold."""
    type: Literal["mix"] = "mix"

    def __post_init__(self) -> None:
        names = [part.stage for part in self.parts]
        if not names or len(set(names)) != len(names):
            raise ConfigError(f"parts must name at least one stage, each once, not {names}", path="parts")
        shares = sum(part.share is not None for part in self.parts)
        if 0 < shares < len(self.parts):
            raise ConfigError("give every part a share, or none: what is left for the others is not told", path="parts")

    @property
    def kind(self) -> str:
        return self.of

    def inputs(self) -> Sequence[str]:
        return tuple(part.stage for part in self.parts)

    def fingerprint(self) -> str:
        return ""

    def run(self, context: StageContext) -> Mapping[str, Any]:
        for part in self.parts:
            found = read_seal(context.inputs[part.stage]).kind
            if found != self.of:
                raise ConfigError(
                    f"stage {part.stage!r} makes {found}, and this mixture is of {self.of}",
                    path=f"{context.name}.parts", hint=f"name stages of one kind; {context.name}.of says which",
                )  # fmt: skip
        left_out: Counter[str] = Counter()
        held_out: set[str] = set()
        seen: set[bytes] = set()
        taken: dict[str, dict[str, int]] = {}
        counts: Counter[str] = Counter()
        kinds: dict[str, Counter[str]] = {}
        # The held-out splits first: what they ask may not be trained on.
        for split in ("test", "validation", "train"):
            pools = [self._pool(context, part, split, seen, held_out, left_out) for part in self.parts]
            sizes = self._sizes([len(pool) for pool in pools])
            mixed: list[tuple[float, bytes, dict[str, Any]]] = []
            for part, pool, size in zip(self.parts, pools, sizes, strict=True):
                taken.setdefault(part.stage, {})[split] = size
                left_out["more of its part than the mixture takes"] += len(pool) - size
                mixed += heapq.nsmallest(size, pool, key=lambda entry: entry[:2])
            mixed.sort(key=lambda entry: entry[:2])
            with atomic_write(context.directory / f"{split}.jsonl") as file:
                for _, _, row in mixed:
                    file.write(encoded(row) + b"\n")
                    kinds.setdefault(str(row["kind"]), Counter())[split] += 1
            counts[split] = len(mixed)
            if split != "train":
                held_out |= {prompt_key(row) for _, _, row in mixed}
        if not counts["train"]:
            raise DataError(
                "the mixture has no row to train on", hint=f"rows taken: {taken}; left out: {dict(left_out)}"
            )
        figures = _card(
            context.directory, self.of, counts, kinds, +left_out,
            source=" + ".join(part.stage for part in self.parts), licence=_licences(context, self.parts), title="Mixture",
            text="Rows of several stages, mixed; a train row whose prompt is held out by another part is left out.",
        )  # fmt: skip
        return {**figures, "taken": taken}

    def _pool(
        self,
        context: StageContext,
        part: MixPart,
        split: str,
        seen: set[bytes],
        held_out: set[str],
        left_out: Counter[str],
    ) -> list[tuple[float, bytes, dict[str, Any]]]:
        """(draw, key, row) of what may be taken of a part, at most its limit, the lowest draws."""
        path = context.inputs[part.stage] / f"{split}.jsonl"
        pool = []
        for number, raw in read_rows(path) if path.is_file() else ():
            row = checked(raw, f"{path}, row {number}", f"{part.stage}:{split}:{number}", shape=self.of)
            key = content_key(row, self.of)
            if key in seen:
                left_out["exact copy of another row"] += 1
            elif prompt_key(row) in held_out:
                left_out["its prompt is in a split held out"] += 1
            else:
                seen.add(key)
                pool.append((_draw(context.seed, key), key, {**row, "part": part.stage}))
        if part.limit is not None and split == "train" and len(pool) > part.limit:
            left_out["beyond the limit of its part"] += len(pool) - part.limit
            pool = heapq.nsmallest(part.limit, pool, key=lambda entry: entry[:2])
        return pool

    def _sizes(self, have: Sequence[int]) -> list[int]:
        """Rows to take of each part: all, or as many as the shares allow without taking one twice."""
        shares = [part.share for part in self.parts if part.share is not None]
        if not shares:
            return list(have)
        # A part that holds nothing in this split leaves the others their relation.
        total = min((n / share for n, share in zip(have, shares, strict=True) if n), default=0.0)
        return [min(n, round(share * total)) for n, share in zip(have, shares, strict=True)]


def _write_spooled(
    spool: Path, places: Mapping[int, int], directory: Path
) -> tuple[Counter[str], dict[str, Counter[str]]]:
    """The spooled rows into their splits; rows per split, and per kind and split."""
    counts: Counter[str] = Counter()
    kinds: dict[str, Counter[str]] = {}
    with ExitStack() as stack:
        outputs: list[IO[bytes]] = [stack.enter_context(atomic_write(directory / f"{name}.jsonl")) for name in SPLITS]
        for number, line in enumerate(stack.enter_context(open(spool, "rb"))):
            if number in places:
                name = SPLITS[places[number]]
                outputs[places[number]].write(line)
                counts[name] += 1
                kinds.setdefault(str(json.loads(line)["kind"]), Counter())[name] += 1
    return counts, kinds


def _licences(context: StageContext, parts: Sequence[MixPart]) -> str:
    found = {}
    for part in parts:
        directory = context.inputs[part.stage]
        found[part.stage] = read_card(directory).get("licence") if (directory / CARD).is_file() else None
    return "; ".join(f"{name}: {licence or 'none stated'}" for name, licence in found.items())


def _card(
    directory: Path,
    shape: str,
    counts: Mapping[str, int],
    kinds: Mapping[str, Mapping[str, int]],
    left_out: Mapping[str, int],
    *,
    source: str,
    licence: str,
    title: str,
    text: str,
) -> dict[str, Any]:
    """Write the card; the stage's figures."""
    card = {
        "kind": shape,
        "source": source,
        "licence": licence,
        "splits": {split: {"examples": counts.get(split, 0)} for split in SPLITS},
        "kinds": {kind: {split: rows.get(split, 0) for split in SPLITS} for kind, rows in sorted(kinds.items())},
        "left_out": dict(left_out),
    }
    write_card(directory, card, title=f"{title}: {source}", text=text)
    return {
        "examples": {split: counts.get(split, 0) for split in SPLITS},
        "kinds": {
            split: {kind: rows[split] for kind, rows in sorted(kinds.items()) if rows.get(split)} for split in SPLITS
        },
        "left_out": dict(left_out),
    }
