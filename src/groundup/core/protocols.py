"""The joints at the level of text, one page. Structural: a class fits by having the methods, nothing is inherited.

The tensor-level joints (LanguageModel, Mixer, Objective, ModelTransform, Sampler) are in `groundup.nn.protocols`.
Why each has the shape it has, against its hardest user: docs/decisions/0002-joints.md.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

from .types import (
    Capabilities,
    Chunk,
    Completion,
    Document,
    FinishReason,
    Message,
    Prediction,
    PredictorFacts,
    Request,
    ScoreRequest,
    TaskExample,
    TokenLogprob,
    TokenLogprobs,
    Usage,
    Verdict,
)


class Step(Protocol):
    """Documents in, documents out, lazily. A rejected document is passed on with its reason; a document that
    arrives already dropped is passed on untouched.
    """

    def __call__(self, documents: Iterable[Document]) -> Iterable[Document]: ...


@runtime_checkable
class Tokenizer(Protocol):
    """Raw input to token ids and back. `decode(encode(text)) == text` for every str that is valid Unicode."""

    def encode(self, text: str, *, allow_special: bool = False) -> list[int]:
        """Token ids. Special tokens written out in `text` are ordinary text unless `allow_special`."""
        ...

    def decode(self, ids: Sequence[int], *, skip_special: bool = False) -> str:
        """Text; bytes that are not UTF-8 become U+FFFD."""
        ...

    def token_bytes(self, token_id: int) -> bytes:
        """The bytes one id stands for; special tokens give their written form."""
        ...

    @property
    def vocab_size(self) -> int:
        """Number of ids, special tokens included; valid ids are 0 .. vocab_size - 1."""
        ...

    @property
    def special_ids(self) -> Mapping[str, int]:
        """Written form of each special token, and its id."""
        ...


class Generator(Protocol):
    """Any model, or anything that makes text from one, to any application.

    `generate` may be called from many threads at once. It yields (index of the request, chunk) as pieces are ready,
    in any order between requests. Invalid requests raise RequestError before anything is yielded. Closing the
    iterator, or setting a request's `cancel`, ends the work within two tokens.
    """

    @property
    def capabilities(self) -> Capabilities: ...

    def generate(self, requests: Sequence[Request]) -> Iterator[tuple[int, Chunk]]: ...


class Scorer(Protocol):
    """Log-probabilities of given text."""

    @property
    def capabilities(self) -> Capabilities: ...

    def logprobs(self, requests: Sequence[ScoreRequest]) -> list[TokenLogprobs]: ...


@runtime_checkable
class Rewarder(Protocol):
    """Scores whole conversations: a reward model."""

    def scores(self, conversations: Sequence[Sequence[Message]]) -> list[float]:
        """A number for each, higher is better; only differences have a meaning."""
        ...


class Predictor(Protocol):
    """A model that answers with a label or a number: classifiers, regressors, forecasts. A directory of kind "predictor" holds
    `predictor.json` (its `type` says which class reads it, see cli/wiring.py) and safetensors.
    """

    @property
    def facts(self) -> PredictorFacts: ...

    def predict(self, inputs: Sequence[Any]) -> list[Prediction]:
        """One for each input, in order. DataError names the input that is not of the kind that `facts.input` says."""
        ...


class Task(Protocol):
    """Questions and their judge: the same object is an evaluation and a reward."""

    def examples(self) -> Iterable[TaskExample]: ...

    def score(self, example: TaskExample, completion: Completion) -> Verdict: ...


class Tracker(Protocol):
    """Where a run's figures go."""

    def log(self, step: int, metrics: Mapping[str, float]) -> None: ...

    def event(self, kind: str, message: str, **fields: Any) -> None: ...

    def rewind(self, step: int) -> None:
        """Forget metrics of steps after `step`: the run goes on from there."""
        ...


def complete(generator: Generator, requests: Sequence[Request]) -> list[Completion]:
    """Run the requests to their end and join the chunks of each."""
    texts: list[list[str]] = [[] for _ in requests]
    ids: list[list[int]] = [[] for _ in requests]
    logprobs: list[list[TokenLogprob]] = [[] for _ in requests]
    versions: list[list[int]] = [[] for _ in requests]
    ends: list[tuple[FinishReason, Usage] | None] = [None] * len(requests)
    for index, chunk in generator.generate(requests):
        texts[index].append(chunk.text)
        ids[index].extend(chunk.token_ids)
        logprobs[index].extend(chunk.logprobs)
        versions[index].append(chunk.weights_version)
        if chunk.finish_reason is not None:
            usage = chunk.usage or Usage(prompt_tokens=0, completion_tokens=len(ids[index]))
            ends[index] = (chunk.finish_reason, usage)
    completions = []
    for i, end in enumerate(ends):
        assert end is not None, f"request {i} ended without a finish_reason"
        completions.append(
            Completion(
                text="".join(texts[i]),
                token_ids=tuple(ids[i]),
                logprobs=tuple(logprobs[i]),
                finish_reason=end[0],
                usage=end[1],
                weights_version=min(versions[i]),
            )
        )
    return completions
