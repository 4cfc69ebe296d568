"""What of the made rows is worth keeping. Each filter is a config and passes every row on; a dropped one has its reason.

Rules of thumb, exact and near copies, crowding, and the score of a model. What is dropped stays to be looked at.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal, Protocol

from ...core.config import node
from ...core.errors import ConfigError
from ...core.protocols import Scorer
from ...core.types import Document, ScoreRequest
from ...text.measures import character_shares
from ...text.minhash import NearTexts
from ...text.overlap import repeated_share
from ..dedup import ExactDuplicates
from .made import Made, written_out

_REFUSAL = re.compile(
    r"(as an? (ai|artificial intelligence|large language|language)\b|i('m| am) (sorry|afraid),? (but )?i (can|could|am|'m)"
    r"|i (can ?not|can't|am unable to|am not able to) (help|assist|answer|provide|fulfil|comply|do that|continue)"
    r"|i do(n't| not) have (access|the ability|personal)|my (training data|knowledge cutoff))",
    re.IGNORECASE,
)
_LEFTOVER = re.compile(
    r"<\|[a-z_]+\|>|\[(INST|/INST|end)\]|^\s*(user|assistant|system)\s*:", re.IGNORECASE | re.MULTILINE
)


class Filter(Protocol):
    @property
    def type(self) -> str: ...

    @property
    def needs_scorer(self) -> bool: ...

    def __call__(self, rows: Iterable[Made], scorer: Scorer | None) -> Iterator[Made]: ...


@dataclass(frozen=True, kw_only=True)
class Heuristics:
    """Length, repetition, refusals, leftovers of a prompt's form, and text that is no language."""

    min_answer_characters: int = 1
    max_characters: int = 20_000
    """Of all messages."""
    max_repeated: float = 0.3
    """Share of an answer's 3-grams that are copies of earlier ones, for answers of at least 20 words. Rae et al. 2021 (Gopher), table
    A1, bound repeated n-grams at 0.2 of the characters for n = 2 and less above; answers list and quote more than web pages do."""
    min_letters: float = 0.5
    """Letters and digits per non-space character of what is said, for 20 characters and more."""
    max_unprintable: float = 0.0
    refusals: bool = False
    """Keep answers that refuse or speak of being a model."""
    type: Literal["heuristics"] = "heuristics"
    needs_scorer: ClassVar[bool] = False

    def __call__(self, rows: Iterable[Made], scorer: Scorer | None = None) -> Iterator[Made]:
        for made in rows:
            fault = None if made.dropped else self.fault(made)
            yield made.drop(self.type, *fault) if fault else made

    def fault(self, made: Made) -> tuple[str, str] | None:
        """(reason, what was measured), or None."""
        text = made.text
        if len(text) > self.max_characters:
            return "too long", f"{len(text)} characters, at most {self.max_characters}"
        calls = any(m.get("tool_calls") for m in made.row["messages"])
        if not made.answers and not calls:
            return "no answer", ""
        for answer in made.answers:
            if len(answer.strip()) < self.min_answer_characters:
                return "answer too short", f"{len(answer.strip())} characters, at least {self.min_answer_characters}"
            if not self.refusals and (found := _REFUSAL.search(answer)):
                return "refusal", found[0]
            if found := _LEFTOVER.search(answer):
                return "leftover of the prompt", found[0].strip()
            repeated = repeated_share(answer, 3)
            if len(answer.split()) >= 20 and repeated > self.max_repeated:
                return "repeats itself", f"share {repeated:.2f}, at most {self.max_repeated}"
        spoken = " ".join([*made.answers, *made.questions])
        letters, unprintable = character_shares(spoken)
        if unprintable > self.max_unprintable:
            return "unprintable characters", f"share {unprintable:.4f}, at most {self.max_unprintable}"
        solid = sum(not c.isspace() for c in spoken)
        language = letters + (sum(c.isdigit() for c in spoken) / solid if solid else 0.0)
        if solid >= 20 and language < self.min_letters:
            return "not language", f"letters and digits {language:.2f}, at least {self.min_letters}"
        return None


@dataclass(frozen=True, kw_only=True)
class ExactCopies:
    """Drop a row in which the same is said as in an earlier one, spaces apart (groundup.data.dedup)."""

    type: Literal["exact_copies"] = "exact_copies"
    needs_scorer: ClassVar[bool] = False

    def __call__(self, rows: Iterable[Made], scorer: Scorer | None = None) -> Iterator[Made]:
        every = list(rows)
        documents = (Document(id=made.id, text=made.text, dropped=made.dropped) for made in every)
        for made, document in zip(every, ExactDuplicates()(documents)):
            if made.dropped is None and document.dropped is not None:
                yield made.drop(self.type, "copy of another row", str(document.meta.get("detail", "")))
            else:
                yield made


@dataclass(frozen=True, kw_only=True)
class NearCopies:
    """Drop a row whose words are almost those of an earlier one: Jaccard similarity of word 3-grams, found with MinHash."""

    max_similarity: float = 0.8
    """Lee et al. 2022 take 0.8 for web documents."""
    what: Literal["all", "questions"] = "all"
    """Compare all that is said, or only what the users say."""
    type: Literal["near_copies"] = "near_copies"
    needs_scorer: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if not 0 < self.max_similarity < 1:
            raise ConfigError(f"must be between 0 and 1, not {self.max_similarity}", path="max_similarity")

    def __call__(self, rows: Iterable[Made], scorer: Scorer | None = None) -> Iterator[Made]:
        near = NearTexts(threshold=self.max_similarity)
        ids: list[str] = []
        for made in rows:
            if made.dropped:
                yield made
                continue
            text = made.text if self.what == "all" else "\n\n".join(made.questions)
            if alike := near.alike(text):
                number, similarity = alike[0]
                yield made.drop(self.type, "like another row", f"{similarity:.2f} of {ids[number]}")
            else:
                near.add(text)
                ids.append(made.id)
                yield made


@dataclass(frozen=True, kw_only=True)
class Crowding:
    """Keep at most so many rows of a cluster, so that no subject crowds out the others. A row belongs to the cluster of the
    first earlier row that its questions are somewhat like.
    """

    similarity: float = 0.4
    max_rows: int = 5
    type: Literal["crowding"] = "crowding"
    needs_scorer: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if not 0 < self.similarity < 1 or self.max_rows < 1:
            raise ConfigError("similarity must be between 0 and 1, max_rows at least 1", path="crowding")

    def __call__(self, rows: Iterable[Made], scorer: Scorer | None = None) -> Iterator[Made]:
        near = NearTexts(threshold=self.similarity, shingle_words=2)
        sizes: list[int] = []
        leaders: list[str] = []
        for made in rows:
            if made.dropped:
                yield made
                continue
            text = "\n\n".join(made.questions)
            alike = near.alike(text)
            if not alike:
                near.add(text)
                sizes.append(1)
                leaders.append(made.id)
                yield made
                continue
            cluster = min(number for number, _ in alike)
            sizes[cluster] += 1
            full = sizes[cluster] > self.max_rows
            yield made.drop(self.type, "enough like it", f"cluster of {leaders[cluster]}") if full else made


@dataclass(frozen=True, kw_only=True)
class ModelScore:
    """Keep rows whose answers a model finds neither senseless nor needless.

    Two measures of the last answer: its perplexity after the conversation; and IFD, that perplexity over the answer's
    perplexity alone (Li et al. 2023, "From Quantity to Quality"): at 1 and above the question does not help to say the
    answer, near 0 nothing is left to learn. The conversation is written out as text, without a chat template.
    """

    max_perplexity: float | None = None
    min_ifd: float = 0.0
    max_ifd: float = 1.0
    batch_size: int = 16
    type: Literal["model_score"] = "model_score"
    needs_scorer: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if not 0 <= self.min_ifd < self.max_ifd:
            raise ConfigError("min_ifd must be at least 0 and below max_ifd", path="min_ifd")
        if self.max_perplexity is not None and self.max_perplexity <= 1:
            raise ConfigError(f"must be above 1, not {self.max_perplexity}", path="max_perplexity")
        if self.batch_size < 1:
            raise ConfigError(f"must be at least 1, not {self.batch_size}", path="batch_size")

    def __call__(self, rows: Iterable[Made], scorer: Scorer | None) -> Iterator[Made]:
        assert scorer is not None
        every = list(rows)
        judged = {i: _last_answer(made) for i, made in enumerate(every) if not made.dropped}
        order = [i for i, pair in judged.items() if pair is not None]
        faults: dict[int, tuple[str, str] | None] = {}
        for start in range(0, len(order), self.batch_size):
            part = order[start : start + self.batch_size]
            pairs = [pair for i in part if (pair := judged[i]) is not None]
            with_context = _logprobs(scorer, pairs)
            alone = _logprobs(scorer, [("", answer) for _, answer in pairs])
            faults |= {i: self._fault(a, b) for i, a, b in zip(part, with_context, alone)}
        for i, made in enumerate(every):
            fault = faults.get(i)
            if i in judged and judged[i] is None:
                fault = ("no answer to score", "")
            yield made.drop(self.type, *fault) if fault else made

    def _fault(self, conditioned: Sequence[float], alone: Sequence[float]) -> tuple[str, str] | None:
        # A model without a token that begins texts cannot score the first token of an answer alone.
        same = min(len(conditioned), len(alone))
        if not same:
            return "no answer to score", ""
        perplexity = math.exp(-sum(conditioned) / len(conditioned))
        ifd = math.exp((sum(alone[-same:]) - sum(conditioned[-same:])) / same)
        if self.max_perplexity is not None and perplexity > self.max_perplexity:
            return "perplexity", f"{perplexity:.1f}, at most {self.max_perplexity}"
        if ifd > self.max_ifd:
            return "the question does not help", f"IFD {ifd:.3f}, at most {self.max_ifd}"
        if ifd < self.min_ifd:
            return "nothing to learn", f"IFD {ifd:.3f}, at least {self.min_ifd}"
        return None


def _last_answer(made: Made) -> tuple[str, str] | None:
    *before, last = made.row["messages"]
    if last["role"] != "assistant" or not (last.get("content") or "").strip():
        return None
    return written_out(before), f" {last['content'].strip()}"


def _logprobs(scorer: Scorer, pairs: Sequence[tuple[str, str]]) -> list[tuple[float, ...]]:
    scores = scorer.logprobs([ScoreRequest(context=context, continuation=answer) for context, answer in pairs])
    return [score.logprobs for score in scores]


FilterNode = node(Heuristics, ExactCopies, NearCopies, Crowding, ModelScore)
STANDARD_FILTERS = (Heuristics(), ExactCopies(), NearCopies())
