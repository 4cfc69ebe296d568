"""One request on its way through the engine, and the stream its caller reads."""

from __future__ import annotations

import queue
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence

from ..core.protocols import Tokenizer
from ..core.types import Chunk, FinishReason, SamplingParams, TokenLogprob, Usage
from ..tokenizers.stream import StreamDecoder
from .text import StopText


class Running:
    """A validated request: its ids so far, and the text of its completion as it becomes whole."""

    __slots__ = (
        "adapter",
        "cached",
        "cancel",
        "decoder",
        "ended",
        "eos_ids",
        "followers",
        "ids",
        "index",
        "job",
        "made",
        "params",
        "pending_ids",
        "pending_logprobs",
        "prompt_length",
        "row_tokens",
        "seed",
        "stem",
        "stem_tokens",
        "stop_text",
        "version",
        "whole_text",
    )

    def __init__(
        self,
        *,
        index: int,
        job: Job,
        prompt_ids: Sequence[int],
        params: SamplingParams,
        seed: int,
        decoder: StreamDecoder,
        eos_ids: frozenset[int],
        cancel: threading.Event,
        adapter: str | None = None,
    ) -> None:
        self.adapter = adapter
        self.followers: list[Running] = []
        """Requests of the same prompt that get copies of this row once it is read."""
        self.index = index
        self.job = job
        self.ids = list(prompt_ids)
        self.prompt_length = len(self.ids)
        self.params = params
        self.seed = seed
        self.decoder = decoder
        self.stop_text = StopText(params.stop)
        self.eos_ids = frozenset() if params.ignore_eos else eos_ids
        self.cancel = cancel
        self.stem: object = self
        """Equal for requests whose rows were copied from one reading, of the first `stem_tokens` tokens."""
        self.stem_tokens = 0
        self.row_tokens = 0
        """How many of `ids` this row's memory holds."""
        self.made = 0
        self.version = 0
        self.pending_ids: list[int] = []
        self.pending_logprobs: list[TokenLogprob] = []
        self.whole_text: list[str] = []
        """Text so far of a request that is sent as one chunk, where stop strings made us look at it."""
        self.ended = False
        """Its last chunk is sent; its row is given back a moment later."""

    @property
    def cancelled(self) -> bool:
        return self.cancel.is_set() or self.job.abandoned

    def accept(self, token_id: int, logprob: TokenLogprob | None, version: int) -> bool:
        """Take in a sampled id and send on what text has become whole; True when the completion has ended."""
        if self.pending_ids and version != self.version and not self.job.whole:
            self._send("", None)  # a chunk is of one version, even where its bytes are no whole character yet
        self.version = min(version, self.version) if self.pending_ids else version
        self.ids.append(token_id)
        self.made += 1
        self.pending_ids.append(token_id)
        if logprob is not None:
            self.pending_logprobs.append(logprob)
        params = self.params
        if token_id in self.eos_ids or token_id in params.stop_token_ids:
            self.finish("stop")
            return True
        if self.job.whole and not params.stop:
            # Nobody looks at the text before its end.
            if self.made >= params.max_tokens:
                self.finish("length")
                return True
            return False
        text = self.stop_text.push(self.decoder.push((token_id,)))
        if self.stop_text.found is not None:
            self._send(text, "stop")
            return True
        if self.made >= params.max_tokens:
            self.finish("length", text)
            return True
        if self.job.whole:
            self.whole_text.append(text)
        elif text:
            self._send(text, None)
        return False

    def finish(self, reason: FinishReason, text: str = "") -> None:
        """Send the last chunk, with whatever was held back."""
        if self.job.whole and not self.params.stop:
            text = self.decoder.push(self.pending_ids)
        text += self.stop_text.push(self.decoder.finish())
        if self.stop_text.found is not None and reason == "length":
            reason = "stop"
        self._send(text + self.stop_text.finish(), reason)

    def _send(self, text: str, reason: FinishReason | None) -> None:
        if self.whole_text:
            text = "".join([*self.whole_text, text])
        usage = None
        if reason is not None:
            usage = Usage(prompt_tokens=self.prompt_length, completion_tokens=self.made)
        chunk = Chunk(
            text=text,
            token_ids=tuple(self.pending_ids),
            logprobs=tuple(self.pending_logprobs),
            finish_reason=reason,
            usage=usage,
            weights_version=self.version,
        )
        self.pending_ids, self.pending_logprobs = [], []
        self.ended = reason is not None
        self.job.put(self.index, chunk, last=reason is not None)


class Job:
    """One call of `generate`: requests that wait, and the chunks of those that run."""

    def __init__(self, *, whole: bool = False) -> None:
        """whole: each request's only chunk is its last."""
        self.whole = whole
        self.waiting: deque[Running] = deque()
        self.open = 0
        """Requests without a last chunk yet; only the scheduler counts down."""
        self.started = False
        self.abandoned = False
        self._chunks: queue.SimpleQueue[tuple[int, Chunk] | BaseException] = queue.SimpleQueue()

    def add(self, sequence: Running) -> None:
        self.waiting.append(sequence)
        self.open += 1

    def put(self, index: int, chunk: Chunk, *, last: bool) -> None:
        if last:
            self.open -= 1
        self._chunks.put((index, chunk))

    def fail(self, error: BaseException) -> None:
        self.abandoned = True
        self.waiting.clear()
        self._chunks.put(error)

    def get(self) -> tuple[int, Chunk] | BaseException:
        return self._chunks.get()

    @property
    def empty(self) -> bool:
        return self._chunks.empty()


class Stream(Iterator[tuple[int, Chunk]]):
    """What `generate` returns. Closing it, or letting it go, gives its rows back."""

    def __init__(self, job: Job, wake: Callable[[], None], drive: Callable[[Job], None] | None = None) -> None:
        """drive: makes the job's next chunk in the caller's thread, where no other thread does."""
        self._job = job
        self._wake = wake
        self._drive = drive
        self._left = job.open

    def __next__(self) -> tuple[int, Chunk]:
        if self._left == 0:
            raise StopIteration
        if self._drive is not None:
            self._drive(self._job)
        item = self._job.get()
        if isinstance(item, BaseException):
            self._left = 0
            raise item
        if item[1].finish_reason is not None:
            self._left -= 1
        return item

    def close(self) -> None:
        if self._left:
            self._left = 0
            self._job.abandoned = True
            self._wake()

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        self.close()


def describe(tokenizer: Tokenizer, token_id: int) -> tuple[str, bytes]:
    """A token's own text, for log-probabilities, and its bytes."""
    raw = tokenizer.token_bytes(token_id)
    return raw.decode("utf-8", errors="replace"), raw
