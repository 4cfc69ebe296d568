"""An encoder-decoder as a Generator and a Scorer (groundup.core.protocols): a request's prompt is the source, its completion the target.

With more than one beam the completion is the best that a search finds (search.py), the same each time: temperature, top_k and the like
do not apply, as with `do_sample: false` elsewhere. With one beam tokens are drawn as a request asks and streamed. Of chat messages the
last is the source: each is translated alone. One call runs at a time; its requests are one batch.

Left out: joining the batches of several callers, adapters.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ...core.errors import ConfigError, ModelError, RequestError
from ...core.protocols import Tokenizer
from ...core.types import Capabilities, Chunk, Request, ScoreRequest, TokenLogprob, TokenLogprobs
from ...models.directory import load_network, read_generation_config
from ...models.seq2seq import Encoded, Seq2Seq
from ...models.seq2seq.tokens import Ends, ends_of
from ...objectives.seq2seq import padded
from ...tokenizers.load import load_tokenizer, unit_of
from ...tokenizers.stream import StreamDecoder
from ..sampling import RowSettings, SamplingPlan, top_logprobs
from ..sequence import Job, Running, describe
from ..validate import check_length, check_params, check_prompt_ids
from .search import Normalisation, beam_search

_DTYPES = {"auto": None, "model": None, "float32": torch.float32, "bfloat16": torch.bfloat16}


def open_translator(
    model: Path | Seq2Seq,
    *,
    tokenizer: Tokenizer | None = None,
    like: Path | None = None,
    dtype: str = "auto",
    threads: int | None = None,
    max_batch_size: int = 32,
    num_beams: int | None = None,
    length_penalty: float | None = None,
    length_normalisation: Normalisation = "average",
    **_: Any,
) -> Translator:
    """A directory, or a live model with its tokenizer and the directory it came from (`like`). None: what its
    generation_config.json says. Options of the decoder's engine that have no meaning here are taken and not used."""
    if isinstance(model, Seq2Seq):
        assert tokenizer is not None and like is not None
        directory, network = like, model
    else:
        directory = Path(model)
        loaded = load_network(directory, dtype=_DTYPES[dtype])
        assert isinstance(loaded, Seq2Seq)
        network, tokenizer = loaded, load_tokenizer(directory)
    generation = read_generation_config(directory)
    if num_beams is None:
        num_beams = _number(generation, "num_beams", 1)
    if length_penalty is None:
        length_penalty = _number(generation, "length_penalty", 1.0)
    return Translator(
        network,
        tokenizer,
        ends_of(generation, directory),
        name=directory.name,
        num_beams=num_beams,
        length_penalty=length_penalty,
        length_normalisation=length_normalisation,
        max_batch_size=max_batch_size,
        threads=threads,
    )


def _number(generation: Mapping[str, Any], name: str, default: Any) -> Any:
    value = generation.get(name, default)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ModelError(f"generation_config.json: {name} must be a number, not {value!r}")
    return type(default)(value)


class Translator:
    def __init__(
        self,
        model: Seq2Seq,
        tokenizer: Tokenizer,
        ends: Ends,
        *,
        name: str = "model",
        num_beams: int = 4,
        length_penalty: float = 1.0,
        length_normalisation: Normalisation = "average",
        max_batch_size: int = 32,
        threads: int | None = None,
    ) -> None:
        """max_batch_size: sources at once; a search holds num_beams rows for each."""
        if num_beams < 1 or max_batch_size < 1:
            raise ConfigError(f"num_beams and max_batch_size must be at least 1, not {num_beams} and {max_batch_size}")
        if tokenizer.vocab_size > model.config.vocab_size:
            raise ModelError(
                f"the tokenizer has {tokenizer.vocab_size} ids, the model {model.config.vocab_size}",
                hint="they are of different models; load both from one directory",
            )
        self.model, self.tokenizer, self.ends, self.name = model, tokenizer, ends, name
        self.num_beams, self.length_penalty, self.form = num_beams, length_penalty, length_normalisation
        self.max_batch_size, self.threads = max_batch_size, threads
        self._special_ids = frozenset(tokenizer.special_ids.values())
        self._lock = threading.Lock()

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(
            model=self.name,
            max_context_tokens=self.model.config.max_position_embeddings,
            abilities=frozenset({"chat", "logprobs", "score", "seed", "stop", "probe", "rewrites"}),
        )

    # Generator

    def generate(self, requests: Sequence[Request]) -> Iterator[tuple[int, Chunk]]:
        """Raises RequestError at once; else an iterator of (index of the request, chunk)."""
        job = Job()
        for index, request in enumerate(requests):
            job.add(self._prepare(index, request, job))
        return self._run(job)

    def prompt_ids(self, request: Request) -> list[int]:
        """What the encoder reads of a request."""
        prompt = request.prompt
        if not isinstance(prompt, str) and len(prompt) > 0 and isinstance(prompt[0], Mapping):
            prompt = prompt[-1].get("content", "")  # type: ignore[union-attr,unused-ignore]
            if not isinstance(prompt, str):
                raise RequestError("messages: the content of the last one must be text", param="messages")
        if isinstance(prompt, str):
            return [*self.tokenizer.encode(prompt), self.ends.eos]
        check_prompt_ids(prompt, vocab_size=self.tokenizer.vocab_size)
        return [*prompt, self.ends.eos]  # type: ignore[list-item,unused-ignore]

    def _prepare(self, index: int, request: Request, job: Job) -> Running:
        params, context = request.params, self.model.config.max_position_embeddings
        check_params(params, vocab_size=self.tokenizer.vocab_size)
        if request.adapter is not None:
            raise RequestError(f"adapter: {request.adapter!r} is not known; this model takes none", param="adapter")
        ids = self.prompt_ids(request)
        check_length(len(ids), 0, context)
        check_length(0, params.max_tokens, context)
        return Running(
            index=index,
            job=job,
            prompt_ids=ids,
            params=params,
            seed=random.SystemRandom().getrandbits(64) if params.seed is None else params.seed,
            decoder=StreamDecoder(self.tokenizer, skip=self._special_ids),
            eos_ids=frozenset((self.ends.eos,)),
            cancel=request.cancel,
        )

    def _run(self, job: Job) -> Iterator[tuple[int, Chunk]]:
        rows = list(job.waiting)
        try:
            for start in range(0, len(rows), self.max_batch_size):
                part = rows[start : start + self.max_batch_size]
                for _ in self._searched(part) if self.num_beams > 1 else self._sampled(part):
                    while not job.empty:
                        item = job.get()
                        assert isinstance(item, tuple)
                        yield item
        finally:
            job.abandoned = True

    def _searched(self, rows: Sequence[Running]) -> Iterator[None]:
        with self._lock, self._threads():
            found = beam_search(
                self.model.eval(),
                self._encode([row.ids for row in rows]),
                self.ends,
                num_beams=self.num_beams,
                max_tokens=[row.params.max_tokens for row in rows],
                vocab_size=self.tokenizer.vocab_size,
                length_penalty=self.length_penalty,
                form=self.form,
                cancelled=lambda source: rows[source].cancelled,
            )
            details = self._details_of(rows, [hypotheses[0].ids for hypotheses in found])
        for row, hypotheses, detail in zip(rows, found, details, strict=True):
            best = hypotheses[0]
            made = (*best.ids, self.ends.eos) if best.ended else best.ids
            if not any(row.accept(i, d, 0) for i, d in zip(made, detail)):
                row.finish("cancelled" if row.cancelled else "length")
        yield

    @torch.no_grad()
    def _sampled(self, rows: Sequence[Running]) -> Iterator[None]:
        going = list(rows)
        with self._lock, self._threads():
            state = self.model.eval().begin(self._encode([row.ids for row in rows]))
        ids = [self.ends.start] * len(rows)
        written: dict[int, list[int]] = {row.index: [] for row in rows}
        while going:
            with self._lock, self._threads(), torch.no_grad():
                decoded = self.model.decode(torch.tensor(ids)[:, None], state)
                logits = decoded.output.head(decoded.output.hidden[:, -1])[:, : self.tokenizer.vocab_size].float()
                plan = SamplingPlan([RowSettings(row.params, row.seed, 0) for row in going])
                ids = plan.sample(logits, [written[row.index] for row in going], [row.made for row in going])
                details = self._details(going, logits, ids)
            kept = []
            for i, (row, chosen, detail) in enumerate(zip(going, ids, details, strict=True)):
                written[row.index].append(chosen)
                if row.cancelled:
                    row.finish("cancelled")
                elif not row.accept(chosen, detail, 0):
                    kept.append(i)
            yield
            state = decoded.state.kept(torch.tensor(kept)) if 0 < len(kept) < len(going) else decoded.state
            going, ids = [going[i] for i in kept], [ids[i] for i in kept]

    def _details(self, rows: Sequence[Running], logits: Tensor, ids: Sequence[int]) -> list[TokenLogprob | None]:
        """Of one position of each row that asked for log-probabilities."""
        count = max((row.params.logprobs or 0 for row in rows), default=0)
        if all(row.params.logprobs is None for row in rows):
            return [None] * len(rows)
        chosen, best_ids, best = top_logprobs(logits, ids, count, self.tokenizer.vocab_size)
        made: list[TokenLogprob | None] = []
        for row, token_id, logprob, others, values in zip(rows, ids, chosen, best_ids, best, strict=True):
            if row.params.logprobs is None:
                made.append(None)
                continue
            text, raw = describe(self.tokenizer, token_id)
            keep = row.params.logprobs
            top = tuple((t, describe(self.tokenizer, t)[0], p) for t, p in zip(others[:keep], values[:keep]))
            made.append(TokenLogprob(token_id=token_id, token=text, logprob=logprob, bytes=raw, top=top))
        return made

    def _details_of(self, rows: Sequence[Running], found: Sequence[Sequence[int]]) -> list[list[TokenLogprob | None]]:
        """The same of whole targets, their ends included, by reading them again."""
        made: list[list[TokenLogprob | None]] = []
        for row, ids in zip(rows, found, strict=True):
            whole = [*ids, self.ends.eos]
            if row.params.logprobs is None:
                made.append([None] * len(whole))
                continue
            logits = self._logits([row.ids], [whole])[0]
            made.append(self._details([row] * len(whole), logits, whole))
        return made

    # Scorer

    def logprobs(self, requests: Sequence[ScoreRequest], **unused: Any) -> list[TokenLogprobs]:
        """Of each continuation as the target of its context. A text is whole: what ends a target is not counted."""
        pairs = [self._score_ids(request) for request in requests]
        made: list[TokenLogprobs] = []
        for start in range(0, len(pairs), self.max_batch_size):
            part = pairs[start : start + self.max_batch_size]
            with self._lock, self._threads():
                logits = self._logits([source for source, _ in part], [target for _, target in part])
            for row, (_, target) in zip(logits, part, strict=True):
                values = top_logprobs(row, target, 0, self.tokenizer.vocab_size)[0] if target else []
                greedy = tuple((row.argmax(-1) == torch.tensor(target, dtype=torch.long)).tolist())
                made.append(
                    TokenLogprobs(
                        token_ids=tuple(target), logprobs=tuple(values), greedy=greedy, unit=unit_of(self.tokenizer)
                    )
                )
        return made

    def _score_ids(self, request: ScoreRequest) -> tuple[list[int], list[int]]:
        context, continuation = request.context, request.continuation
        limit = self.model.config.max_position_embeddings
        if isinstance(continuation, str) != isinstance(context, str) and context:
            raise RequestError("context and continuation must both be text or both be ids", param="context")
        source = self.prompt_ids(Request(prompt=context))
        target = self.tokenizer.encode(continuation) if isinstance(continuation, str) else list(continuation)
        check_prompt_ids(target, vocab_size=self.tokenizer.vocab_size)
        check_length(len(source), 0, limit)
        check_length(0, len(target), limit)
        return source, target

    def align(self, pairs: Sequence[tuple[str, str]]) -> list[tuple[list[str], list[str], list[list[float]]]]:
        """Of each (source, target): the tokens of both, and where the decoder looked as it wrote each of the target's, [T][S]."""
        made: list[tuple[list[str], list[str], list[list[float]]]] = []
        for source, target in pairs:
            source_ids = self.prompt_ids(Request(prompt=source))
            target_ids = [*self.tokenizer.encode(target), self.ends.eos]
            with self._lock, self._threads(), torch.no_grad():
                state = self.model.eval().begin(self._encode([source_ids]))
                inputs = torch.tensor([[self.ends.start, *target_ids[:-1]]])
                decoded = self.model.decode(inputs, state, explain=True)
            assert decoded.attention is not None
            names = [[describe(self.tokenizer, i)[0] for i in ids] for ids in (source_ids, target_ids)]
            made.append((names[0], names[1], decoded.attention[0].float().tolist()))
        return made

    # Life

    def _encode(self, sources: Sequence[Sequence[int]]) -> Encoded:
        with torch.no_grad():
            return self.model.encode(*padded(sources, 0))

    def _logits(self, sources: Sequence[Sequence[int]], targets: Sequence[Sequence[int]]) -> list[Tensor]:
        """What the model says at every position of each target, [T, V] each."""
        if not any(targets):
            return [torch.empty(0, self.tokenizer.vocab_size) for _ in targets]
        inputs, lengths = padded([[self.ends.start, *target[:-1]] if target else [] for target in targets], 0)
        with torch.no_grad():
            decoded = self.model.eval().decode(inputs, self.model.begin(self._encode(sources)))
            size = self.tokenizer.vocab_size
            return [
                decoded.output.head(decoded.output.hidden[i, :n])[:, :size].float()
                for i, n in enumerate(lengths.tolist())
            ]

    def _threads(self) -> _Threads:
        return _Threads(self.threads)

    def sync_weights(self) -> int:
        """The model is the caller's own, so its weights are already those that are used."""
        return 0

    def probe(self, timeout_seconds: float = 5.0) -> bool:
        """Does a token really go through the model? Waits for a call that is running, for as long as is given."""
        if not self._lock.acquire(timeout=timeout_seconds):
            return False
        try:
            self._logits([[self.ends.eos]], [[self.ends.eos]])
        except RuntimeError:
            return False
        finally:
            self._lock.release()
        return True

    def close(self) -> None:
        """Nothing to be closed; an engine has it too."""


class _Threads:
    """torch's number of threads for the time of a call; None leaves it."""

    def __init__(self, count: int | None) -> None:
        self.count = count
        self.before = torch.get_num_threads()

    def __enter__(self) -> None:
        if self.count is not None:
            torch.set_num_threads(self.count)

    def __exit__(self, *_: object) -> None:
        if self.count is not None:
            torch.set_num_threads(self.before)
