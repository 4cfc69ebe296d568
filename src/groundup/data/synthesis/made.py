"""What makers make and filters judge, and the one way in which makers ask a Generator."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from typing import Any, Protocol

from ...core.errors import ConfigError
from ...core.protocols import Generator, complete
from ...core.types import Completion, Message, Request, SamplingParams

PLAIN_ROLES = {"system": "Instructions", "user": "User", "assistant": "Assistant", "tool": "Result"}


@dataclass(frozen=True, kw_only=True)
class Made:
    """One row, kept or dropped."""

    row: Mapping[str, Any]
    """{"messages", "kind", "id", "tools"?, ...}: an instruct row, whole enough to be looked at even when dropped."""
    dropped: str | None = None
    """`who: reason` once a maker or a filter has rejected it."""
    detail: str = ""
    """What was measured, against which limit."""

    @property
    def id(self) -> str:
        return str(self.row["id"])

    def drop(self, who: str, reason: str, detail: str = "") -> Made:
        return replace(self, dropped=f"{who}: {reason}", detail=detail)

    @property
    def answers(self) -> list[str]:
        """Texts of the assistant."""
        return [m["content"] for m in self.row["messages"] if m["role"] == "assistant" and m.get("content")]

    @property
    def questions(self) -> list[str]:
        return [m["content"] for m in self.row["messages"] if m["role"] == "user"]

    @property
    def text(self) -> str:
        """Everything said, one paragraph a message."""
        return "\n\n".join(m.get("content") or _called(m) for m in self.row["messages"])


def _called(message: Mapping[str, Any]) -> str:
    """Calls without their ids, which differ in every row."""
    functions = [call["function"] for call in message.get("tool_calls") or ()]
    return "; ".join(f"{f['name']} {json.dumps(f['arguments'], ensure_ascii=False)}" for f in functions)


@dataclass(frozen=True, kw_only=True)
class Asking:
    """How a maker's model is asked."""

    max_tokens: int = 400
    """Of one answer."""
    temperature: float = 0.8
    top_p: float = 0.95
    batch_size: int = 16
    """Requests sent at once; an endpoint has its own limit beside it."""

    def __post_init__(self) -> None:
        if self.max_tokens < 1 or self.batch_size < 1:
            raise ConfigError("max_tokens and batch_size must be at least 1", path="asking")
        if self.temperature < 0 or not 0 < self.top_p <= 1:
            raise ConfigError("temperature must be at least 0, top_p above 0 and at most 1", path="asking")


class Maker(Protocol):
    """A frozen config that is also what makes the rows."""

    @property
    def type(self) -> str: ...

    @property
    def needs_model(self) -> bool: ...

    def prompts(self) -> Mapping[str, str]:
        """The prompts it uses, for the data card; empty for templates."""
        ...

    def make(self, generator: Generator | None, *, count: int, seed: int) -> Iterator[Made]:
        """`count` rows that it finds good, and every row that it refused on the way. Fewer when the model gives no more.

        The same seed and the same completions give the same rows. DataError when what it reads is wrong.
        """
        ...


@dataclass(kw_only=True)
class Attempts:
    """A limit on the tries, so that a model that cannot follow the prompt ends the making and not the money."""

    count: int
    per_row: int
    good: int = 0
    tried: int = 0
    _limit: int = field(init=False)

    def __post_init__(self) -> None:
        self._limit = self.count * self.per_row

    def left(self, batch_size: int) -> int:
        """How many to try next."""
        wanted = self.count - self.good
        return max(0, min(batch_size, wanted, self._limit - self.tried))

    def note(self, made: Made) -> Made:
        self.tried += 1
        self.good += made.dropped is None
        return made


def seed_of(*parts: object) -> int:
    """A seed below 2**62 that depends on the parts only."""
    digest = blake2b("\0".join(map(str, parts)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 2


def ask(
    generator: Generator,
    prompts: Sequence[Sequence[Message]],
    asking: Asking,
    *,
    seeds: Sequence[int],
    stop: tuple[str, ...] = (),
    template: Mapping[str, Any] | None = None,
    greedy: bool = False,
) -> list[Completion]:
    """One completion of each conversation. A model without a chat template is given it written out, `User: ...`."""
    chat = "chat" in generator.capabilities.abilities
    ends = stop if chat else (*stop, f"\n{PLAIN_ROLES['user']}:", f"\n{PLAIN_ROLES['assistant']}:")
    requests = [
        Request(
            prompt=tuple(prompt) if chat else written_out(prompt),
            template=dict(template or {}) if chat else {},
            params=SamplingParams(
                max_tokens=asking.max_tokens,
                temperature=0.0 if greedy else asking.temperature,
                top_p=1.0 if greedy else asking.top_p,
                seed=seed,
                stop=ends,
            ),
        )
        for prompt, seed in zip(prompts, seeds, strict=True)
    ]
    done: list[Completion] = []
    for start in range(0, len(requests), asking.batch_size):
        done += complete(generator, requests[start : start + asking.batch_size])
    return [replace(completion, text=encodable(completion.text)) for completion in done]


def encodable(text: str) -> str:
    """Without halves of surrogate pairs, which an endpoint's JSON can have and no file can hold."""
    return text.encode("utf-8", "replace").decode("utf-8")


def written_out(messages: Iterable[Message]) -> str:
    lines = [f"{PLAIN_ROLES.get(m['role'], m['role'])}: {m.get('content') or ''}" for m in messages]
    return "\n\n".join([*lines, f"{PLAIN_ROLES['assistant']}:"])


def turn(role: str, content: str, **more: Any) -> dict[str, Any]:
    return {"role": role, "content": content, **more}
