"""What a model must beat: simple answers to the same question, each in a few lines.

For text: every byte equally likely, byte and token frequencies (all three are Scorers, measured by the same code as any
model), and the xz compressor, alone and after it has seen training text. For tasks: the commonest answer, the nearest
training example's answer, and samples from byte frequencies.
"""

from __future__ import annotations

import lzma
import math
import random
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

import numpy as np

from ..core.protocols import Tokenizer
from ..core.types import Capabilities, ScoreRequest, TaskExample, TokenLogprobs
from ..tasks.questions import prompt_text

_NO_LIMIT = 0


class ByteUnigram:
    """Bytes by how often they are in some text, each counted once more than it was seen (add-one), so that none is
    impossible. Without text every byte is equally likely.
    """

    def __init__(self, texts: Iterable[str] = (), *, name: str = "byte unigram") -> None:
        counts = np.ones(256)
        for text in texts:
            counts += np.bincount(np.frombuffer(text.encode("utf-8"), dtype=np.uint8), minlength=256)
        self._logprobs = np.log(counts / counts.sum())
        self.capabilities = Capabilities(
            model=name, max_context_tokens=_NO_LIMIT, abilities=frozenset({"score", "logprobs"})
        )

    def logprobs(self, requests: Sequence[ScoreRequest]) -> list[TokenLogprobs]:
        """One entry per byte of the continuation; the context changes nothing."""
        results = []
        for request in requests:
            data = str(request.continuation).encode("utf-8")
            picked = self._logprobs[np.frombuffer(data, dtype=np.uint8)]
            results.append(TokenLogprobs(token_ids=tuple(data), logprobs=tuple(picked.tolist()), unit="byte"))
        return results

    def sample(self, num_bytes: int, rng: random.Random) -> str:
        """Bytes drawn one by one; what is not UTF-8 is left out."""
        drawn = rng.choices(range(256), weights=np.exp(self._logprobs).tolist(), k=num_bytes)
        return bytes(drawn).decode("utf-8", errors="ignore")


class TokenUnigram:
    """Tokens by how often they are in some text, with add-one over the whole vocabulary."""

    def __init__(self, tokenizer: Tokenizer, texts: Iterable[str], *, name: str = "token unigram") -> None:
        self._tokenizer = tokenizer
        counts = np.ones(tokenizer.vocab_size)
        for text in texts:
            counts += np.bincount(tokenizer.encode(text), minlength=tokenizer.vocab_size)
        self._logprobs = np.log(counts / counts.sum())
        self.capabilities = Capabilities(
            model=name, max_context_tokens=_NO_LIMIT, abilities=frozenset({"score", "logprobs"})
        )

    def logprobs(self, requests: Sequence[ScoreRequest]) -> list[TokenLogprobs]:
        """One entry per token of the continuation; the context changes nothing."""
        results = []
        for request in requests:
            ids = self._tokenizer.encode(str(request.continuation))
            results.append(TokenLogprobs(token_ids=tuple(ids), logprobs=tuple(self._logprobs[ids].tolist())))
        return results


def xz_bits_per_byte(texts: Sequence[str], *, primer: Sequence[str] = ()) -> float:
    """Bits per byte of `texts`, joined, under xz at its strongest.

    With a primer: what the texts add to the size of the primer compressed before them, which is what the compressor makes
    of having seen it. The container's own bytes (under a hundred) count without a primer and cancel out with one.
    """
    data = "".join(texts).encode("utf-8")
    if not data:
        raise ValueError("no text to compress")
    before = "".join(primer).encode("utf-8")
    size = _xz_size(before + data) - (_xz_size(before) if before else 0)
    return 8 * size / len(data)


def _xz_size(data: bytes) -> int:
    return len(lzma.compress(data, format=lzma.FORMAT_XZ, preset=9 | lzma.PRESET_EXTREME))


class MostCommonAnswer:
    """The answer that training examples of the same kind have most often; of all of them where the kind is new."""

    def __init__(self, examples: Iterable[TaskExample]) -> None:
        by_kind: dict[str, Counter[str]] = defaultdict(Counter)
        everything: Counter[str] = Counter()
        for example in examples:
            by_kind[str(example.meta.get("kind", ""))][str(example.answer)] += 1
            everything[str(example.answer)] += 1
        self._answers = {kind: counts.most_common(1)[0][0] for kind, counts in by_kind.items()}
        self._fallback = everything.most_common(1)[0][0] if everything else ""

    def __call__(self, example: TaskExample) -> str:
        return self._answers.get(str(example.meta.get("kind", "")), self._fallback)


_WORD = re.compile(r"[A-Za-z]+|\d+|[^\W\d_A-Za-z]+")


def _features(text: str) -> Counter[str]:
    """Lower-case words, with `snake_case` and `camelCase` names both whole and in parts."""
    counts: Counter[str] = Counter()
    for name in re.findall(r"\w+", text):
        parts = _WORD.findall(re.sub(r"([a-z0-9])([A-Z])", r"\1 \2", name))
        counts.update({name.lower(), *(part.lower() for part in parts)})
    return counts


class NearestExample:
    """The answer of the training example whose prompt is most alike: cosine of word weights, tf-idf as in Salton and
    Buckley 1988 ((1 + ln tf) * ln(N / df)). Among examples of the same kind, where there are any; ties go to the first.

    Held as an inverted index, so that a question costs as much as its words are common, not a pass over all examples.
    """

    def __init__(self, examples: Iterable[TaskExample]) -> None:
        self._answers: list[str] = []
        kinds: list[str] = []
        found: dict[str, list[tuple[int, int]]] = defaultdict(list)
        for number, example in enumerate(examples):
            self._answers.append(str(example.answer))
            kinds.append(str(example.meta.get("kind", "")))
            for word, count in _features(prompt_text(example.prompt)).items():
                found[word].append((number, count))
        self._kinds = np.array(kinds)
        total = len(self._answers)
        self._idf = {word: math.log(total / len(places)) for word, places in found.items()}
        self._places = {word: np.array([n for n, _ in places]) for word, places in found.items()}
        self._weights = {
            word: (1 + np.log([count for _, count in places])) * self._idf[word] for word, places in found.items()
        }
        squares = np.zeros(total)
        for word, places in self._places.items():
            squares[places] += self._weights[word] ** 2
        self._norms = np.sqrt(np.where(squares > 0, squares, 1.0))

    def __call__(self, example: TaskExample) -> str:
        if not self._answers:
            return ""
        alike = np.zeros(len(self._answers))
        for word, count in _features(prompt_text(example.prompt)).items():
            if word in self._places:
                alike[self._places[word]] += (1 + math.log(count)) * self._idf[word] * self._weights[word]
        alike /= self._norms
        same_kind = self._kinds == str(example.meta.get("kind", ""))
        if same_kind.any():
            alike[~same_kind] = -1.0
        return self._answers[int(alike.argmax())]
