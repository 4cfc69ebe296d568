"""ARPA files: n-gram models as text, as SRILM, KenLM and nltk's readers know them. Models of words only.

    \\data\\
    ngram 1=3 ...
    \\1-grams:
    <log10 p> TAB <words apart by a space> [TAB <log10 of the back-off weight>]
    \\end\\

The beginning of a sentence is written `<s>`, the end of a line `</s>`, the unknown word `<unk>`; the beginning has -99 for a
probability, as is usual, and so has what is impossible. Numbers have nine digits, which float32 survives, so a model that is
written and read scores the same to the last bit. Trailing back-offs of 0 are left out.

Reading takes n-grams in any order and files of any size that fits in memory; n-grams whose shorter forms are missing (pruned by
other tools) get them, with the probability and weight that back-off gives them.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ...core.artifact import atomic_write
from ...core.errors import ArtifactError, DataError
from ...data.files import FoundFile, read_bytes
from ...tokenizers.word import UNKNOWN, WordTokenizer
from .counting import MAX_ORDER
from .model import NGramModel

BEGIN, END = "<s>", "</s>"
_IMPOSSIBLE = -99.0
_LIMIT_BYTES = 1 << 33


def write_arpa(model: NGramModel, tokenizer: Any, path: Path) -> None:
    """ArtifactError for models of anything but words."""
    if not isinstance(tokenizer, WordTokenizer):
        raise ArtifactError("an ARPA file holds words apart by spaces; this model is not of words",
                            hint="leave arpa out, or train a tokenizer with algorithm: word")  # fmt: skip
    forms = [tokenizer.decode([i]).strip() for i in range(model.vocab_size)] + [BEGIN]
    forms[tokenizer.end_of_line_id], forms[tokenizer.unknown_id] = END, UNKNOWN
    with atomic_write(path) as raw:
        file = io.TextIOWrapper(raw, encoding="utf-8", newline="\n", write_through=True)
        file.write("\\data\\\n" + "".join(f"ngram {k}={n}\n" for k, n in enumerate(model.num_ngrams, start=1)))
        before = [""]
        for order in range(1, model.order + 1):
            begin, end = int(model.offsets[order]), int(model.offsets[order + 1])
            file.write(f"\n\\{order}-grams:\n")
            parents = np.repeat(
                np.arange(len(before)), np.diff(model.first_child[model.offsets[order - 1] : begin + 1])
            )
            written = []
            for parent, unit in zip(parents.tolist(), model.word[begin:end].tolist()):
                written.append(f"{before[parent]} {forms[unit]}" if order > 1 else forms[unit])
            _write_order(file, written, model.logprob[begin:end], model.backoff[begin:end], order == model.order)
            before = written
        file.write("\n\\end\\\n")
        file.detach()


def _write_order(file: Any, written: list[str], logprob: np.ndarray, backoff: np.ndarray, last: bool) -> None:
    logprob, backoff = np.maximum(logprob, _IMPOSSIBLE), np.maximum(backoff, _IMPOSSIBLE)
    for words, p, weight in zip(written, logprob.tolist(), backoff.tolist()):
        tail = "" if last or weight == 0.0 else f"\t{weight:.9g}"
        file.write(f"{p:.9g}\t{words}{tail}\n")


def read_arpa(path: Path, *, lines_apart: bool = True) -> tuple[NGramModel, WordTokenizer]:
    """The model and a tokenizer of its words. Plain or compressed. DataError names the line that is wrong."""
    text = read_bytes(FoundFile(path.name, path), limit_bytes=_LIMIT_BYTES).decode("utf-8", errors="replace")
    orders: list[dict[tuple[str, ...], tuple[float, float]]] = []
    for number, order, words, p, weight in _entries(path, text):
        while len(orders) < order:
            orders.append({})
        if words in orders[order - 1]:
            raise DataError(f"{path}, line {number}: {' '.join(words)!r} is there twice")
        orders[order - 1][words] = (p, weight)
    if not orders or not orders[0]:
        raise DataError(f"{path} holds no 1-grams, so it is no ARPA file")
    plain = sorted(word for (word,) in orders[0] if word not in (BEGIN, END, UNKNOWN))
    tokenizer = WordTokenizer(plain, unknown=UNKNOWN, end_of_line=END)
    ids = {word: i for i, word in enumerate([UNKNOWN, END, *plain, BEGIN])}
    return _assemble(path, orders, ids, tokenizer.end_of_line_id if lines_apart else None), tokenizer


def _entries(path: Path, text: str) -> Iterator[tuple[int, int, tuple[str, ...], float, float]]:
    """(line number, order, words, log10 p, log10 weight)."""
    order = 0
    for number, line in enumerate(text.split("\n"), start=1):
        line = line.strip()
        if line == "\\end\\":
            return
        if line.startswith("\\") and line.endswith("-grams:"):
            order += 1
            if line != f"\\{order}-grams:" or order > MAX_ORDER:
                raise DataError(
                    f"{path}, line {number}: {line!r} where \\{order}-grams: was to come (at most {MAX_ORDER})"
                )
            continue
        if not line or not order:
            continue
        fields = line.split()
        try:
            p = float(fields[0])
            weight = float(fields[order + 1]) if len(fields) == order + 2 else 0.0
            if len(fields) not in (order + 1, order + 2) or not (p <= 1e-6):
                raise ValueError
        except (ValueError, IndexError):
            raise DataError(
                f"{path}, line {number}: {line[:80]!r} is no {order}-gram",
                hint="a line is: log10 p, the words, and a log10 back-off weight",
            ) from None
        yield number, order, tuple(fields[1 : order + 1]), p, weight
    raise DataError(f"{path} ends before \\end\\: it was cut", hint="copy it again from where it came")


def _assemble(
    path: Path, orders: list[dict[tuple[str, ...], tuple[float, float]]], ids: dict[str, int], end_of_line: int | None
) -> NGramModel:
    tables: list[dict[tuple[int, ...], tuple[float, float]]] = []
    for table in orders:
        try:
            tables.append({tuple(ids[word] for word in words): entry for words, entry in table.items()})
        except KeyError as missing:
            raise DataError(f"{path}: {missing} is in longer n-grams, but not among the 1-grams") from None
    for unit in range(len(ids)):
        tables[0].setdefault((unit,), (_IMPOSSIBLE, 0.0))
    _complete(tables)
    words, suffixes, logprob, backoff = [0], [0], [0.0], [0.0]
    children, offsets = [], [0, 1]
    before: dict[tuple[int, ...], int] = {(): 0}
    for entries in tables:
        grams = sorted(entries)
        children.append(np.bincount([before[g[:-1]] - offsets[-2] for g in grams], minlength=offsets[-1] - offsets[-2]))
        words += [g[-1] for g in grams]
        suffixes += [before[g[1:]] for g in grams]
        logprob += [entries[g][0] for g in grams]
        backoff += [entries[g][1] for g in grams]
        before = {gram: offsets[-1] + i for i, gram in enumerate(grams)}
        offsets.append(offsets[-1] + len(grams))
    children.append(np.zeros(offsets[-1] - offsets[-2], np.int64))
    p, weight = np.minimum(np.array(logprob, np.float32), 0), np.array(backoff, np.float32)
    p[p <= _IMPOSSIBLE], weight[weight <= _IMPOSSIBLE] = -np.inf, -np.inf
    return NGramModel(
        len(ids) - 1,
        np.array(offsets),
        np.array(words, np.int32),
        np.array(suffixes, np.int32),
        np.concatenate([[1], 1 + np.cumsum(np.concatenate(children))]).astype(np.int32),
        p,
        weight,
        end_of_line,
    )


def _complete(tables: list[dict[tuple[int, ...], tuple[float, float]]]) -> None:
    """Put in the contexts and suffixes that other tools have pruned, longest first, as back-off says them."""
    for order in range(len(tables), 1, -1):
        for gram in list(tables[order - 1]):
            for shorter in (gram[:-1], gram[1:]):
                tables[order - 2].setdefault(shorter, (float("nan"), 0.0))
    for order in range(2, len(tables) + 1):
        for gram, (p, weight) in list(tables[order - 1].items()):
            if p != p:
                context = tables[order - 2].get(gram[:-1], (0.0, 0.0))
                tables[order - 1][gram] = (context[1] + tables[order - 2][gram[1:]][0], weight)
