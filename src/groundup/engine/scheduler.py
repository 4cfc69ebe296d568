"""The one thread that owns the model: it merges every caller's requests into one batch that changes at each step.

A step is: take in what callers sent, drop what was cancelled, give free rows to waiting requests (callers take turns), one
chunk of prompt, one decode of all active rows together. Active rows are always 0 .. n-1 of the memory pool and the rows whose
prompts are being read follow them; when one ends the last takes its place. Requests of one prompt that are admitted together
read it once: the first reads, the others get copies of its row. One more row at the end of the pool is the probe's. Nothing
here knows what the memories are.

With `inline` there is no thread: the same steps are done by whichever caller waits for a chunk (`drive`).

A change of weights makes all memories stale: the running sequences are then read again, prompt and completion so far, under
the new weights. The same happens when a result is not finite, since what a row left behind could reach the others.
"""

from __future__ import annotations

import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from ..core.errors import BusyError, GroundupError, ModelError
from ..core.protocols import Tokenizer
from ..nn.protocols import Sampler
from .config import EngineConfig
from .runner import ModelRunner, Stems
from .sampling import RowSettings, SamplingPlan, told_logprobs
from .sequence import Job, Running, describe

T = TypeVar("T")

_SWEEP_STEPS = 16
"""Waiting requests are looked through for cancelled ones every so many steps; running ones at every step."""
_ROOM_TOKENS = 64
"""Memories made for one call are a multiple of this long, so that calls of nearly equal lengths share them."""
_FIRST_GUESS_SECONDS = 1.0
"""How long a request takes, until one has ended."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineStats:
    running: int
    """Requests that have a row."""
    waiting: int
    """Requests that have none yet."""
    generated_tokens: int
    prompt_tokens: int
    """Both since the engine was made."""
    cache_bytes: int
    """Held by the memories of all rows."""
    steps: int
    """Decode steps since the engine was made."""


class Scheduler:
    def __init__(
        self,
        runner: ModelRunner,
        tokenizer: Tokenizer,
        config: EngineConfig,
        *,
        vocab_size: int,
        samplers: Sequence[Sampler] = (),
        weights_version: int = 0,
    ) -> None:
        """runner has config.max_batch_size + 1 rows. vocab_size: ids from there on are never sampled (padding)."""
        self.runner = runner
        self.tokenizer = tokenizer
        self.config = config
        self.vocab_size = vocab_size
        self.samplers = tuple(samplers)
        self.weights_version = weights_version
        self._inbox: queue.SimpleQueue[Job | tuple[Callable[[], Any], Future[Any]] | None] = queue.SimpleQueue()
        # SimpleQueue.put may be called from a destructor; the lock guards only what callers do in their own time.
        self._lock = threading.Lock()
        self._closed: str | None = None
        self._unstarted = 0
        self._jobs: deque[Job] = deque()
        self._again: deque[Running] = deque()
        self._active: list[Running] = []
        self._reading: list[Running] = []
        self._plan: SamplingPlan | None = None
        self._stems: Stems | None = None
        """Both of the active rows, for as long as they stay the same."""
        self._generated = self._prompt = self._steps = 0
        self._seconds_per_request = _FIRST_GUESS_SECONDS
        self._began: dict[int, float] = {}
        self._described: dict[int, tuple[str, bytes]] = {}
        # Held by whoever does steps inline; re-entrant, since a destructor that closes an engine may run in any of them.
        self._turn = threading.RLock()
        self._thread: threading.Thread | None = None
        if not config.inline:
            self._thread = threading.Thread(target=self._run, name="groundup-engine", daemon=True)
            self._thread.start()

    # What other threads call.

    def submit(self, job: Job) -> None:
        with self._lock:
            self._refuse_if_closed()
            if self._unstarted >= self.config.max_waiting:
                seconds = self._seconds_per_request * (1 + self._unstarted / self.config.max_batch_size)
                raise BusyError(
                    f"{self._unstarted} calls are waiting, the limit is {self.config.max_waiting}",
                    retry_after_seconds=round(max(seconds, 0.1), 1),
                )
            self._unstarted += 1
            self._inbox.put(job)

    def call(self, function: Callable[[], T], *, timeout_seconds: float | None = None) -> T:
        """Run `function` on the model's thread between two steps and return what it returns."""
        if self._thread is None:
            if not self._turn.acquire(timeout=-1 if timeout_seconds is None else timeout_seconds):
                raise TimeoutError(f"the engine was busy for {timeout_seconds} seconds")
            try:
                self._refuse_if_closed()
                self.runner.enter_thread()
                return function()
            finally:
                self._turn.release()
        if threading.current_thread() is self._thread:
            return function()
        future: Future[T] = Future()
        with self._lock:
            self._refuse_if_closed()
            self._inbox.put((function, future))
        return future.result(timeout_seconds)

    def wake(self) -> None:
        """Look at cancellations now."""
        self._inbox.put(None)

    def close(self) -> None:
        with self._lock:
            self._closed = self._closed or "close() was called"
            self._inbox.put(None)
        if self._thread is None:
            with self._turn:
                self._shut(self._closed, None)
        elif threading.current_thread() is not self._thread:
            self._thread.join()

    @property
    def closed(self) -> bool:
        return self._closed is not None

    @property
    def stats(self) -> EngineStats:
        return EngineStats(
            running=sum(not sequence.ended for sequence in self._holding()),
            waiting=sum(len(job.waiting) for job in list(self._jobs)) + len(self._again),
            generated_tokens=self._generated,
            prompt_tokens=self._prompt,
            cache_bytes=self.runner.nbytes,
            steps=self._steps,
        )

    def _holding(self) -> list[Running]:
        """Requests that have a row, or one put aside for them."""
        reading = list(self._reading)
        return [*self._active, *reading, *(f for s in reading for f in s.followers)]

    def _refuse_if_closed(self) -> None:
        if self._closed is not None:
            raise ModelError(f"this engine is closed: {self._closed}", hint="make a new Engine")

    def drive(self, job: Job) -> None:
        """Inline: do steps until the job has a chunk to read, or an error."""
        with self._turn:
            try:
                if job.empty:
                    self.runner.enter_thread()
                while job.empty and self._receive(wait=False):
                    self._drop_cancelled()
                    self._step()
            except BaseException as error:  # an interrupt in the middle of a step: what the rows hold is unknown
                self._fail_running(error)
                raise

    # What the model's thread does.

    def _run(self) -> None:
        try:
            if self.config.threads is not None:
                torch.set_num_threads(self.config.threads)
            self.runner.enter_thread()
            while self._receive(wait=True):
                self._drop_cancelled()
                self._step()
        except BaseException as error:  # the loop itself is broken: say so to everyone rather than leave them waiting
            self._shut(f"its thread ended with {type(error).__name__}: {error}", error)
        else:
            self._shut(self._closed or "close() was called", None)

    def _receive(self, *, wait: bool) -> bool:
        """Take in everything that was sent; with `wait`, wait if there is nothing to do. False to end."""
        idle = wait and not (self._active or self._reading or self._again or self._jobs)
        while self._closed is None:
            try:
                item = self._inbox.get(block=idle)
            except queue.Empty:
                return True
            idle = False
            if isinstance(item, Job):
                self._jobs.append(item)
            elif item is not None:
                self._answer(*item)
        return False

    def _answer(self, function: Callable[[], Any], future: Future[Any]) -> None:
        if not future.set_running_or_notify_cancel():
            return
        try:
            future.set_result(function())
        except BaseException as error:
            future.set_exception(error)

    def _shut(self, reason: str, cause: BaseException | None) -> None:
        with self._lock:
            self._closed = self._closed or reason
            for sequence in (*self._holding(), *self._again):
                self._jobs.append(sequence.job)
            while True:
                try:
                    item = self._inbox.get_nowait()
                except queue.Empty:
                    break
                if isinstance(item, Job):
                    self._jobs.append(item)
                elif item is not None:
                    item[1].set_exception(_closed_error(reason, cause))
            for job in {id(job): job for job in self._jobs}.values():
                if not job.abandoned:
                    job.fail(_closed_error(reason, cause))
            self._jobs.clear()
            self._active, self._reading = [], []
            self._again.clear()

    def _step(self) -> None:
        try:
            self._admit()
            if self._reading:
                self._read_prompts()
            if self._active:
                self._decode()
        except Exception as error:
            self._fail_running(error)

    def _fail_running(self, error: BaseException) -> None:
        """The model raised: whose fault it was cannot be known, so all that run are told; those that wait go on."""
        running = self._holding()
        self._active, self._reading, self._plan = [], [], None
        for sequence in running:
            self._began.pop(id(sequence), None)
            if not sequence.job.abandoned:
                failure = GroundupError(f"the model failed during a step: {type(error).__name__}: {error}")
                failure.__cause__ = error
                sequence.job.fail(failure)
        self.runner.reset()

    # Rows

    def _drop_cancelled(self) -> None:
        for leader in self._reading:
            for sequence in [f for f in leader.followers if f.cancelled]:
                leader.followers.remove(sequence)
                self._forget(sequence)
                if not sequence.job.abandoned:
                    sequence.finish("cancelled")
        ended = [s for s in (*self._active, *self._reading) if s.cancelled]
        self._end(ended)
        for sequence in ended:
            if not sequence.job.abandoned:
                sequence.finish("cancelled")
        if self._steps % _SWEEP_STEPS == 0 or not self._active:
            for sequence in [s for s in self._again if s.cancelled]:
                self._again.remove(sequence)
                if not sequence.job.abandoned:
                    sequence.finish("cancelled")
            for job in list(self._jobs):
                self._sweep(job)

    def _sweep(self, job: Job) -> None:
        if job.abandoned:
            job.waiting.clear()
        elif any(s.cancel.is_set() for s in job.waiting):
            kept = deque(s for s in job.waiting if not s.cancel.is_set())
            dropped = [s for s in job.waiting if s.cancel.is_set()]
            job.waiting = kept
            for sequence in dropped:
                sequence.finish("cancelled")
        if not job.waiting:
            self._jobs.remove(job)
            self._start(job)

    def _start(self, job: Job) -> None:
        if not job.started:
            job.started = True
            with self._lock:
                self._unstarted -= 1

    def _forget(self, sequence: Running) -> None:
        began = self._began.pop(id(sequence), None)
        if began is not None:
            self._seconds_per_request += 0.1 * (time.monotonic() - began - self._seconds_per_request)

    def _end(self, ended: Sequence[Running]) -> None:
        """Give their rows back: the last active rows take their places, and the last rows being read those that leaves."""
        if not ended:
            return
        self._plan = None
        for sequence in ended:
            self._forget(sequence)
        gone = {id(sequence) for sequence in ended}
        had = len(self._active)
        self._active = self._filled(self._active, gone, 0)
        # A reader that is gone leaves its row, and what it has read, to the next request of the same prompt.
        for place, reader in enumerate(self._reading):
            if id(reader) in gone and reader.followers:
                heir, *rest = reader.followers
                heir.row_tokens, heir.followers, reader.followers = reader.row_tokens, rest, []
                self._reading[place] = heir
        self._reading = self._filled(self._reading, gone, had)
        freed, count = had - len(self._active), len(self._reading)
        moved = min(freed, count)
        if moved:
            self._copy(
                self._reading[-moved:], range(had + count - moved, had + count), range(had - freed, had - freed + moved)
            )
            self._reading = self._reading[-moved:] + self._reading[:-moved]

    def _filled(self, rows: list[Running], gone: set[int], first: int) -> list[Running]:
        """`rows`, which stand from row `first` on, without those gone: the last ones fill the gaps."""
        left = len(rows) - sum(id(s) in gone for s in rows)
        gaps = [place for place in range(left) if id(rows[place]) in gone]
        tail = [place for place in range(left, len(rows)) if id(rows[place]) not in gone]
        kept = rows[:left]
        for gap, place in zip(gaps, tail):
            kept[gap] = rows[place]
        self._copy([rows[p] for p in tail], [first + p for p in tail], [first + g for g in gaps])
        return kept

    def _copy(self, sequences: Sequence[Running], sources: Sequence[int], targets: Sequence[int]) -> None:
        if sequences:
            self.runner.copy(sources, targets, max(s.row_tokens for s in sequences))

    def _admit(self) -> None:
        """Give free rows to waiting requests; callers take turns. Prompts of different lengths are read in one call where the
        memories allow it and the padded call fits into a chunk.
        """
        if self._reading:
            return
        free = self.config.max_batch_size - len(self._active)
        readers: dict[tuple[object, ...], Running] = {}
        longest = 0
        while free > 0:
            sequence = self._peek()
            if sequence is None:
                break
            key = (sequence.adapter, *sequence.ids)
            leader = readers.get(key)
            length = len(sequence.ids)
            if leader is None and readers:
                fits = max(length, longest) * (len(readers) + 1) <= self.config.prefill_chunk_tokens
                if not fits or (length != longest and not self.runner.rewinds):
                    break
            if not (self._active or readers) and self.config.inline:
                self._restart(sequence)
            self._take(sequence)
            if sequence.cancelled:
                if not sequence.job.abandoned:
                    sequence.finish("cancelled")
                continue
            free -= 1
            sequence.row_tokens = sequence.stem_tokens = 0
            sequence.stem = sequence
            if sequence.made == 0:
                self._prompt += length
                self._began[id(sequence)] = time.monotonic()
            if leader is None:
                readers[key] = sequence
                longest = max(longest, length)
            else:
                leader.followers.append(sequence)
        self._reading = list(readers.values())

    def _restart(self, first: Running) -> None:
        """Nothing runs: memories as large as what waits needs, whatever they were before, so that a call's numbers do not
        depend on earlier calls."""
        waiting = [first, *self._again, *(s for job in self._jobs for s in job.waiting)]
        needed = max(s.prompt_length + s.params.max_tokens for s in waiting)
        self.runner.restart(-(-needed // _ROOM_TOKENS) * _ROOM_TOKENS)

    def _peek(self) -> Running | None:
        if self._again:
            return self._again[0]
        while self._jobs:
            if self._jobs[0].waiting:
                return self._jobs[0].waiting[0]
            self._start(self._jobs.popleft())
        return None

    def _take(self, sequence: Running) -> None:
        if self._again:
            self._again.popleft()
            return
        job = self._jobs.popleft()
        job.waiting.popleft()
        self._start(job)
        if job.waiting:
            self._jobs.append(job)

    def read_again(self) -> None:
        """All memories are stale: put every running sequence back to be read from its beginning."""
        running = self._holding()
        for sequence in running:
            sequence.followers = []
        self._again.extendleft(reversed(running))
        self._active, self._reading, self._plan = [], [], None
        self.runner.reset()

    # Steps

    def _read_prompts(self) -> None:
        """One chunk of the prompts being read; after the last one, their first token. Prompts of different lengths are read
        only where one chunk is enough for all (`_admit`).
        """
        rows = self._reading
        start, length = rows[0].row_tokens, max(len(s.ids) for s in rows)
        end = min(length, start + max(1, self.config.prefill_chunk_tokens // len(rows)))
        logits = self.runner.step(
            [s.ids[start:end] for s in rows],
            [start] * len(rows),
            len(self._active),
            logits=end == length,
            adapters=[s.adapter for s in rows],
        )
        for sequence in rows:
            sequence.row_tokens = min(end, len(sequence.ids))
        if logits is None:
            return
        first = len(self._active)
        leaders = [place for place, s in enumerate(rows) for _ in s.followers]
        followers = [f for s in rows for f in s.followers]
        for place, follower in zip(leaders, followers):
            follower.row_tokens = follower.stem_tokens = rows[place].stem_tokens = rows[place].row_tokens
            follower.stem = rows[place].stem
            rows[place].followers = []
        if followers:
            free = first + len(rows)
            self._copy(followers, [first + p for p in leaders], range(free, free + len(followers)))
            logits = logits[[*range(len(rows)), *leaders]]
        rows = [*rows, *followers]
        self._active += rows
        self._reading = []
        self._plan = None
        self._sample(rows, logits, self._make_plan(rows))

    def _decode(self) -> None:
        rows = list(self._active)
        if self._plan is None:
            self._plan = self._make_plan(rows)
            self._stems = self._find_stems(rows)
        plan = self._plan
        logits = self.runner.step(
            [[s.ids[-1]] for s in rows],
            [s.row_tokens for s in rows],
            0,
            logits=True,
            stems=self._stems,
            adapters=[s.adapter for s in rows],
        )
        assert logits is not None
        self._steps += 1
        for sequence in rows:
            sequence.row_tokens += 1
        self._sample(rows, logits, plan)

    def _find_stems(self, rows: Sequence[Running]) -> Stems:
        first: dict[int, int] = {}
        places = [first.setdefault(id(s.stem), place) for place, s in enumerate(rows)]
        return Stems(np.array(places, np.int64), np.array([s.stem_tokens for s in rows], np.int64))

    def _make_plan(self, rows: Sequence[Running]) -> SamplingPlan:
        return SamplingPlan([RowSettings(s.params, s.seed, s.prompt_length) for s in rows], self.samplers)

    def _sample(self, rows: Sequence[Running], logits: Tensor, plan: SamplingPlan) -> None:
        """Draw each row's next token, and end the rows that have come to their end."""
        highest = logits.amax(dim=-1).isfinite()
        if not bool(highest.all()):
            self._fail_not_finite([s for s, good in zip(rows, highest.tolist()) if not good])
            return
        history = [s.ids for s in rows] if plan.needs_history else ()
        ids = plan.sample(logits[:, : self.vocab_size], history, [s.made for s in rows])
        details = told_logprobs(rows, logits, ids, self.vocab_size, self._describe)
        self._generated += len(ids)
        version = self.weights_version
        self._end([s for s, i, detail in zip(rows, ids, details) if s.accept(i, detail, version)])

    def _describe(self, token_id: int) -> tuple[str, bytes]:
        if token_id >= self.vocab_size:
            return "", b""
        known = self._described.get(token_id)
        if known is None:
            known = self._described[token_id] = describe(self.tokenizer, token_id)
        return known

    def _fail_not_finite(self, bad: Sequence[Running]) -> None:
        self._end(bad)
        for sequence in bad:
            if not sequence.job.abandoned:
                sequence.job.fail(
                    ModelError(
                        f"the model's logits are NaN or infinite after {len(sequence.ids)} tokens",
                        hint="the weights are damaged or overflow this dtype; try dtype=float32",
                    )
                )
        self.read_again()

    def probe(self) -> None:
        """One token through the model on the probe's own row; raises what the model raises."""
        logits = self.runner.step([[0]], [0], self.config.max_batch_size, logits=True)
        if logits is None or not bool(logits.amax().isfinite()):
            raise ModelError("the model's logits are not finite")


def _closed_error(reason: str, cause: BaseException | None) -> ModelError:
    error = ModelError(f"this engine is closed: {reason}", hint="make a new Engine")
    error.__cause__ = cause
    return error
