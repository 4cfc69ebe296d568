"""The engine: any number of threads ask, one batch answers.

`Engine` turns requests into ids and checks them in the caller's thread; the scheduler's thread does the rest (scheduler.py).
Log-probabilities are those of the model's unmodified logits (softmax at temperature 1, before penalties and filters), as
OpenAI and vLLM give them.

Leaves out, in this form: pages, a prefix cache between calls, speculative decoding, grammars.
"""

from __future__ import annotations

import random
import weakref
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import TimeoutError as FutureTimeout
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import Tensor

from ..core.errors import GroundupError, ModelError, RequestError
from ..core.protocols import Tokenizer
from ..core.types import Capabilities, Completion, Message, Request, ScoreRequest, TokenLogprobs
from ..models.decoder import Decoder
from ..models.directory import load_network, read_generation_config, resolve_model_directory
from ..nn.protocols import Sampler
from ..tokenizers.chat_ids import encode_rendered, render_chat
from ..tokenizers.chat_template import ChatTemplate, load_chat_template
from ..tokenizers.load import load_tokenizer, unit_of
from ..tokenizers.stream import StreamDecoder
from .adapters import Adapters, base_of, is_adapter
from .compiled import CompiledStep
from .config import EngineConfig
from .dtype import faster_dtype, in_dtype
from .load import bos_of, eos_ids_of
from .runner import ModelRunner
from .scheduler import EngineStats, Scheduler
from .scorer import batches_of, score_batch, windows_of
from .sequence import Job, Running, Stream
from .validate import check_length, check_params, check_prompt_ids

if TYPE_CHECKING:
    from types import TracebackType

_COMPILE_FROM_PARAMETERS = 8_000_000
"""Below this a step of the module is a few milliseconds, and the compiler's time is rarely earned back."""
_WIDE_FROM_PARAMETERS = 500_000
"""The same for the step that an inline engine takes; its kernels compile in a third of the time."""
_SCORE_TOKENS_PER_CALL = 4096
"""Padded tokens of one scoring pass: enough to be limited by arithmetic, small beside the weights."""
_LONGEST_TOKEN_BYTES = 256
"""A text of more bytes than this times the context is refused before it is tokenized. Longer tokens than this exist in no
published vocabulary that we know (o200k's longest is 128 spaces)."""


class Template(Protocol):
    """Chat messages to the text that the model was trained on."""

    def render(self, messages: Sequence[Message], *, add_generation_prompt: bool = True, **variables: Any) -> str: ...


class Engine:
    """A Generator and a Scorer over a model in this process."""

    def __init__(
        self,
        model: Decoder,
        tokenizer: Tokenizer,
        *,
        config: EngineConfig | None = None,
        chat_template: Template | None = None,
        eos_ids: Sequence[int] = (),
        bos_id: int | None = None,
        add_bos: bool = True,
        name: str = "model",
        weights_version: int = 0,
        samplers: Sequence[Sampler] = (),
    ) -> None:
        """eos_ids end a completion. bos_id begins every plain-text prompt (a chat template writes its own); with add_bos
        false only an empty one, and texts scored without context.
        samplers: rules of the caller's own, applied to every request after the penalties and before temperature.
        """
        self.config = config or EngineConfig()
        self.tokenizer = tokenizer
        self.chat_template = chat_template
        self.eos_ids = frozenset(eos_ids)
        self.bos_id = bos_id
        self.add_bos = add_bos
        self.name = name
        self._source = model
        self._model = model = self._in_wanted_dtype(model)
        self._vocab_size = min(model.config.vocab_size, tokenizer.vocab_size)
        if tokenizer.vocab_size > model.config.vocab_size:
            raise ModelError(
                f"the tokenizer has {tokenizer.vocab_size} ids, the model {model.config.vocab_size}",
                hint="they are of different models; load both from one directory",
            )
        self.max_context_tokens = self._context(model)
        self._special_ids = frozenset(tokenizer.special_ids.values())
        # Outside of the no-grad calls, so that a training loop that shares the model may use the tables too.
        model.prepare_positions(self.max_context_tokens)
        self._adapters = Adapters(model)
        self._runner = ModelRunner(
            model,
            self.config.max_batch_size + 1,
            one_token=self._compiled(model),
            choose=self._adapters.choose,
            default_adapter=self._adapters.default,
        )
        self._scheduler = Scheduler(
            self._runner,
            tokenizer,
            self.config,
            vocab_size=self._vocab_size,
            samplers=samplers,
            weights_version=weights_version,
        )
        self._finalizer = weakref.finalize(self, self._scheduler.close)

    @classmethod
    def load(
        cls,
        path: Path | str,
        *,
        config: EngineConfig | None = None,
        trusted_parts: Collection[str] = (),
        samplers: Sequence[Sampler] = (),
        adapters: Mapping[str, Path | str] | None = None,
    ) -> Engine:
        """An engine over a model directory, or over the newest one of a run. config None: dtype "auto".

        adapters: directories of adapters on that model, by the names that requests choose them by. A path that is an adapter
        itself opens the base that it names, and is what requests get that name none.

        trusted_parts: `file.py:Name` of the user's own parts that may be imported. Raises ArtifactError, ModelError or
        TokenizerError, naming the file, when something is missing, damaged or does not fit.
        """
        own = Path(path) if is_adapter(Path(path)) else None
        directory = resolve_model_directory(Path(path) if own is None else base_of(own))
        tokenizer = load_tokenizer(directory)
        config = config or EngineConfig(dtype="auto")
        dtype = {"bfloat16": torch.bfloat16, "float32": torch.float32}.get(config.dtype)
        model: Any = load_network(directory, dtype=dtype, trusted_parts=trusted_parts)
        generation = read_generation_config(directory)
        bos_id, add_bos = bos_of(directory, generation, tokenizer)
        engine = cls(
            model,
            tokenizer,
            config=config,
            chat_template=load_chat_template(directory),
            eos_ids=eos_ids_of(generation, tokenizer),
            bos_id=bos_id,
            add_bos=add_bos,
            name=directory.name if own is None else own.name,
            samplers=samplers,
        )
        try:
            if own is not None:
                engine.add_adapter("default", own, default=True)
            for name, place in (adapters or {}).items():
                engine.add_adapter(name, place)
        except BaseException:
            engine.close()
            raise
        return engine

    def _in_wanted_dtype(self, model: Decoder) -> Decoder:
        match self.config.dtype:
            case "model":
                return model
            case "auto":
                return in_dtype(model, faster_dtype(model))
            case "bfloat16":
                return in_dtype(model, torch.bfloat16)
            case "float32":
                return in_dtype(model, torch.float32)

    def _compiled(self, model: Decoder) -> CompiledStep | None:
        wanted, inline = self.config.compile, self.config.inline
        worth = _WIDE_FROM_PARAMETERS if inline else _COMPILE_FROM_PARAMETERS
        if wanted == "never" or (wanted == "auto" and model.num_parameters() < worth):
            return None
        rows = self.config.max_batch_size + 1
        kind = CompiledStep
        if inline:  # the other would bring a team of threads of its own
            from .wide_step import WideStep

            kind = WideStep
        made = kind.of(model, rows, self.config.threads or torch.get_num_threads())
        if isinstance(made, str):
            if wanted == "always":
                raise ModelError(f"this model cannot be compiled: {made}", hint="use compile: auto")
            return None
        return made

    def _context(self, model: Decoder) -> int:
        made_for = model.config.max_position_embeddings
        wanted = self.config.max_context_tokens or made_for
        if wanted > made_for and isinstance(model, Decoder) and model.config.learned_positions:
            raise ModelError(
                f"max_context_tokens is {wanted}, but this model has learned {made_for} positions",
                hint=f"set max_context_tokens to {made_for} or less",
            )
        return wanted

    @property
    def capabilities(self) -> Capabilities:
        abilities = {"logprobs", "score", "seed", "stop", "probe"}
        if self.chat_template is not None:
            abilities.add("chat")
        names = self._adapters.names
        if names:
            abilities.add("adapters")
        return Capabilities(
            model=self.name,
            max_context_tokens=self.max_context_tokens,
            abilities=frozenset(abilities),
            adapters=names,
        )

    # Generator

    def generate(self, requests: Sequence[Request]) -> Stream:
        """Raises RequestError or BusyError at once; else an iterator of (index of the request, chunk).

        An error inside the model is raised by the iterator. Requests of one call beyond the free rows wait their turn.
        """
        return self._stream(requests, Job())

    def complete(self, requests: Sequence[Request]) -> list[Completion]:
        """What `core.protocols.complete` gives, without making a chunk of every token: for callers who want whole answers
        only, rollouts above all.
        """
        completions: list[Completion | None] = [None] * len(requests)
        for index, chunk in self._stream(requests, Job(whole=True)):
            assert chunk.finish_reason is not None and chunk.usage is not None
            completions[index] = Completion(
                text=chunk.text,
                token_ids=chunk.token_ids,
                logprobs=chunk.logprobs,
                finish_reason=chunk.finish_reason,
                usage=chunk.usage,
                weights_version=chunk.weights_version,
            )
        made = [c for c in completions if c is not None]
        assert len(made) == len(requests)
        return made

    def _stream(self, requests: Sequence[Request], job: Job) -> Stream:
        for index, request in enumerate(requests):
            job.add(self._prepare(index, request, job))
        stream = Stream(job, self._wake, self._drive if self.config.inline else None)
        if requests:
            try:
                self._scheduler.submit(job)
            except GroundupError:
                job.abandoned = True
                raise
        return stream

    def _drive(self, job: Job) -> None:
        self._scheduler.drive(job)

    def _wake(self) -> None:
        # A method of the engine, so that a stream keeps its engine from being collected.
        self._scheduler.wake()

    def _prepare(self, index: int, request: Request, job: Job) -> Running:
        params = request.params
        check_params(params, vocab_size=self._vocab_size)
        adapter = self._adapters.wanted(request.adapter)
        ids = self.prompt_ids(request)
        check_length(len(ids), params.max_tokens, self.max_context_tokens)
        return Running(
            index=index,
            job=job,
            prompt_ids=ids,
            params=params,
            seed=random.SystemRandom().getrandbits(64) if params.seed is None else params.seed,
            decoder=StreamDecoder(self.tokenizer, skip=self._special_ids),
            eos_ids=self.eos_ids,
            cancel=request.cancel,
            adapter=adapter,
        )

    def prompt_ids(self, request: Request) -> list[int]:
        """The token ids that a request's prompt becomes."""
        prompt = request.prompt
        if isinstance(prompt, str):
            self._check_text_length(prompt)
            ids = self.tokenizer.encode(prompt)
            if self.bos_id is not None and (self.add_bos or not ids):
                ids = [self.bos_id, *ids]
        elif len(prompt) > 0 and isinstance(prompt[0], Mapping):
            ids = self._chat_ids(prompt, request.template)  # type: ignore[arg-type]
        else:
            if len(prompt) > self.max_context_tokens:
                check_length(len(prompt), request.params.max_tokens, self.max_context_tokens)
            check_prompt_ids(prompt, vocab_size=self._vocab_size)
            ids = list(prompt)  # type: ignore[arg-type]
            if not ids and self.bos_id is not None:
                ids = [self.bos_id]
        if not ids:
            raise RequestError(
                "prompt: it is empty, and this model has no beginning-of-text token to begin with",
                param="prompt",
                code="empty_prompt",
            )
        return ids

    def _chat_ids(self, messages: Sequence[Message], variables: Mapping[str, Any]) -> list[int]:
        if self.chat_template is None:
            raise RequestError(
                f"messages: the model {self.name} has no chat template",
                param="messages",
                code="no_chat_template",
                hint="send a plain text prompt, or add chat_template.jinja to the model directory",
            )
        if "messages" in variables:
            raise RequestError(
                "template: messages is the conversation itself and cannot be set",
                param="template",
                code="invalid_value",
            )
        given = {"add_generation_prompt": True, **variables}
        if not isinstance(self.chat_template, ChatTemplate):
            text = self.chat_template.render(messages, **given)
            self._check_text_length(text)
            return self.tokenizer.encode(text, allow_special=True)
        # As a training run makes them: control tokens written in a message are ordinary text.
        rendered = render_chat(self.chat_template, self.tokenizer, messages, **given)
        self._check_text_length(rendered.text)
        return encode_rendered(self.tokenizer, rendered)

    def _check_text_length(self, text: str) -> None:
        most = self.max_context_tokens * _LONGEST_TOKEN_BYTES
        if len(text) > most:
            raise RequestError(
                f"prompt: {len(text):,} characters cannot fit into {self.max_context_tokens} tokens",
                param="prompt",
                code="context_length_exceeded",
                hint="shorten the prompt",
            )

    # Scorer

    def logprobs(self, requests: Sequence[ScoreRequest], *, stride_tokens: int | None = None) -> list[TokenLogprobs]:
        """Natural log-probabilities of each continuation's tokens after its context, at any length.

        stride_tokens: how far a window moves on when the text is longer than the context; None: half the context.
        Scoring shares the model's thread with generation, a pass at a time.
        """
        context = self.max_context_tokens
        stride = min(stride_tokens or max(1, context // 2), context)
        asked: list[tuple[int, ...]] = []
        windows = []
        given: list[bool] = []
        for number, request in enumerate(requests):
            before, ids = self._score_ids(request)
            asked.append(ids)
            # Without anything to stand on, the first token has no probability and is left out.
            first_known = bool(before)
            given.append(first_known)
            scored = len(ids) if first_known else len(ids) - 1
            if scored > 0:
                windows += windows_of(number, (*before, *ids), scored, context, stride)
        logprobs = [[0.0] * (len(ids) if known else len(ids) - 1) for ids, known in zip(asked, given)]
        greedy = [[False] * len(values) for values in logprobs]
        for batch in batches_of(windows, _SCORE_TOKENS_PER_CALL):
            found = self._scheduler.call(lambda batch=batch: score_batch(self._runner.full, batch))  # type: ignore[misc]
            for window, (values, flags) in zip(batch, found):
                span = slice(window.place, window.place + window.scored)
                logprobs[window.request][span] = values
                greedy[window.request][span] = flags
        unit = unit_of(self.tokenizer)
        return [
            TokenLogprobs(token_ids=ids if known else ids[1:], logprobs=tuple(values), greedy=tuple(flags), unit=unit)
            for ids, known, values, flags in zip(asked, given, logprobs, greedy)
        ]

    def _score_ids(self, request: ScoreRequest) -> tuple[list[int], tuple[int, ...]]:
        """What comes before, and the tokens asked for."""
        context, continuation = request.context, request.continuation
        if isinstance(continuation, str):
            if not isinstance(context, str):
                raise RequestError(
                    "context and continuation must both be text or both be ids", param="context", code="invalid_type"
                )
            before = self.tokenizer.encode(context)
            ids = tuple(self.tokenizer.encode(continuation))
        else:
            if isinstance(context, str) and context:
                raise RequestError(
                    "context and continuation must both be text or both be ids", param="context", code="invalid_type"
                )
            before, ids = [int(i) for i in context], tuple(continuation)
            check_prompt_ids(before, vocab_size=self._model.config.vocab_size)
            check_prompt_ids(ids, vocab_size=self._model.config.vocab_size)
        if self.bos_id is not None and (not before or (self.add_bos and isinstance(continuation, str))):
            before = [self.bos_id, *before]
        return before, ids

    # Life

    def sync_weights(self, source: torch.nn.Module | Mapping[str, Tensor] | None = None) -> int:
        """Use new weights from the next token on; returns the new version, which later chunks carry.

        None: the values of the model that the engine was made with (which it shares, unless it runs in another dtype). A
        module or a state dict: those values. What runs is read again
        under the new weights, so that no token is made from a mixture of old memories and new weights.
        """

        def swap() -> int:
            new = source
            if new is None and self._model is not self._source:
                new = self._source
            if new is not None:
                with torch.no_grad():
                    self._adapters.load_base(new.state_dict() if isinstance(new, torch.nn.Module) else new)
            self._scheduler.weights_version += 1
            self._scheduler.read_again()
            return self._scheduler.weights_version

        return self._scheduler.call(swap)

    def add_adapter(self, name: str, directory: Path | str, *, default: bool = False) -> None:
        """Put an adapter (PEFT's files) on the model, for requests that name it; those running go on undisturbed.

        default: also for requests that name none, and for scoring. With dtype "model" it is put on the model that was given.
        Raises ArtifactError or ModelError where it is damaged or does not fit.
        """

        def put() -> None:
            self._adapters.add(name, Path(directory))
            if default:
                self._adapters.default = self._runner.default_adapter = name

        self._scheduler.call(put)

    @property
    def weights_version(self) -> int:
        return self._scheduler.weights_version

    def probe(self, timeout_seconds: float = 5.0) -> bool:
        """Does a token really go through the model's thread within the time? For health checks."""
        try:
            self._scheduler.call(self._scheduler.probe, timeout_seconds=timeout_seconds)
        except (GroundupError, FutureTimeout, RuntimeError):
            return False
        return True

    @property
    def stats(self) -> EngineStats:
        return self._scheduler.stats

    @property
    def compiled(self) -> bool:
        """Do decode steps go through the compiled step?"""
        return self._runner.one_token is not None

    @property
    def closed(self) -> bool:
        return self._scheduler.closed

    def close(self) -> None:
        """End the thread; callers that still wait get an error."""
        self._finalizer()

    def __enter__(self) -> Engine:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
