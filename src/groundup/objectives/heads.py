"""Fine-tuning with a head (models/heads.py): a label for a text, a tag for each word, the answer to a question in a text.

Each objective says how an example becomes ids, what the loss is, and how logits become labels again. The losses are those of
transformers' heads: cross-entropy over labels, binary cross-entropy where several may hold, and the mean of the start's and
the end's cross-entropy for answers. Departures, all because rows of a batch should not depend on each other: padding is kept
out of an answer's softmax, and class weights are not divided out again by those of the batch.

A causal decoder at a token has seen nothing after it. So a text is read at its last token, a word's tag by default at the
word's last token, the question stands before the text it is about, and "no answer" is an end mark behind both.

Letters: B rows, T positions, L labels, N sequences (several may share a packed row).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..core.errors import ConfigError, DataError
from ..core.protocols import Tokenizer
from ..models.heads import HeadKind, ProblemType
from ..nn.protocols import IGNORE, Batch, LossOutput
from .causal import document_state
from .sft import PADDING, piece_places

SINGLE: ProblemType = "single_label_classification"
MULTI: ProblemType = "multi_label_classification"


@dataclass(frozen=True, kw_only=True)
class _RowsConfig:
    context_tokens: int = 1024
    """Positions of a row; the train stage sets its own. Longer texts are cut (classification), or become several rows."""
    packing: bool = False
    """Put several examples into a row, none seeing another."""
    pad_multiple_tokens: int = 16
    """Rows are as wide as the longest, rounded up to a multiple of this."""

    def __post_init__(self) -> None:
        for name in ("context_tokens", "pad_multiple_tokens"):
            if getattr(self, name) < 1:
                raise ConfigError(f"must be at least 1, not {getattr(self, name)}", path=name)


@dataclass(frozen=True, kw_only=True)
class ClassificationConfig(_RowsConfig):
    type: Literal["classification"] = "classification"
    class_weights: tuple[float, ...] | Literal["none", "balanced"] = "none"
    """How much an example of each label counts, in the labels' order. balanced: examples / (labels x examples of the label),
    so that every label counts the same in sum; of several labels that may hold, what the positive side counts."""
    label_smoothing: float = 0.0
    threshold: float = 0.5
    """Of several labels that may hold, those with at least this probability are given."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if isinstance(self.class_weights, tuple) and any(weight < 0 for weight in self.class_weights):
            raise ConfigError(f"must not be negative: {self.class_weights}", path="class_weights")
        for name in ("label_smoothing", "threshold"):
            if not 0 <= getattr(self, name) < 1:
                raise ConfigError(f"must be at least 0 and below 1, not {getattr(self, name)}", path=name)


@dataclass(frozen=True, kw_only=True)
class TaggingConfig(_RowsConfig):
    type: Literal["tagging"] = "tagging"
    read_at: Literal["first", "last"] = "last"
    """Which token of a word carries its tag; the others are not learned. At the first one a causal decoder has not seen the
    rest of the word yet."""


@dataclass(frozen=True, kw_only=True)
class SpanConfig(_RowsConfig):
    type: Literal["span"] = "span"
    stride_tokens: int = 128
    """Neighbouring windows of a text that is too long share this many tokens."""
    max_answer_tokens: int = 30
    """Longer answers are not given (learning is not limited by it)."""
    max_question_tokens: int = 64
    """A longer question is cut."""
    no_answer_bias: float = 0.0
    """Added to the score of "no answer": more than 0 gives fewer answers."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("max_answer_tokens", "max_question_tokens"):
            if getattr(self, name) < 1:
                raise ConfigError(f"must be at least 1, not {getattr(self, name)}", path=name)
        if self.stride_tokens < 0:
            raise ConfigError(f"must be at least 0, not {self.stride_tokens}", path="stride_tokens")


HeadConfig = ClassificationConfig | TaggingConfig | SpanConfig


@dataclass(frozen=True, slots=True)
class HeadExample:
    """One row's worth of ids, and what is learned of it."""

    input_ids: np.ndarray
    """[n] integers"""
    labels: tuple[int, ...]
    """classification: the label, or all that hold. tagging: one a word of `places`. span: first and last token."""
    places: tuple[int, ...] = ()
    """tagging: the token that carries each word's tag. span: first token of the text, and the one after its last."""
    source: int = 0
    """Number of the row it was made of."""
    first: int = 0
    """tagging: number of the sentence's word that `places` begins with."""
    spans: np.ndarray | None = None
    """span: [m, 2] the characters of the context that each of its m tokens here holds."""

    @property
    def positions(self) -> int:
        return len(self.input_ids)


# ------------------------------------------------------------------------------------------------------- rows to examples


def encode_text(row: Any, number: int, tokenizer: Tokenizer, labels: Sequence[str], max_tokens: int) -> HeadExample:
    """A text with its label or labels; longer than max_tokens: its beginning."""
    ids = tokenizer.encode(row["text"])[:max_tokens] or tokenizer.encode(" ")
    held = row["labels"] if "labels" in row else (row["label"],)
    return HeadExample(np.asarray(ids, np.int64), tuple(labels.index(name) for name in held), source=number)


def encode_words(
    row: Any,
    number: int,
    tokenizer: Tokenizer,
    labels: Sequence[str],
    max_tokens: int,
    read_at: Literal["first", "last"],
) -> list[HeadExample]:
    """A sentence with a tag for each word, joined by single spaces; cut between words where it is longer than max_tokens.

    TokenizerError if the tokens do not spell the sentence; DataError for a word of more than max_tokens tokens.
    """
    words, tags = row["words"], [labels.index(tag) for tag in row["labels"]]
    text = " ".join(words)
    ids = tokenizer.encode(text)
    starts, ends, _ = piece_places(text, [tokenizer.token_bytes(i) for i in ids])
    sizes = np.asarray([len(word.encode()) for word in words])
    word_ends = np.cumsum(sizes + 1) - 1
    word_starts = word_ends - sizes
    first = np.searchsorted(ends, word_starts, side="right")
    last = np.searchsorted(starts, word_ends, side="left") - 1
    # A window ends before the first token of the word that does not fit; the space before a word belongs to it.
    made, begin = [], 0
    while begin < len(words):
        origin = first[begin] if begin else 0
        stop = int(np.searchsorted(last, origin + max_tokens, side="left"))
        if stop <= begin:
            raise DataError(
                f"row {row.get('id', number)}: the word {words[begin]!r:.60} has more than {max_tokens} tokens",
                hint="raise context_tokens",
            )
        places = (first if read_at == "first" else last)[begin:stop] - origin
        window = np.asarray(ids[origin : last[stop - 1] + 1], np.int64)
        made.append(HeadExample(window, tuple(tags[begin:stop]), tuple(int(p) for p in places), number, begin))
        begin = stop
    return made


def encode_question(row: Any, number: int, tokenizer: Tokenizer, config: SpanConfig, end_id: int) -> list[HeadExample]:
    """Question, blank line, as much of the context as fits, end mark: as many windows as it takes, sharing stride_tokens.

    The labels of a window that does not hold the whole (first) answer are the end mark's position, twice.
    """
    question = tokenizer.encode(row["question"])[: config.max_question_tokens] + tokenizer.encode("\n\n")
    context = row["context"]
    ids = tokenizer.encode(context)
    starts, ends, at = piece_places(context, [tokenizer.token_bytes(i) for i in ids])
    spans = np.stack([starts, ends], 1) if at is None else _characters(starts, ends, at)
    room = config.context_tokens - len(question) - 1
    if room <= config.stride_tokens:
        raise DataError(
            f"{config.context_tokens} positions leave {room} for the text, which must be more than stride_tokens = "
            f"{config.stride_tokens}",
            hint="raise context_tokens, or lower stride_tokens and max_question_tokens",
        )
    answer = None
    if row["answers"]:
        begin = row["answers"][0]["start"]
        stop = begin + len(row["answers"][0]["text"])
        held = np.flatnonzero((spans[:, 1] > begin) & (spans[:, 0] < stop))
        answer = (int(held[0]), int(held[-1]))
    made, origin = [], 0
    while True:
        here = ids[origin : origin + room]
        offset, mark = len(question), len(question) + len(here)
        label = (mark, mark)
        if answer is not None and answer[0] >= origin and answer[1] < origin + len(here):
            label = (answer[0] - origin + offset, answer[1] - origin + offset)
        whole = np.asarray([*question, *here, end_id], np.int64)
        piece = spans[origin : origin + len(here)]
        made.append(HeadExample(whole, label, (offset, mark), number, spans=piece))
        if origin + room >= len(ids):
            return made
        origin += room - config.stride_tokens


def _characters(starts: np.ndarray, ends: np.ndarray, at: np.ndarray) -> np.ndarray:
    """[n, 2] characters that the bytes of each piece touch; a piece inside a character gets that whole character."""
    return np.stack([np.searchsorted(at, starts, side="right") - 1, np.searchsorted(at, ends, side="left")], 1)


# ------------------------------------------------------------------------------------------------------------- batches


def _rows(examples: Sequence[HeadExample], config: _RowsConfig, pad_id: int) -> tuple[Batch, list[tuple[int, int]]]:
    """The ids in rows, padded or packed; targets all IGNORE; and (row, first position) of each example."""
    width = max(e.positions for e in examples)
    if width > config.context_tokens:
        raise DataError(f"a row of {width} positions does not fit context_tokens = {config.context_tokens}")
    places: list[tuple[int, int]] = []
    used: list[int] = []
    by_size = (
        sorted(range(len(examples)), key=lambda i: -examples[i].positions) if config.packing else range(len(examples))
    )
    found: dict[int, tuple[int, int]] = {}
    for i in by_size:
        size = examples[i].positions
        fitting = (r for r, taken in enumerate(used) if taken + size <= config.context_tokens)
        row = next(fitting, None) if config.packing else None
        if row is None:
            row = len(used)
            used.append(0)
        found[i] = (row, used[row])
        used[row] += size
    places = [found[i] for i in range(len(examples))]
    multiple = config.pad_multiple_tokens
    width = min(-(-max(used) // multiple) * multiple, config.context_tokens)
    ids = np.full((len(used), width), pad_id, np.int64)
    documents = np.full((len(used), width), PADDING, np.int64)
    for number, (example, (row, at)) in enumerate(zip(examples, places, strict=True)):
        ids[row, at : at + example.positions] = example.input_ids
        documents[row, at : at + example.positions] = number
    targets = np.full((len(used), width), IGNORE, np.int64)
    # Padding stands behind what a causal model has seen, so a row of one example needs no mask.
    shared = torch.from_numpy(documents) if len(used) < len(examples) else None
    return Batch(torch.from_numpy(ids), torch.from_numpy(targets), shared), places


class Classification:
    """One label a text (cross-entropy), or any number of them (binary cross-entropy). An Objective over `HeadExample`s."""

    kind: HeadKind = "sequence"

    def __init__(
        self,
        config: ClassificationConfig = ClassificationConfig(),
        *,
        num_labels: int,
        multi_label: bool = False,
        pad_id: int = 0,
        class_weights: Sequence[float] | None = None,
    ) -> None:
        """class_weights: what `config.class_weights` came to; see `balanced_weights`."""
        given = config.class_weights if isinstance(config.class_weights, tuple) else class_weights
        if given is not None and len(given) != num_labels:
            raise ConfigError(f"{len(given)} weights for {num_labels} labels", path="class_weights")
        self.config, self.num_labels, self.multi_label, self.pad_id = config, num_labels, multi_label, pad_id
        self.class_weights = None if given is None else torch.tensor(given, dtype=torch.float32)

    @property
    def problem_type(self) -> ProblemType:
        return MULTI if self.multi_label else SINGLE

    def collate(self, examples: Sequence[HeadExample]) -> Batch:
        """[B, T]; extras: last [N, 2] (row, position) and labels [N], or [N, L] of 0 and 1. The batch's weight is N."""
        batch, places = _rows(examples, self.config, self.pad_id)
        last = [(row, at + e.positions - 1) for e, (row, at) in zip(examples, places, strict=True)]
        for e, (row, position) in zip(examples, last, strict=True):
            batch.targets[row, position] = e.labels[0] if e.labels and not self.multi_label else 0
        if self.multi_label:
            labels = torch.zeros(len(examples), self.num_labels)
            for i, e in enumerate(examples):
                labels[i, list(e.labels)] = 1.0
        else:
            labels = torch.tensor([e.labels[0] for e in examples])
        batch.extras = {"last": torch.tensor(last), "labels": labels}
        return batch

    def logits(self, model: Any, batch: Batch) -> Tensor:
        """[N, L]"""
        made: Tensor = model(batch.input_ids, document_state(model, batch.documents), last=batch.extras["last"])
        return made

    def loss(self, model: Any, batch: Batch) -> LossOutput:
        """Mean over the texts. Metrics: loss, accuracy (of several labels: share of texts with every label right), tokens."""
        logits, labels = self.logits(model, batch).float(), batch.extras["labels"]
        weights = None if self.class_weights is None else self.class_weights.to(logits.device)
        if self.multi_label:
            smooth = labels * (1 - self.config.label_smoothing) + 0.5 * self.config.label_smoothing
            loss = F.binary_cross_entropy_with_logits(logits, smooth, pos_weight=weights)
            right = ((logits.sigmoid() >= self.config.threshold) == (labels > 0)).all(1)
        else:
            each = F.cross_entropy(logits, labels, reduction="none", label_smoothing=self.config.label_smoothing)
            loss = (each if weights is None else each * weights[labels]).mean()
            right = logits.argmax(1) == labels
        tokens = batch.input_ids.numel()
        return LossOutput(loss, {"loss": loss.detach(), "accuracy": right.float().mean(), "tokens": float(tokens)})

    def predict(self, logits: Tensor) -> list[tuple[int, ...]]:
        """[N, L] -> the label of each text, or all that hold, in the labels' order."""
        if self.multi_label:
            held = logits.float().sigmoid() >= self.config.threshold
            return [tuple(row.nonzero().flatten().tolist()) for row in held]
        return [(int(i),) for i in logits.argmax(1)]


def balanced_weights(examples: Sequence[HeadExample], num_labels: int, *, multi_label: bool) -> list[float]:
    """One label a text: n / (L n_label). Several: what lets the positive side count as much as the negative, (n - n_label) /
    n_label. 1 for a label without examples.
    """
    counts = [0] * num_labels
    for example in examples:
        for label in example.labels:
            counts[label] += 1
    n = len(examples)
    if multi_label:
        return [(n - c) / c if c else 1.0 for c in counts]
    return [n / (num_labels * c) if c else 1.0 for c in counts]


class Tagging:
    """A label for each word (cross-entropy at the one token that carries it). An Objective over `HeadExample`s."""

    kind: HeadKind = "token"
    problem_type: ProblemType = SINGLE

    def __init__(self, config: TaggingConfig = TaggingConfig(), *, pad_id: int = 0) -> None:
        self.config, self.pad_id = config, pad_id

    def collate(self, examples: Sequence[HeadExample]) -> Batch:
        """[B, T]; targets hold each word's label at its token; extras: places [W, 2], (row, position) of every word in order."""
        batch, rows = _rows(examples, self.config, self.pad_id)
        places = [(row, at + p) for e, (row, at) in zip(examples, rows, strict=True) for p in e.places]
        labels = [label for e in examples for label in e.labels]
        where = torch.tensor(places).reshape(-1, 2)
        batch.targets[where[:, 0], where[:, 1]] = torch.tensor(labels)
        batch.extras = {"places": where}
        return batch

    def logits(self, model: Any, batch: Batch) -> Tensor:
        """[W, L] of the W words of the batch, in the order of the examples."""
        made: Tensor = model(batch.input_ids, document_state(model, batch.documents))
        where = batch.extras["places"]
        return made[where[:, 0], where[:, 1]]

    def loss(self, model: Any, batch: Batch) -> LossOutput:
        """Mean over the words. Metrics: loss, accuracy (share of words), tokens."""
        where = batch.extras["places"]
        labels = batch.targets[where[:, 0], where[:, 1]]
        logits = self.logits(model, batch).float()
        loss = F.cross_entropy(logits, labels)
        right = (logits.argmax(1) == labels).float().mean()
        tokens = batch.input_ids.numel()
        return LossOutput(loss, {"loss": loss.detach(), "accuracy": right, "tokens": float(tokens)})


class ExtractiveQA:
    """First and last token of the answer, or twice the end mark for none. An Objective over `HeadExample`s, one a row."""

    kind: HeadKind = "span"
    problem_type: ProblemType | None = None

    def __init__(self, config: SpanConfig = SpanConfig(), *, pad_id: int = 0) -> None:
        if config.packing:
            raise ConfigError("answers are looked for over a whole row, so rows cannot be shared", path="packing",
                              hint="leave packing out; rows are padded to the longest of the batch")  # fmt: skip
        self.config, self.pad_id = config, pad_id

    def collate(self, examples: Sequence[HeadExample]) -> Batch:
        """[B, T]; targets hold the answer's last position at its first; extras: spans [B, 2] and lengths [B]."""
        batch, _ = _rows(examples, self.config, self.pad_id)
        spans = torch.tensor([e.labels for e in examples])
        batch.targets[torch.arange(len(examples)), spans[:, 0]] = spans[:, 1]
        batch.extras = {"spans": spans, "lengths": torch.tensor([e.positions for e in examples])}
        return batch

    def logits(self, model: Any, batch: Batch) -> Tensor:
        """[B, T, 2], -inf at padding."""
        made: Tensor = model(batch.input_ids, None)
        steps = torch.arange(made.shape[1], device=made.device)
        return made.float().masked_fill((steps >= batch.extras["lengths"][:, None])[:, :, None], -torch.inf)

    def loss(self, model: Any, batch: Batch) -> LossOutput:
        """Mean over the windows of half the start's and half the end's cross-entropy. Metrics: loss, accuracy (both right)."""
        logits, spans = self.logits(model, batch), batch.extras["spans"]
        loss = (F.cross_entropy(logits[:, :, 0], spans[:, 0]) + F.cross_entropy(logits[:, :, 1], spans[:, 1])) / 2
        right = (logits.argmax(1) == spans).all(1).float().mean()
        tokens = batch.input_ids.numel()
        return LossOutput(loss, {"loss": loss.detach(), "accuracy": right, "tokens": float(tokens)})

    def best_span(self, logits: Tensor, example: HeadExample) -> tuple[float, tuple[int, int] | None]:
        """logits [T, 2] of one window -> score and characters [start, end) of its best answer: start before end, inside the
        text, at most max_answer_tokens; the score is the sum of both logits, less that of "no answer". None: no text at all.
        """
        begin, mark = example.places
        size = mark - begin
        if size == 0 or example.spans is None:
            return -math.inf, None
        start, end = logits[begin:mark, 0].double(), logits[begin:mark, 1].double()
        scores = start[:, None] + end[None, :]
        steps = torch.arange(size)
        length = steps[None, :] - steps[:, None]
        scores = scores.masked_fill((length < 0) | (length >= self.config.max_answer_tokens), -torch.inf)
        place = int(scores.argmax())
        first, last = divmod(place, size)
        null = float(logits[mark].double().sum()) + self.config.no_answer_bias
        characters = (int(example.spans[first, 0]), int(example.spans[last, 1]))
        return float(scores[first, last]) - null, characters

    def answers(
        self,
        scored: Sequence[tuple[int, float, tuple[int, int] | None]],
        contexts: Sequence[str],
        *,
        abstain: bool = True,
    ) -> list[str]:
        """The answer to each question from the best windows of all: (number of the question, score, characters) -> text.

        abstain: "" where no window scores above "no answer"; False for data in which every question has one.
        """
        best: list[tuple[float, str]] = [(0.0 if abstain else -math.inf, "")] * len(contexts)
        for number, score, characters in scored:
            if characters is not None and score > best[number][0]:
                best[number] = (score, contexts[number][slice(*characters)])
        return [text for _, text in best]
