"""The stage `translate`: what an encoder-decoder writes for held-out sources, against what people wrote.

Searches (greedy, beams, length penalties) are compared on validation pairs; greedy and the best of them are then measured on the test
split, beside baselines that have learned no translation: the source as it is and, for translations, each word replaced by the training
word it occurs with (Dice), for summaries the first sentence. BLEU is sacrebleu's definition (groundup.text.bleu), ROUGE is rouge-score's.
The report shows where the decoder looked as it wrote. Left out: human judgement, and measures that need a model (COMET, BERTScore).
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from ..core.artifact import atomic_write, write_json
from ..core.errors import ConfigError, DataError
from ..core.exhibits import Plot, Series, Table, plain
from ..core.protocols import Generator, complete
from ..core.recipe import StageContext
from ..core.types import Request, SamplingParams
from ..data.parallel import TextPair, read_pairs
from ..text.bleu import Tokenize, corpus_bleu, sentence_bleu
from ..text.rouge import mean_rouge

_SHOWN = 8
_SHOWN_CHARACTERS = 160
_DICTIONARY_PAIRS = 8000
_MOST_ALIGNED = 16
"""Tokens on each side of a drawn alignment."""
_SENTENCE = re.compile(r"(?<=[.!?])\s")


class OpenedTranslator(Generator, Protocol):
    def align(self, pairs: Sequence[tuple[str, str]]) -> list[tuple[list[str], list[str], list[list[float]]]]: ...

    def close(self) -> None: ...


@dataclass(frozen=True, kw_only=True)
class SearchConfig:
    num_beams: int = 4
    length_penalty: float = 1.0
    """Exponent; 0 does not look at the length."""
    length_normalisation: Literal["average", "gnmt"] = "average"
    """What the exponent is of: the length, or (5 + length) / 6 (Wu et al. 2016)."""

    @property
    def name(self) -> str:
        if self.num_beams == 1:
            return "greedy"
        form = " (gnmt)" if self.length_normalisation == "gnmt" else ""
        return f"{self.num_beams} beams, penalty {self.length_penalty:g}{form}"


GREEDY = SearchConfig(num_beams=1)


@dataclass(frozen=True, kw_only=True)
class TranslateStage:
    """Translate (or summarise) held-out sources and measure the result."""

    model: str = "translator"
    data: str = "data"
    """The stage with the pairs."""
    measure: Literal["bleu", "rouge"] = "bleu"
    """Which measure chooses the search and leads the report (rouge: ROUGE-L)."""
    searches: tuple[SearchConfig, ...] = (
        SearchConfig(length_penalty=0.0),
        SearchConfig(length_penalty=0.6, length_normalisation="gnmt"),
        SearchConfig(length_penalty=1.0),
    )
    """Compared with greedy search on validation pairs; the best is used on the test split."""
    validation_pairs: int = 200
    test_pairs: int = 0
    """How many of the split are used; 0: all."""
    max_length_ratio: float = 2.0
    """No target is longer than this times its source (in tokens, and 10 more)."""
    tokenize: Tokenize = "13a"
    """How BLEU cuts words. none: at white space, for text that is cut already."""
    lower_case: bool = False
    """BLEU of both in lower case, as some tables have it."""
    stem: bool = False
    """ROUGE of words without their endings (English only)."""
    num_alignments: int = 3
    """Examples whose attention is drawn."""
    batch_size: int = 32
    type: Literal["translate"] = "translate"
    kind = "evaluation"

    def __post_init__(self) -> None:
        if self.max_length_ratio <= 0:
            raise ConfigError(f"must be more than 0, not {self.max_length_ratio}", path="max_length_ratio")

    def inputs(self) -> Sequence[str]:
        return (self.model, self.data)

    def fingerprint(self) -> str:
        return ""

    def run(self, context: StageContext) -> Mapping[str, Any]:
        directory = context.inputs[self.data]
        validation = list(read_pairs(directory, "validation"))[: self.validation_pairs]
        test = list(read_pairs(directory, "test"))[: self.test_pairs or None] or validation
        if not test:
            raise DataError(f"{directory} has no held-out pairs", hint="set data.split.test, or give test files")
        compared = {}
        searches = dict.fromkeys((GREEDY, *self.searches))
        for search in searches if validation else ():
            made = self._translated(context, search, validation, f"validation, {search.name}")
            compared[search] = self._scores(made, validation)
        best = max(compared, key=lambda s: compared[s][self._key], default=next(iter(self.searches), GREEDY))
        written = {s: self._translated(context, s, test, f"test, {s.name}") for s in dict.fromkeys((GREEDY, best))}
        results = {f"model, {search.name}": self._scores(made, test) for search, made in written.items()}
        for name, made in self._baselines(directory, test).items():
            results[name] = self._scores(made, test)
        final = written[best]
        with atomic_write(context.directory / "translations.jsonl") as file:
            for i, pair in enumerate(test):
                one = sentence_bleu(final[i], [pair.target], tokenize=self.tokenize, lower_case=self.lower_case)
                row = {"id": pair.id, "source": pair.source, "reference": pair.target, "written": final[i],
                       "greedy": written[GREEDY][i], "bleu": round(one.score, 2)}  # fmt: skip
                file.write(json.dumps(row, ensure_ascii=False).encode("utf-8", "replace") + b"\n")
        figures = {
            self._key: results[f"model, {best.name}"][self._key],
            "pairs": len(test),
            "search": best.name,
            "signature": self._signature,
            "results": results,
            "validation": {search.name: scores for search, scores in compared.items()},
        }
        write_json(context.directory / "results.json", figures)
        exhibits: list[Table | Plot] = [
            self._table(results, len(test)),
            *self._compared(compared, len(validation)),
            _samples(test, final),
            *self._alignments(context, best, test, final),
        ]
        return {**figures, "exhibits": plain(*exhibits)}

    @property
    def _signature(self) -> str:
        """What was measured, in sacrebleu's words."""
        return f"case:{'lc' if self.lower_case else 'mixed'}|eff:no|tok:{self.tokenize}|smooth:exp"

    @property
    def _key(self) -> str:
        return "bleu" if self.measure == "bleu" else "rougeL"

    def _translated(
        self, context: StageContext, search: SearchConfig, pairs: Sequence[TextPair], what: str
    ) -> list[str]:
        with closing(self._opened(context, search)) as model, context.progress.task(what, len(pairs)) as bar:
            made: list[str] = []
            order = sorted(range(len(pairs)), key=lambda i: len(pairs[i].source))
            for start in range(0, len(order), self.batch_size):
                part = order[start : start + self.batch_size]
                made += [c.text.strip() for c in complete(model, [self._request(model, pairs[i]) for i in part])]
                bar.advance(len(part))
        texts = dict(zip(order, made, strict=True))
        return [texts[i] for i in range(len(pairs))]

    def _opened(self, context: StageContext, search: SearchConfig) -> Any:
        return context.open_model(
            context.inputs[self.model],
            num_beams=search.num_beams,
            length_penalty=search.length_penalty,
            length_normalisation=search.length_normalisation,
            max_batch_size=self.batch_size,
        )

    def _request(self, model: Any, pair: TextPair) -> Request:
        limit = model.capabilities.max_context_tokens
        ids = model.prompt_ids(Request(prompt=pair.source))
        longest = max(1, min(limit, int(self.max_length_ratio * len(ids)) + 10))
        prompt = (
            pair.source if len(ids) <= limit else tuple(ids[: limit - 1])
        )  # long articles are read from their beginning
        return Request(prompt=prompt, params=SamplingParams(max_tokens=longest, temperature=0.0))

    def _scores(self, made: Sequence[str], pairs: Sequence[TextPair]) -> dict[str, float]:
        references = [pair.target for pair in pairs]
        bleu = corpus_bleu(
            made, [[reference] for reference in references], tokenize=self.tokenize, lower_case=self.lower_case
        )
        rouge = mean_rouge(made, references, stem=self.stem)
        exact = sum(a == b for a, b in zip(made, references, strict=True)) / len(references)
        return {
            "bleu": round(bleu.score, 4),
            "brevity_penalty": round(bleu.brevity_penalty, 4),
            **{name: round(value, 4) for name, value in rouge.items()},
            "exact_percent": round(100 * exact, 2),
            "length_ratio": round(bleu.hypothesis_length / max(1, bleu.reference_length), 4),
        }

    def _baselines(self, directory: Any, test: Sequence[TextPair]) -> dict[str, list[str]]:
        if self.measure == "rouge":
            return {"the first sentence": [_SENTENCE.split(pair.source, maxsplit=1)[0] for pair in test]}
        training = []
        for pair in read_pairs(directory, "train"):
            training.append(pair)
            if len(training) == _DICTIONARY_PAIRS:
                break
        words = dice_dictionary(training)
        return {
            "the source as it is": [pair.source for pair in test],
            "word for word": [" ".join(words.get(w, w) for w in pair.source.split()) for pair in test],
        }

    def _table(self, results: Mapping[str, Mapping[str, float]], count: int) -> Table:
        columns = {"bleu": "BLEU", "rouge1": "ROUGE-1", "rouge2": "ROUGE-2", "rougeL": "ROUGE-L", "length_ratio": "length",
                   "exact_percent": "exact, %"}  # fmt: skip
        if self.measure == "bleu":
            columns = {name: title for name, title in columns.items() if name not in ("rouge1", "rouge2")}
        return Table(
            title="Against what people wrote",
            columns=["", *columns.values()],
            rows=[[name, *(scores[key] for key in columns)] for name, scores in results.items()],
            sentence=f"{count:,} pairs that were not trained on. BLEU and ROUGE go to 100; length is that of all that was written "
            "divided by the references'.",
            notes=[
                f"BLEU as sacrebleu defines it: {self._signature}. ROUGE: mean F1, words {'' if self.stem else 'not '}stemmed."
            ],
        )

    def _compared(self, compared: Mapping[SearchConfig, Mapping[str, float]], count: int) -> list[Plot]:
        if len(compared) < 2:
            return []
        names = [search.name for search in compared]
        title = {"bleu": "BLEU", "rougeL": "ROUGE-L"}[self._key]
        series = Series(name=title, x=names, y=[scores[self._key] for scores in compared.values()])
        return [
            Plot(
                title="Searches",
                kind="bars",
                series=[series],
                y_label=title,
                sentence=f"On {count:,} validation pairs; the best is the one used on the test split.",
            )
        ]

    def _alignments(
        self, context: StageContext, search: SearchConfig, test: Sequence[TextPair], made: Sequence[str]
    ) -> list[Plot]:
        short = sorted(range(len(test)), key=lambda i: (abs(len(test[i].source.split()) - 8), i))
        chosen = [(test[i].source, made[i]) for i in short if made[i]][: self.num_alignments]
        if not chosen:
            return []
        with closing(self._opened(context, search)) as model:
            aligned = model.align(chosen)
        plots = []
        for (source, target), (columns, rows, weights) in zip(chosen, aligned, strict=True):
            if len(columns) > _MOST_ALIGNED or len(rows) > _MOST_ALIGNED:
                continue
            plots.append(
                Plot(
                    title=f"{source} → {target}",
                    kind="heatmap",
                    matrix=weights,
                    rows=rows,
                    columns=columns,
                    x_label="source",
                    y_label="written",
                    sentence="Where the decoder looked (columns) as it wrote each token (rows).",
                )
            )
        return plots


def dice_dictionary(pairs: Sequence[TextPair]) -> dict[str, str]:
    """Source word -> the target word with the largest 2 * together / (alone + alone), counted once a pair."""
    sources: Counter[str] = Counter()
    targets: Counter[str] = Counter()
    together: Counter[tuple[str, str]] = Counter()
    for pair in pairs:
        ours, theirs = set(pair.source.split()), set(pair.target.split())
        sources.update(ours)
        targets.update(theirs)
        together.update((a, b) for a in ours for b in theirs)
    best: dict[str, tuple[float, str]] = {}
    for (a, b), count in together.items():
        value = (2 * count / (sources[a] + targets[b]), b)
        if value > best.get(a, (0.0, "")):
            best[a] = value
    return {a: b for a, (_, b) in best.items()}


def _samples(test: Sequence[TextPair], made: Sequence[str]) -> Table:
    step = max(1, len(test) // _SHOWN)
    shown = list(range(0, len(test), step))[:_SHOWN]

    def cut(text: str) -> str:
        return text if len(text) <= _SHOWN_CHARACTERS else text[: _SHOWN_CHARACTERS - 1] + "…"

    return Table(
        title="What it writes",
        columns=["source", "written", "reference"],
        rows=[[cut(test[i].source), cut(made[i]), cut(test[i].target)] for i in shown],
        sentence="Pairs from all over the test split, not chosen.",
    )
