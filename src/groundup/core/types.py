"""The typed values that cross package borders at the level of text: documents, requests, chunks, scores.

Nothing here imports torch, so that everything below the Generator waist can be used without it.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, TypeAlias

Message: TypeAlias = Mapping[str, Any]
"""One chat message in the OpenAI and Hugging Face shape: role, content, and optionally tool_calls, name, ..."""

FinishReason: TypeAlias = Literal["stop", "length", "cancelled", "error"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """One text with where it came from. A step that rejects it sets `dropped` and passes it on, so that every
    dropped document can be counted and looked at with its reason.
    """

    id: str
    """Unique in the corpus: a relative path, a path and row, or a URL."""
    text: str
    source: str = ""
    """Name of the source that read it."""
    meta: Mapping[str, Any] = field(default_factory=dict)
    dropped: str | None = None
    """`step: reason` once a step has rejected the document."""

    def drop(self, reason: str) -> Document:
        return replace(self, dropped=reason)


@dataclass(frozen=True, slots=True, kw_only=True)
class SamplingParams:
    """How to pick the next token. Names, ranges and meanings are those of the OpenAI API and vLLM."""

    max_tokens: int = 256
    temperature: float = 1.0
    """0 is greedy."""
    top_k: int = 0
    """Keep the k most likely tokens; 0 keeps all."""
    top_p: float = 1.0
    min_p: float = 0.0
    """Drop tokens less likely than min_p times the most likely one."""
    repetition_penalty: float = 1.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    logit_bias: Mapping[int, float] = field(default_factory=dict)
    stop: tuple[str, ...] = ()
    stop_token_ids: tuple[int, ...] = ()
    ignore_eos: bool = False
    seed: int | None = None
    logprobs: int | None = None
    """None: no log-probabilities. n >= 0: of each sampled token and of the n most likely ones beside it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One completion to make. For several samples of one prompt send several requests with different seeds."""

    prompt: str | tuple[int, ...] | Sequence[Message]
    """Plain text, token ids, or chat messages (rendered with the model's chat template)."""
    params: SamplingParams = SamplingParams()
    template: Mapping[str, Any] = field(default_factory=dict)
    """Extra variables for the chat template: tools, enable_thinking, ..."""
    adapter: str | None = None
    """Which adapter of a model that carries several; None is the base."""
    cancel: threading.Event = field(default_factory=threading.Event, compare=False)
    """Set it from any thread to end this request at the next step."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenLogprob:
    """Natural log-probability of one token, with the most likely alternatives (id, text, logprob), best first."""

    token_id: int
    token: str
    logprob: float
    bytes: bytes = b""
    top: tuple[tuple[int, str, float], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """A piece of one completion. The pieces of a request joined are its whole text; none ends inside a character.
    The last piece, and only it, has a finish_reason and usage.
    """

    text: str = ""
    token_ids: tuple[int, ...] = ()
    logprobs: tuple[TokenLogprob, ...] = ()
    """One entry per token id where the request asked for them."""
    finish_reason: FinishReason | None = None
    usage: Usage | None = None
    weights_version: int = 0
    """Which update of the weights made these tokens, the oldest if several did (reinforcement learning tells stale samples by it)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Completion:
    """All chunks of one request joined; see `groundup.core.protocols.complete`."""

    text: str
    token_ids: tuple[int, ...]
    logprobs: tuple[TokenLogprob, ...]
    finish_reason: FinishReason
    usage: Usage
    weights_version: int = 0
    """The oldest that made any of these tokens."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreRequest:
    """Ask for the log-probability of `continuation` after `context`. Each is text, or token ids (both of one kind).
    With an empty context the first token is conditioned on the beginning-of-text token, if the model has one.
    """

    continuation: str | tuple[int, ...]
    context: str | tuple[int, ...] = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenLogprobs:
    """Natural log-probabilities of the continuation's tokens, in order, and whether each was the greedy choice."""

    token_ids: tuple[int, ...]
    logprobs: tuple[float, ...]
    greedy: tuple[bool, ...] = ()
    unit: str = "token"
    """What one entry stands for: token, character, word."""

    @property
    def total(self) -> float:
        return float(sum(self.logprobs))


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """What a Generator or Scorer can do. `abilities` is a set of words; ask it, never hasattr."""

    model: str
    max_context_tokens: int
    abilities: frozenset[str] = frozenset()
    """Of: chat, logprobs, score, seed, stop, adapters, probe (has probe(timeout_seconds) -> bool, a liveness check), rewrites (a
    completion is a text of its own, such as a translation, not the prompt's continuation)."""
    adapters: tuple[str, ...] = ()
    """Names that `Request.adapter` may give (ability adapters)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What a Task says of one completion. `score` is in [0, 1]; `reason` names what was wrong."""

    score: float
    reason: str = ""
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskExample:
    """One question of a Task, with what its scorer needs to know."""

    id: str
    prompt: str | Sequence[Message]
    answer: Any = None
    meta: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """What a Predictor says of one input."""

    label: str | None = None
    """Of classifiers: the most likely one."""
    value: float | None = None
    """Of regressors and forecasts."""
    scores: Mapping[str, float] = field(default_factory=dict)
    """Of classifiers: label -> probability (or margin, where a method has no probabilities)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PredictorFacts:
    """What a Predictor was made for."""

    kind: str
    """`type` of its predictor.json: text_classifier, table_regressor, ..."""
    input: str
    """text (a str), row (a mapping of columns), image (numbers in [0, 1], [height][width]), series (numbers, oldest first)."""
    labels: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    """Columns that a row must have."""
    unit: str = ""
    """Of the value."""
    summary: str = ""
    """One sentence."""
