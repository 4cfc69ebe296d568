"""Completions kept on disk, so that work that was killed goes on without asking, or paying, twice.

A wrapper of any Generator that is one itself. A completion's file is named by the hash of its request; only requests whose
answer is fixed (greedy, or with a seed) are kept, since an unseeded sample asked for twice means two samples.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from ..core.artifact import read_json, write_text
from ..core.config import to_plain
from ..core.errors import ArtifactError
from ..core.protocols import Generator
from ..core.types import Capabilities, Chunk, Request, TokenLogprob, Usage

_FORMAT = 1


class CachedGenerator:
    """`generator` with its completions kept under `directory`.

    source: what makes the completions (address and model, or the identity of a model directory); another source has other
    files. Only answers that ended by themselves or by length are kept.
    """

    def __init__(self, generator: Generator, directory: Path, *, source: str) -> None:
        self._generator, self._directory, self._source = generator, directory, source
        self._lock = threading.Lock()
        self._figures = {"completions": 0, "from_cache": 0, "prompt_tokens": 0, "completion_tokens": 0}

    @property
    def capabilities(self) -> Capabilities:
        return self._generator.capabilities

    @property
    def figures(self) -> dict[str, int]:
        """Completions, how many of them came from the cache, and the tokens of all, read and written."""
        return dict(self._figures)

    def close(self) -> None:
        if isinstance(self._generator, _Closing):
            self._generator.close()

    def generate(self, requests: Sequence[Request]) -> Iterator[tuple[int, Chunk]]:
        keys = [self._key(request) for request in requests]
        kept: dict[int, Chunk] = {}
        for i, key in enumerate(keys):
            chunk = self._read(key) if key is not None else None
            if chunk is not None:
                kept[i] = chunk
        missing = [i for i in range(len(requests)) if i not in kept]
        # Asked for here and not when the first chunk is read, so that invalid requests raise at once.
        fresh = self._generator.generate([requests[i] for i in missing]) if missing else iter(())
        return self._joined(kept, missing, keys, fresh)

    def _joined(
        self, kept: dict[int, Chunk], missing: list[int], keys: list[str | None], fresh: Iterator[tuple[int, Chunk]]
    ) -> Iterator[tuple[int, Chunk]]:
        try:
            for i, chunk in kept.items():
                self._count(chunk, from_cache=True)
                yield i, chunk
            parts: dict[int, list[Chunk]] = {i: [] for i in missing}
            for number, chunk in fresh:
                i = missing[number]
                parts[i].append(chunk)
                if chunk.finish_reason is not None:
                    whole = _join(parts.pop(i))
                    self._count(whole, from_cache=False)
                    key = keys[i]
                    if key is not None and whole.finish_reason in ("stop", "length"):
                        self._write(key, whole)
                yield i, chunk
        finally:
            if isinstance(fresh, _Closing):
                fresh.close()

    def _count(self, chunk: Chunk, *, from_cache: bool) -> None:
        with self._lock:
            self._figures["completions"] += 1
            self._figures["from_cache"] += from_cache
            if chunk.usage is not None:
                self._figures["prompt_tokens"] += chunk.usage.prompt_tokens
                self._figures["completion_tokens"] += chunk.usage.completion_tokens

    def _key(self, request: Request) -> str | None:
        if request.params.temperature != 0 and request.params.seed is None:
            return None
        prompt: Any = request.prompt if isinstance(request.prompt, str) else [to_plain(part) for part in request.prompt]
        asked = {
            "format": _FORMAT,
            "source": self._source,
            "prompt": prompt,
            "params": to_plain(request.params),
            "template": to_plain(request.template),
            "adapter": request.adapter,
        }
        # ASCII: a text from outside can have half a surrogate pair, which UTF-8 cannot.
        return hashlib.sha256(json.dumps(asked, sort_keys=True).encode("ascii")).hexdigest()

    def _path(self, key: str) -> Path:
        return self._directory / key[:2] / f"{key}.json"

    def _read(self, key: str) -> Chunk | None:
        path = self._path(key)
        if not path.is_file():
            return None
        try:
            return _chunk(read_json(path))
        except (ArtifactError, KeyError, TypeError, ValueError):
            return None  # damaged: asked for again, and written anew

    def _write(self, key: str, chunk: Chunk) -> None:
        path = self._path(key)
        path.parent.mkdir(parents=True, exist_ok=True)
        plain = to_plain(chunk)
        plain["logprobs"] = [{**to_plain(e), "bytes": e.bytes.hex()} for e in chunk.logprobs]
        with self._lock:  # two callers with the same request would share one temporary file
            write_text(path, json.dumps(plain) + "\n")


@runtime_checkable
class _Closing(Protocol):
    """What can be closed: an endpoint, an engine, an iterator written with yield."""

    def close(self) -> None: ...


def _join(chunks: Sequence[Chunk]) -> Chunk:
    last = chunks[-1]
    return Chunk(
        text="".join(c.text for c in chunks),
        token_ids=tuple(t for c in chunks for t in c.token_ids),
        logprobs=tuple(e for c in chunks for e in c.logprobs),
        finish_reason=last.finish_reason,
        usage=last.usage,
        weights_version=min(c.weights_version for c in chunks),
    )


def _chunk(plain: dict[str, Any]) -> Chunk:
    return Chunk(
        text=plain["text"],
        token_ids=tuple(plain["token_ids"]),
        logprobs=tuple(
            TokenLogprob(
                token_id=e["token_id"],
                token=e["token"],
                logprob=e["logprob"],
                bytes=bytes.fromhex(e["bytes"]),
                top=tuple((i, t, p) for i, t, p in e["top"]),
            )
            for e in plain["logprobs"]
        ),
        finish_reason=plain["finish_reason"],
        usage=Usage(**plain["usage"]) if plain["usage"] is not None else None,
        weights_version=plain["weights_version"],
    )
