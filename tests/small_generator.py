"""A real Generator small enough to see through: a Markov chain over characters, with a step that tests can hold.

One token is one character. It honours everything the server passes on, and counts what it makes, so that a test can say how
many tokens were made after a client had gone.
"""

from __future__ import annotations

import math
import random
import threading
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence

from groundup.core.errors import RequestError
from groundup.core.types import Capabilities, Chunk, Request, TokenLogprob, Usage

TEXT = (
    "the little fox ran over the hill and the little bird sang in the tree. the fox saw the bird and the bird saw the fox. "
    "they were friends, and the sun was warm on the hill. ünïcödé 日本語 🦊 were words the fox liked. "
)
_ORDER = 3


class MarkovGenerator:
    """permits: None runs freely; a semaphore lets one token be made for each release."""

    def __init__(self, *, context: int = 4096, permits: threading.Semaphore | None = None, chat: bool = True) -> None:
        self.counts: dict[str, Counter[str]] = defaultdict(Counter)
        for i in range(len(TEXT)):
            for order in range(min(i, _ORDER) + 1):
                self.counts[TEXT[i - order : i]][TEXT[i]] += 1
        self.permits = permits
        self.lock = threading.Lock()
        self.made: Counter[str] = Counter()
        """Tokens made, by prompt."""
        self.seen: list[Request] = []
        self.closed: Counter[str] = Counter()
        """Requests whose work has ended, by prompt."""
        abilities = {"logprobs", "seed", "stop"} | ({"chat"} if chat else set())
        self._capabilities = Capabilities(model="markov", max_context_tokens=context, abilities=frozenset(abilities))

    @property
    def capabilities(self) -> Capabilities:
        return self._capabilities

    def generate(self, requests: Sequence[Request]) -> Iterator[tuple[int, Chunk]]:
        prompts = [self._prompt(r) for r in requests]
        for prompt, request in zip(prompts, requests):
            if len(prompt) + 1 > self._capabilities.max_context_tokens:
                raise RequestError(
                    f"the prompt has {len(prompt):,} tokens; the limit is {self._capabilities.max_context_tokens:,}",
                    param="messages",
                    code="context_length_exceeded",
                )
            if any(token >= 0x110000 for token in request.params.logit_bias):
                raise RequestError("logit_bias names a token that is not in the vocabulary", param="logit_bias")
        self.seen.extend(requests)
        return self._steps(requests, prompts)

    def _prompt(self, request: Request) -> str:
        if isinstance(request.prompt, str):
            return request.prompt
        return "".join(part["content"] if isinstance(part, Mapping) else chr(part) for part in request.prompt)

    def _steps(self, requests: Sequence[Request], prompts: list[str]) -> Iterator[tuple[int, Chunk]]:
        runs = {i: self._run(r, p) for i, (r, p) in enumerate(zip(requests, prompts))}
        try:
            while runs:
                for i in list(runs):
                    chunk = next(runs[i])
                    if chunk.finish_reason is not None:
                        del runs[i]
                    yield i, chunk
        finally:
            with self.lock:
                self.closed.update(prompts)

    def _run(self, request: Request, prompt: str) -> Iterator[Chunk]:
        params = request.params
        chance = random.Random(params.seed if params.seed is not None else prompt)
        text = ""
        made = 0

        def usage() -> Usage:
            return Usage(prompt_tokens=len(prompt), completion_tokens=made)

        while made < params.max_tokens:
            while self.permits is not None and not self.permits.acquire(timeout=0.01):
                if request.cancel.is_set():
                    break
            if request.cancel.is_set():
                yield Chunk(finish_reason="cancelled", usage=usage())
                return
            before = (prompt + text)[-_ORDER:]
            counts = next(self.counts[before[i:]] for i in range(len(before) + 1) if before[i:] in self.counts)
            total = sum(counts.values())
            if params.temperature == 0:
                letter = counts.most_common(1)[0][0]
            else:
                letter = chance.choices(list(counts), list(counts.values()))[0]
            made += 1
            with self.lock:
                self.made[prompt] += 1
            text += letter
            for stop in params.stop:
                if text.endswith(stop):
                    yield Chunk(token_ids=(ord(letter),), finish_reason="stop", usage=usage())
                    return
            logprobs: tuple[TokenLogprob, ...] = ()
            if params.logprobs is not None:
                best = counts.most_common(params.logprobs)
                logprobs = (
                    TokenLogprob(
                        token_id=ord(letter),
                        token=letter,
                        logprob=math.log(counts[letter] / total),
                        bytes=letter.encode(),
                        top=tuple((ord(c), c, math.log(k / total)) for c, k in best),
                    ),
                )
            end = made == params.max_tokens
            yield Chunk(
                text=letter,
                token_ids=(ord(letter),),
                logprobs=logprobs,
                finish_reason="length" if end else None,
                usage=usage() if end else None,
            )
