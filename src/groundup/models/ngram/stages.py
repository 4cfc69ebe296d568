"""The stages of n-gram models: `ngram` makes one, `compare_ngrams` puts orders and smoothings side by side, `arpa` reads one."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from ...core.config import to_plain
from ...core.errors import ConfigError, ModelError
from ...core.exhibits import Plot, Series, Table, plain
from ...core.recipe import StageContext
from ...data.documents import read_documents
from ...data.files import find_files, fingerprint
from ...data.steps import build
from ...data.tokens import encode_texts
from ...tokenizers import WordTokenizer, load_tokenizer, unit_of
from .arpa import read_arpa, write_arpa
from .counting import MAX_ORDER, NGramTrie, count_ngrams, lay_out
from .directory import save_ngram
from .model import NGramModel
from .smoothing import (
    AddK,
    Estimates,
    GoodTuring,
    Katz,
    KneserNey,
    Laplace,
    ModifiedKneserNey,
    SmoothingNode,
    largest_error,
)

_MOST_ERROR = 1e-6
_MOST_PERPLEXITY = 1e12


@dataclass(frozen=True, kw_only=True)
class NGramStage:
    """Count the train split, smooth, and measure on what is held out."""

    documents: str = "data"
    tokenizer: str = "tokenizer"
    """Words, characters or subwords: the stage whose tokenizer says what a unit is."""
    order: int = 5
    smoothing: SmoothingNode = ModifiedKneserNey()
    lines_apart: bool = True
    """Of words: what comes before a line's end says nothing of the next line, which begins anew."""
    arpa: bool = False
    """Write `model.arpa` beside the model: the text format of SRILM and KenLM, for words only."""
    type: Literal["ngram"] = "ngram"
    kind = "model"

    def __post_init__(self) -> None:
        _check_orders((self.order,), "order")

    def inputs(self) -> Sequence[str]:
        return (self.documents, self.tokenizer)

    def fingerprint(self) -> str:
        return ""

    def run(self, context: StageContext) -> Mapping[str, Any]:
        texts = _Texts(context, self.documents, self.tokenizer, self.lines_apart)
        start = time.perf_counter()
        with context.progress.task("counting n-grams"):
            trie = count_ngrams(texts.train, self.order, texts.tokenizer.vocab_size)
        counted = time.perf_counter()
        found = estimates(build(self.smoothing, context.recipe_directory), trie, self.smoothing.type)
        model = NGramModel.of(trie, found, texts.end_of_line)
        smoothed = time.perf_counter()
        save_ngram(model, context.directory, tokenizer=texts.tokenizer, smoothing=to_plain(self.smoothing))
        if self.arpa:
            with context.progress.task("writing ARPA"):
                write_arpa(model, texts.tokenizer, context.directory / "model.arpa")
        measured = {split: texts.measure(model, split) for split in ("validation", "test")}
        return {
            "order": self.order,
            "smoothing": self.smoothing.type,
            "vocab_size": model.vocab_size,
            "train_units": int((texts.train < model.vocab_size).sum()),
            "unit": texts.unit,
            "num_ngrams": _by_order(model.num_ngrams),
            "discounts": dict(found.facts),
            "count_seconds": round(counted - start, 3),
            "smooth_seconds": round(smoothed - counted, 3),
            **{split: found for split, found in measured.items() if found},
            "exhibits": plain(*_measured_table(measured, texts.unit)),
        }


@dataclass(frozen=True, kw_only=True)
class CompareNGramsStage:
    """Perplexity on held-out text of every order under every smoothing, from one counting."""

    documents: str = "data"
    tokenizer: str = "tokenizer"
    orders: tuple[int, ...] = (1, 2, 3, 4, 5)
    smoothings: tuple[SmoothingNode, ...] = (Laplace(), AddK(), GoodTuring(), Katz(), KneserNey(), ModifiedKneserNey())
    lines_apart: bool = True
    split: Literal["validation", "test"] = "validation"
    type: Literal["compare_ngrams"] = "compare_ngrams"
    kind = "comparison"

    def __post_init__(self) -> None:
        _check_orders(self.orders, "orders")
        if not self.smoothings:
            raise ConfigError("must name at least one", path="smoothings")

    def inputs(self) -> Sequence[str]:
        return (self.documents, self.tokenizer)

    def fingerprint(self) -> str:
        return ""

    def run(self, context: StageContext) -> Mapping[str, Any]:
        texts = _Texts(context, self.documents, self.tokenizer, self.lines_apart)
        full = count_ngrams(texts.train, max(self.orders), texts.tokenizer.vocab_size)
        names = _names(self.smoothings)
        found: dict[str, dict[int, float]] = {name: {} for name in names}
        with context.progress.task("smoothing", total=len(names) * len(self.orders)) as task:
            for order in self.orders:
                trie = full.up_to(order)
                for name, part in zip(names, self.smoothings):
                    smoothing = build(part, context.recipe_directory)
                    model = NGramModel.of(trie, estimates(smoothing, trie, part.type), texts.end_of_line)
                    measured = texts.measure(model, self.split)
                    if not measured:
                        raise ConfigError(f"the {self.split} split of stage {self.documents!r} is empty", path=context.name,
                                          hint=f"hold some text out: {self.documents}.split.{self.split}=0.05")  # fmt: skip
                    found[name][order] = measured["perplexity"]
                    task.advance(1)
        rows = [[name, *(found[name][order] for order in self.orders)] for name in names]
        best = min((value, name, order) for name in names for order, value in found[name].items() if value is not None)
        sentence = f"Lowest: {best[0]:.2f}, {best[1]} of order {best[2]}. A lower number is a better model of the text."
        label = f"{self.split} perplexity per {texts.unit}"
        series = [
            Series(name=name, x=[o for o in self.orders if _drawn(found[name][o])],
                   y=[found[name][o] for o in self.orders if _drawn(found[name][o])])
            for name in names
        ]  # fmt: skip
        return {
            "unit": texts.unit,
            "train_units": int((texts.train < full.vocab_size).sum()),
            "num_ngrams": _by_order(np.diff(full.offsets)[1:]),
            "perplexity": {name: {f"order_{k}": value for k, value in found[name].items()} for name in names},
            "exhibits": plain(
                Table(title=f"n-gram models: {label}", columns=["smoothing", *(f"order {o}" for o in self.orders)],
                      rows=rows, sentence=sentence, notes=("A dash: some of the text is impossible under that model.",)),
                Plot(title=f"n-gram models: {label}", kind="lines", series=[s for s in series if s.x],
                     x_label="order", y_label=label, log_y=True,
                     sentence="Longer contexts help only methods that fall back on shorter ones."),
            ),
        }  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class ArpaStage:
    """An ARPA file that SRILM, KenLM or groundup wrote, as a model directory."""

    path: str
    """Plain or compressed."""
    lines_apart: bool = True
    """A line begins anew after `</s>`."""
    type: Literal["arpa"] = "arpa"
    kind = "model"

    def inputs(self) -> Sequence[str]:
        return ()

    def fingerprint(self) -> str:
        return fingerprint(find_files(self.path))

    def run(self, context: StageContext) -> Mapping[str, Any]:
        with context.progress.task("reading ARPA"):
            model, tokenizer = read_arpa(Path(self.path).expanduser(), lines_apart=self.lines_apart)
        save_ngram(model, context.directory, tokenizer=tokenizer, smoothing={"type": "as in the ARPA file"})
        return {"order": model.order, "vocab_size": model.vocab_size, "num_ngrams": _by_order(model.num_ngrams)}


def estimates(smoothing: Any, trie: NGramTrie, name: str) -> Estimates:
    """What a smoothing makes of the counts. ModelError where its probabilities do not sum to one."""
    found: Estimates = smoothing.estimate(trie)
    error = largest_error(trie, found)
    if not error <= _MOST_ERROR:
        raise ModelError(
            f"after some context the probabilities of {name} sum to something {error:.3g} from 1",
            hint="prob[c w] of a context's seen units and backoff[c] times the rest of its suffix must sum to one",
        )
    return found


class _Texts:
    """The documents of a stage as units: train laid out for counting, the others for measuring."""

    def __init__(self, context: StageContext, documents: str, tokenizer: str, lines_apart: bool) -> None:
        self.tokenizer: Any = load_tokenizer(context.inputs[tokenizer])
        self.unit = unit_of(self.tokenizer)
        self.end_of_line: int | None = None
        if lines_apart and isinstance(self.tokenizer, WordTokenizer):
            self.end_of_line = self.tokenizer.end_of_line_id
        self._directory: Path = context.inputs[documents]
        train = (ids for ids, _ in self._encoded("train"))
        self.train = lay_out(train, self.tokenizer.vocab_size, self.end_of_line)
        self._held_out: dict[str, tuple[list[np.ndarray], int]] = {}

    def _encoded(self, split: str) -> Iterator[tuple[np.ndarray, int]]:
        for document in read_documents(self._directory, split):
            yield encode_texts(self.tokenizer, [document.text])[0], len(document.text.encode())

    def measure(self, model: NGramModel, split: str) -> dict[str, Any]:
        """Perplexity and bits per byte of one split; {} where it is empty. An impossible unit makes both null."""
        if split not in self._held_out:
            pairs = list(self._encoded(split))
            self._held_out[split] = [ids for ids, _ in pairs], sum(size for _, size in pairs)
        texts, size = self._held_out[split]
        scores = np.concatenate([np.zeros(0), *(model.score(ids)[0] for ids in texts)])
        if not len(scores):
            return {}
        nats = -float(scores.sum()) + 0.0
        finite = math.isfinite(nats)
        return {
            "perplexity": round(math.exp(nats / len(scores)), 4) if finite else None,
            "bits_per_byte": round(nats / math.log(2) / size, 5) if finite else None,
            "units": len(scores),
            "impossible": int(np.isneginf(scores).sum()),
        }


def _measured_table(measured: Mapping[str, Mapping[str, Any]], unit: str) -> list[Table]:
    rows = [[s, m["perplexity"], m["bits_per_byte"], m["units"], m["impossible"]] for s, m in measured.items() if m]
    columns = ["split", f"perplexity per {unit}", "bits per byte", f"{unit}s", "impossible"]
    return [Table(title="What held-out text costs", columns=columns, rows=rows)] if rows else []


def _by_order(numbers: Sequence[int] | np.ndarray) -> dict[str, int]:
    return {f"order_{k}": int(n) for k, n in enumerate(numbers, start=1)}


def _names(smoothings: Sequence[Any]) -> list[str]:
    """type, told apart by settings where a type comes more than once."""
    types = [part.type for part in smoothings]
    names = []
    for part in smoothings:
        facts = ", ".join(f"{k} {v}" for k, v in to_plain(part).items() if k not in ("type", "use", "replaces") and v)
        name = part.type.replace("_", " ") if ".py:" not in part.type else part.type.rpartition(":")[2]
        names.append(f"{name} ({facts})" if types.count(part.type) > 1 and facts else name)
    if len(set(names)) != len(names):
        raise ConfigError("two of them are the same", path="smoothings")
    return names


def _check_orders(orders: Sequence[int], path: str) -> None:
    if not orders or not all(1 <= order <= MAX_ORDER for order in orders) or len(set(orders)) != len(orders):
        raise ConfigError(f"must be from 1 to {MAX_ORDER}, each once, not {list(orders)}", path=path)


def _drawn(value: float | None) -> bool:
    return value is not None and value < _MOST_PERPLEXITY
