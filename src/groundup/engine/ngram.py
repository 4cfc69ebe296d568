"""An n-gram model as a Generator and Scorer: the requests, the sampling and the streams of the engine, without a network.

A row's state is one node of the model's trie, so there is no memory to share out and no batch to wait for: whoever reads a
stream takes its steps, any number of callers at once. A context has no end; only the order's last units count.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..core.errors import ModelError, RequestError
from ..core.protocols import Tokenizer
from ..core.types import Capabilities, Request, ScoreRequest, TokenLogprobs
from ..models.ngram.directory import load_ngram
from ..models.ngram.model import NGramModel
from ..tokenizers.load import load_tokenizer, unit_of
from ..tokenizers.stream import StreamDecoder
from .sequence import Job, Running, Stream, describe
from .validate import check_length, check_params, check_prompt_ids

if TYPE_CHECKING:
    from .sampling import SamplingPlan

MAX_CONTEXT_TOKENS = 1 << 20
"""Prompt and completion together. Nothing in the model asks for a limit; a request must have an end."""


class NGramEngine:
    """A Generator and a Scorer over an n-gram model. A prompt begins a sentence; nothing ends a text but its length or a stop."""

    def __init__(self, model: NGramModel, tokenizer: Tokenizer, *, name: str = "ngram") -> None:
        if tokenizer.vocab_size != model.vocab_size:
            raise ModelError(
                f"the tokenizer has {tokenizer.vocab_size} ids, the model {model.vocab_size}",
                hint="they are of different models; load both from one directory",
            )
        self.model, self.tokenizer, self.name = model, tokenizer, name
        self.max_context_tokens = MAX_CONTEXT_TOKENS
        self._special_ids = frozenset(tokenizer.special_ids.values())

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(
            model=self.name,
            max_context_tokens=self.max_context_tokens,
            abilities=frozenset({"logprobs", "score", "seed", "stop", "probe"}),
        )

    # Generator

    def generate(self, requests: Sequence[Request]) -> Stream:
        """Raises RequestError at once; else an iterator of (index of the request, chunk)."""
        job = Job()
        rows = []
        for index, request in enumerate(requests):
            rows.append(self._prepare(index, request, job))
            job.add(rows[-1])
        rollout = _Rollout(self.model, self.tokenizer, rows)
        return Stream(job, lambda: None, rollout.drive)

    def _prepare(self, index: int, request: Request, job: Job) -> Running:
        params = request.params
        check_params(params, vocab_size=self.model.vocab_size)
        if request.adapter is not None:
            raise RequestError(
                f"adapter: {self.name} is an n-gram model and has none", param="adapter", code="invalid_value"
            )
        ids = self.prompt_ids(request)
        check_length(len(ids), params.max_tokens, self.max_context_tokens)
        return Running(
            index=index,
            job=job,
            prompt_ids=ids,
            params=params,
            seed=random.SystemRandom().getrandbits(64) if params.seed is None else params.seed,
            decoder=StreamDecoder(self.tokenizer, skip=self._special_ids),
            eos_ids=frozenset(),
            cancel=request.cancel,
        )

    def prompt_ids(self, request: Request) -> list[int]:
        """The ids that a request's prompt becomes; none for an empty one, which is the beginning of a sentence."""
        prompt = request.prompt
        if not isinstance(prompt, str) and len(prompt) and not isinstance(prompt[0], int):
            raise RequestError(
                f"messages: {self.name} is an n-gram model and has no chat template",
                param="messages",
                code="no_chat_template",
                hint="send a plain text prompt",
            )
        return self._ids(prompt)  # type: ignore[arg-type]

    def _ids(self, given: str | Sequence[int]) -> list[int]:
        if isinstance(given, str):
            return list(self.tokenizer.encode(given))
        check_prompt_ids(given, vocab_size=self.model.vocab_size)
        return list(given)

    # Scorer

    def logprobs(self, requests: Sequence[ScoreRequest]) -> list[TokenLogprobs]:
        """Natural log-probabilities of each continuation's units after its context; with none, of a sentence's beginning."""
        results = []
        for request in requests:
            if isinstance(request.continuation, str) != isinstance(request.context, str) and request.context:
                raise RequestError(
                    "context and continuation must both be text or both be ids", param="context", code="invalid_type"
                )
            ids = self._ids(request.continuation)
            _, state = self.model.score(self._ids(request.context))
            scores, _ = self.model.score(ids, state)
            results.append(
                TokenLogprobs(token_ids=tuple(ids), logprobs=tuple(scores.tolist()), unit=unit_of(self.tokenizer))
            )
        return results

    # Life

    def probe(self, timeout_seconds: float = 5.0) -> bool:
        """Does the model still answer? For health checks."""
        return bool(abs(self.model.distribution(self.model.start).sum() - 1) < 1e-3)

    def close(self) -> None:
        """Nothing to end: there is no thread."""


class _Rollout:
    """The rows of one call, a unit of each at a time."""

    def __init__(self, model: NGramModel, tokenizer: Tokenizer, rows: Sequence[Running]) -> None:
        self._model, self._tokenizer = model, tokenizer
        self._rows = list(rows)
        self._states = [model.score(row.ids)[1] for row in rows]
        self._plan: SamplingPlan | None = None
        self._lock = threading.Lock()

    def drive(self, job: Job) -> None:
        """Step until there is a chunk, or no row is left."""
        with self._lock:
            while job.empty and self._rows:
                self._end_cancelled()
                if self._rows:
                    self._step()

    def _end_cancelled(self) -> None:
        going = [not row.cancelled for row in self._rows]
        for row, goes in zip(self._rows, going):
            if not goes:
                row.finish("cancelled")
        self._keep(going)

    def _keep(self, going: Sequence[bool]) -> None:
        if not all(going):
            self._rows = [row for row, goes in zip(self._rows, going) if goes]
            self._states = [state for state, goes in zip(self._states, going) if goes]
            self._plan = None

    def _step(self) -> None:
        # Scoring never gets here, and needs no torch.
        import torch

        from .sampling import RowSettings, SamplingPlan, told_logprobs

        model, rows = self._model, self._rows
        if self._plan is None:
            self._plan = SamplingPlan([RowSettings(row.params, row.seed, row.prompt_length) for row in rows])
        with np.errstate(divide="ignore"):
            logs = np.log(np.stack([model.distribution(state) for state in self._states]))
        logits = torch.from_numpy(logs.astype(np.float32))
        ids = self._plan.sample(logits, [row.ids for row in rows], [row.made for row in rows])
        told = told_logprobs(rows, logits, ids, model.vocab_size, lambda unit: describe(self._tokenizer, unit))
        going = []
        for number, (row, unit, logprob) in enumerate(zip(rows, ids, told)):
            self._states[number] = model.score([unit], self._states[number])[1]
            going.append(not row.accept(unit, logprob, 0))
        self._keep(going)


def open_ngram(directory: Path, **options: Any) -> NGramEngine:
    """What cli/wiring.py opens a directory of model_type "ngram" with; the options are the engine's, and none concerns it."""
    engine = NGramEngine(load_ngram(directory), load_tokenizer(directory), name=directory.name)
    engine.probe()  # the compiled loops are loaded now, and not while the first caller waits
    return engine
