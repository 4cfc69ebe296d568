"""Count the distinct pieces of a corpus, on several threads and in bounded memory."""

from __future__ import annotations

import itertools
import os
import queue
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from pathlib import Path

import numpy as np

from groundup.core.errors import DataError

from .splitter import Splitter, as_bytes

_JOB_BYTES = 2 << 20
_FILE_BYTES = 8 << 20
_EMPTY = np.uint64(0xFFFFFFFFFFFFFFFF)  # hashing.EMPTY, without importing Numba
_NO_WEIGHTS = np.empty(0, np.int64)


class PieceCounts:
    """Distinct pieces and how often each was seen.

    arena uint8: the bytes of all pieces, one after the other. word_end int64 [words]: where each ends. word_count int64 [words].
    """

    def __init__(self) -> None:
        self.num_words = 0
        self._slot_key = np.full(1 << 16, _EMPTY, np.uint64)
        self._slot_word = np.empty(1 << 16, np.int32)
        self._word_end = np.empty(1 << 15, np.int64)
        self._word_count = np.empty(1 << 15, np.int64)
        self._arena = np.empty(1 << 18, np.uint8)

    @property
    def arena(self) -> np.ndarray:
        used = self._word_end[self.num_words - 1] if self.num_words else 0
        return self._arena[:used]

    @property
    def word_end(self) -> np.ndarray:
        return self._word_end[: self.num_words]

    @property
    def word_count(self) -> np.ndarray:
        return self._word_count[: self.num_words]

    def items(self) -> Iterator[tuple[bytes, int]]:
        """(piece, count), in the order of first sight."""
        start = 0
        arena = self.arena.tobytes()
        for end, count in zip(self.word_end.tolist(), self.word_count.tolist()):
            yield arena[start:end], count
            start = end

    def add(self, data: np.ndarray, at: int, ends: np.ndarray, count: int, weights: np.ndarray = _NO_WEIGHTS) -> None:
        """Add the pieces ends[:count] of `data`, the first of which starts at byte `at`."""
        from .count_kernels import count_pieces

        done = 0
        while True:
            done, at, self.num_words = count_pieces(
                data, at, ends, done, count, weights, self._slot_key, self._slot_word, self._word_end, self._word_count,
                self._arena, self.num_words,
            )  # fmt: skip
            if done >= count:
                return
            self._grow(int(ends[done]) - at)

    def _grow(self, wanted_bytes: int) -> None:
        from .count_kernels import rehash

        if 2 * self.num_words >= len(self._slot_key):
            slot_key = np.full(2 * len(self._slot_key), _EMPTY, np.uint64)
            slot_word = np.empty(len(slot_key), np.int32)
            rehash(self._slot_key, self._slot_word, slot_key, slot_word)
            self._slot_key, self._slot_word = slot_key, slot_word
        if self.num_words >= len(self._word_end):
            self._word_end = np.concatenate([self._word_end, np.empty_like(self._word_end)])
            self._word_count = np.concatenate([self._word_count, np.empty_like(self._word_count)])
        if len(self.arena) + wanted_bytes > len(self._arena):
            room = max(2 * len(self._arena), len(self.arena) + wanted_bytes)
            arena = np.empty(room, np.uint8)
            arena[: len(self.arena)] = self.arena
            self._arena = arena

    def merge(self, other: PieceCounts) -> None:
        """Add what another has counted."""
        arena = other.arena.view()
        arena.flags.writeable = False
        self.add(arena, 0, other.word_end, other.num_words, other.word_count)


def num_cores() -> int:
    """Cores this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _buffers(texts: Iterable[str | Path], splitter: Splitter) -> Iterator[np.ndarray]:
    """UTF-8 of each text; a file is read in parts that end where a cut changes nothing."""
    for text in texts:
        if isinstance(text, str):
            yield as_bytes(text)
            continue
        try:
            with open(text, encoding="utf-8", errors="replace", newline="") as file:
                rest = np.empty(0, np.uint8)
                while part := file.read(_FILE_BYTES):
                    data = as_bytes(part)
                    data = np.concatenate([rest, data]) if len(rest) else data
                    cut = splitter.last_cut(data)
                    rest = data[cut:]
                    data = data[:cut]
                    data.flags.writeable = False
                    yield data
                rest = rest.view()
                rest.flags.writeable = False
                yield rest
        except OSError as error:
            raise DataError(f"cannot read {text}: {error.strerror or error}") from error


def _jobs(buffers: Iterable[np.ndarray], splitter: Splitter) -> Iterator[list[tuple[np.ndarray, int, int]]]:
    """Lists of (buffer, start, stop) of about _JOB_BYTES each."""
    job: list[tuple[np.ndarray, int, int]] = []
    size = 0
    for data in buffers:
        cuts = splitter.cuts(data, _JOB_BYTES)
        for start, stop in itertools.pairwise(cuts):
            job.append((data, start, stop))
            size += stop - start
            if size >= _JOB_BYTES:
                yield job
                job, size = [], 0
    if job:
        yield job


def count_texts(
    texts: Iterable[str | Path],
    splitter: Splitter,
    *,
    num_threads: int = 0,
    on_bytes: Callable[[int], None] | None = None,
) -> PieceCounts:
    """Count the pieces of texts and files (a Path is read as UTF-8). A piece never spans two of them.

    num_threads: 0 takes every core. on_bytes: called with the bytes counted so far. Memory: the distinct pieces, once per
    thread, and a few megabytes of text.
    """
    num_threads = (num_threads or num_cores()) if splitter.compiled else 1
    free: queue.SimpleQueue[PieceCounts] = queue.SimpleQueue()
    counts = [PieceCounts() for _ in range(num_threads)]
    for each in counts:
        free.put(each)

    def work(job: list[tuple[np.ndarray, int, int]]) -> int:
        into = free.get()
        try:
            for data, start, stop in job:
                for at, ends, count in splitter.blocks(data, start, stop):
                    into.add(data, at, ends, count)
        finally:
            free.put(into)
        return sum(stop - start for _, start, stop in job)

    done_bytes = 0
    jobs = _jobs(_buffers(texts, splitter), splitter)
    if num_threads == 1:
        for job in jobs:
            done_bytes += work(job)
            if on_bytes:
                on_bytes(done_bytes)
    else:
        with ThreadPoolExecutor(num_threads) as pool:
            waiting: set[Future[int]] = set()
            for job in jobs:
                waiting.add(pool.submit(work, job))
                if len(waiting) > 2 * num_threads:
                    finished, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                    done_bytes += sum(future.result() for future in finished)
                    if on_bytes:
                        on_bytes(done_bytes)
            done_bytes += sum(future.result() for future in waiting)
        if on_bytes:
            on_bytes(done_bytes)
    for other in counts[1:]:
        counts[0].merge(other)
    return counts[0]
