"""n-gram models on Penn Treebank: seconds to train and score, and NLTK on the same counts, probabilities proven equal first.

    python benchmarks/ngram.py [--order 5] [--words 12] [--rounds 5] [--data DIR] [--json]

1. Ours, whole: text to vocabulary, counts, modified Kneser-Ney and validation perplexity, in this process and by the commands
   `groundup run` and `groundup eval` (new processes, imports and files included).
2. Against `nltk.lm.KneserNeyInterpolated`, which is the same formula with one discount: both count every n-gram of the training
   text, then give log-probabilities of validation words. NLTK looks through all longer n-grams for every continuation count, about
   a second a word at order 5, so its scoring is timed on a sample and stated per word.
3. Against `nltk.lm.Laplace`, whose scoring is two look-ups: the whole validation text for both.
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from measure import emit, interleave, machine_line, table
from mixed_text import data_folder
from nltk.lm import KneserNeyInterpolated, Laplace, NgramCounter, Vocabulary

from groundup.data.files import FoundFile, read_bytes
from groundup.models.ngram.counting import NGramTrie, count_ngrams, lay_out
from groundup.models.ngram.model import NGramModel
from groundup.models.ngram.smoothing import KneserNey, ModifiedKneserNey
from groundup.models.ngram.smoothing import Laplace as OurLaplace
from groundup.tokenizers import WordTokenizer

RECIPE = Path(__file__).resolve().parents[1] / "recipes" / "ptb_kn5.yaml"
DISCOUNT = 0.75


def grams(text: np.ndarray, order: int, beginning: int) -> Iterator[list[tuple[str, ...]]]:
    """Every n-gram of each sentence, as NLTK takes them; the beginning is context only."""
    starts = [*np.flatnonzero(text == beginning), len(text)]
    for first, last in pairwise(starts):
        units = [str(u) for u in text[first:last].tolist()]
        yield [
            tuple(units[i : i + n]) for n in range(1, order + 1) for i in range(len(units) - n + 1) if (n, i) != (1, 0)
        ]


def ours_trained(text: np.ndarray, order: int, size: int) -> NGramTrie:
    return count_ngrams(text, order, size)


def by_commands(folder: Path, data: Path) -> dict[str, float]:
    """Seconds of the two commands, and the perplexity that the second prints."""
    out = folder / "run"
    train, valid = data / "ptb.train.txt.gz", data / "ptb.valid.txt.gz"
    commands = {
        "run": ["run", str(RECIPE), f"data.source.path={train}", "--out", str(out)],
        "eval": ["eval", str(out), "--text", str(valid), "--json"],
    }
    taken: dict[str, float] = {}
    for name, arguments in commands.items():
        start = time.perf_counter()
        done = subprocess.run(
            [sys.executable, "-m", "groundup", *arguments], check=True, capture_output=True, text=True
        )
        taken[name] = time.perf_counter() - start
    taken["perplexity"] = json.loads(done.stdout.strip().splitlines()[-1])["perplexity"]
    return taken


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--order", type=int, default=5)
    parser.add_argument("--words", type=int, default=12, help="scored by NLTK's Kneser-Ney")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--data", type=Path, default=None, help="folder with ptb.train.txt.gz and ptb.valid.txt.gz")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    data = given.data or data_folder() / "ptb"
    train, valid = (read_bytes(FoundFile(n, data / n), limit_bytes=1 << 30).decode() for n in
                    ("ptb.train.txt.gz", "ptb.valid.txt.gz"))  # fmt: skip
    order = given.order

    start = time.perf_counter()
    tokenizer = WordTokenizer.train([train])
    ids, held_out = np.array(tokenizer.encode(train)), np.array(tokenizer.encode(valid))
    encoded = time.perf_counter()
    size, end = tokenizer.vocab_size, tokenizer.end_of_line_id
    text = lay_out([ids], size, end)
    trie = count_ngrams(text, order, size)
    counted = time.perf_counter()
    model = NGramModel.of(trie, ModifiedKneserNey().estimate(trie), end)
    smoothed = time.perf_counter()
    perplexity = math.exp(-model.score(held_out)[0].mean())
    scored = time.perf_counter()
    whole = {"vocabulary and ids": encoded - start, "counts": counted - encoded, "smoothing": smoothed - counted,
             "scoring": scored - smoothed, "together": scored - start}  # fmt: skip

    # The same counts in NLTK. The beginning is not in its vocabulary, where it would be predicted, so it is its unknown word.
    start = time.perf_counter()
    vocabulary = Vocabulary([str(i) for i in range(size)], unk_cutoff=1)
    counts = NgramCounter([[tuple(vocabulary.lookup(g)) for g in s] for s in grams(text, order, size)])
    peer_seconds = time.perf_counter() - start
    ours_count = interleave({"ours": lambda: ours_trained(text, order, size)}, given.rounds).timings["ours"]

    # Equal first: the probabilities of words that have a whole context in their own sentence.
    peer = KneserNeyInterpolated(order, discount=DISCOUNT, vocabulary=vocabulary, counter=counts)
    same = NGramModel.of(trie, KneserNey(discount=DISCOUNT, discount_units=False).estimate(trie), end)
    inside = [i for i in range(order, len(held_out)) if end not in held_out[i - order + 1 : i]]
    chosen = np.random.default_rng(1).choice(inside, given.words, replace=False)
    found, expected = [], []
    start = time.perf_counter()
    for i in chosen:
        context = [str(u) for u in held_out[i - order + 1 : i]]
        expected.append(peer.score(str(held_out[i]), context))
    peer_word = (time.perf_counter() - start) / given.words
    everything, _ = same.score(held_out)
    for i in chosen:
        state = same.score(held_out[i - order + 1 : i], 0)[1]
        found.append(float(np.exp(same.score(held_out[i : i + 1], state)[0][0])))
    largest = max(abs(a - b) / b for a, b in zip(found, expected))
    assert largest < 1e-5, f"probabilities differ by {largest:.1e}"
    ours_score = interleave({"ours": lambda: same.score(held_out)}, given.rounds).timings["ours"]
    ours_word = ours_score.median / len(held_out)

    # NLTK counts its unknown word as one of the vocabulary: ours gets a unit more that never comes.
    one_more = count_ngrams(lay_out([ids], size + 1, end), order, size + 1)
    plain = NGramModel.of(one_more, OurLaplace().estimate(one_more), end)
    laplace = Laplace(order, vocabulary=vocabulary, counter=counts)
    words = [str(u) for u in held_out.tolist()]

    def peer_laplace() -> list[float]:
        return [laplace.logscore(words[i], words[i - order + 1 : i]) for i in inside]

    in_peer = np.array(peer_laplace()) * math.log(2)
    assert np.abs(in_peer - plain.score(held_out)[0][inside]).max() < 1e-4
    simple = interleave({"nltk": peer_laplace, "ours": lambda: plain.score(held_out)}, given.rounds)
    simple_ratio = simple.timings["nltk"].median / len(inside) / (simple.timings["ours"].median / len(held_out))

    estimated = peer_seconds + peer_word * len(held_out)
    ours_whole = ours_count.median + (smoothed - counted) + ours_score.median
    with tempfile.TemporaryDirectory() as folder:
        commands = by_commands(Path(folder), data)
    rows = [
        ["count every n-gram", peer_seconds, ours_count.median, peer_seconds / ours_count.median],
        ["Kneser-Ney, a word", peer_word, ours_word, peer_word / ours_word],
        ["Laplace, a word", simple.timings["nltk"].median / len(inside), simple.timings["ours"].median / len(held_out),
         simple_ratio],
        ["count, smooth, score (NLTK's estimated)", estimated, ours_whole, estimated / ours_whole],
    ]  # fmt: skip
    result: dict[str, Any] = {
        "machine": machine_line("nltk"), "order": order, "perplexity": perplexity, "whole_seconds": whole,
        "commands": commands, "largest_difference": largest,
        "rows": [dict(zip(("what", "nltk_seconds", "our_seconds", "ratio"), row)) for row in rows],
        "validation_perplexity_plain": math.exp(-everything.mean()),
    }  # fmt: skip
    lines = [
        result["machine"],
        f"order {order}, {len(ids):,} training words, validation perplexity {perplexity:.2f} (modified Kneser-Ney)",
        "whole, one process: " + ", ".join(f"{k} {v:.2f} s" for k, v in whole.items()),
        f"groundup run {commands['run']:.1f} s, groundup eval {commands['eval']:.1f} s: perplexity {commands['perplexity']:.2f}",
        f"probabilities of {given.words} words equal to {largest:.0e}",
        "",
        table(["seconds", "nltk", "ours", "ratio"], rows),
    ]
    emit(result, "\n".join(lines), as_json=given.json)


if __name__ == "__main__":
    main()
