"""A Generator that answers by rules, for makers that ask a model: `rule(request, written_out_prompt)` gives the text.

It ends at the request's stop texts and max_tokens (in words) as a model does, and remembers what it was asked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from groundup.core.types import Capabilities, Chunk, Request, Usage

Rule = Callable[[Request, str], str]


class Scripted:
    def __init__(self, rule: Rule, *, chat: bool = True, fail_after: int | None = None) -> None:
        self.rule, self.fail_after = rule, fail_after
        self.seen: list[Request] = []
        self._abilities = frozenset({"chat", "seed", "stop"} if chat else {"seed", "stop"})

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(model="scripted", max_context_tokens=100_000, abilities=self._abilities)

    def close(self) -> None:
        pass

    def generate(self, requests: Sequence[Request]) -> Iterator[tuple[int, Chunk]]:
        for index, request in enumerate(requests):
            if self.fail_after is not None and len(self.seen) >= self.fail_after:
                raise ConnectionError("killed")
            self.seen.append(request)
            text = self.rule(request, flat(request.prompt))
            reason: Any = "stop"
            for stop in request.params.stop:
                text = text.split(stop)[0]
            parts = text.split(" ")
            if len(parts) > request.params.max_tokens:
                text, reason = " ".join(parts[: request.params.max_tokens]), "length"
            usage = Usage(prompt_tokens=len(flat(request.prompt).split()), completion_tokens=len(text.split()))
            yield index, Chunk(text=text, finish_reason=reason, usage=usage)


def flat(prompt: Any) -> str:
    return prompt if isinstance(prompt, str) else "\n".join(f"{m['role']}: {m.get('content') or ''}" for m in prompt)
