"""Exercises of chapter 2: Kneser-Ney, perplexity, an LSTM cell, beam search, BLEU."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from .exercise import TORCH, Case, Check, Exercise, Mistake, Outputs, drive_calling, result

# ---------------------------------------------------------------------------------------------------------- 2.1 Kneser-Ney


def _texts(rng: np.random.Generator) -> Sequence[Case]:
    """With two words in the vocabulary that the text does not have: what is given to them tells smoothings apart."""
    cases = []
    for length, vocab in ((4, 3), (12, 3), (40, 5), (200, 12)):
        weights = 1.0 / np.arange(1, vocab + 1)
        ids = rng.choice(vocab, size=length, p=weights / weights.sum())
        for _ in range(3):
            context = int(rng.choice(ids[:-1]))
            cases.append({"ids": [int(i) for i in ids], "vocab_size": vocab + 2, "context": context, "discount": 0.75})
    return cases


def _bigrams(ids: Sequence[int]) -> Counter[tuple[int, int]]:
    return Counter(pairwise(ids))


def _kn(case: Case, *, lower: str = "continuation", weight: str = "types", floor: bool = True) -> list[float]:
    ids, vocab, d, context = case["ids"], case["vocab_size"], case["discount"], case["context"]
    pairs = _bigrams(ids)
    after = {w: n for (c, w), n in pairs.items() if c == context}
    total = sum(after.values())
    if lower == "continuation":
        base = Counter(w for _, w in pairs)
    elif lower == "unigram":
        base = Counter(ids)
    else:
        base = Counter(range(vocab))
    whole = sum(base.values())
    left = d * len(after) / total if weight == "types" else (d if weight == "discount" else d / total)
    unit = d * len(base) / whole if floor and lower == "continuation" else 0.0
    first = [
        (max(base[w] - d, 0) / whole + unit / vocab) if floor and lower == "continuation" else base[w] / whole
        for w in range(vocab)
    ]
    return [max(after.get(w, 0) - d, 0) / total + left * first[w] for w in range(vocab)]


def _kn_reference(case: Case) -> list[float]:
    """The library's own: interpolated Kneser-Ney of order 2, after one unit of context."""
    from ...models.ngram.counting import count_ngrams
    from ...models.ngram.model import NGramModel
    from ...models.ngram.smoothing import KneserNey

    trie = count_ngrams(np.asarray(case["ids"], np.int32), 2, case["vocab_size"])
    model = NGramModel.of(trie, KneserNey(discount=case["discount"]).estimate(trie))
    return [model.probability(w, (case["context"],)) for w in range(case["vocab_size"])]


KNESER_NEY = Exercise(
    id="2.1",
    title="Kneser-Ney probabilities of bigrams",
    entry="kneser_ney",
    template='''"""Exercise 2.1: the smoothing that n-gram models are judged by (Kneser and Ney 1995, interpolated)."""

from collections import Counter


def kneser_ney(ids, vocab_size, context, discount):
    """ids: a text as numbers below vocab_size. -> list of vocab_size probabilities of what follows `context` (which is in ids[:-1]).

    P(w | c)  = max(count(c, w) - D, 0) / count(c, .)  +  D * N(c, .) / count(c, .) * P1(w)
    P1(w)     = max(N(., w) - D, 0) / N(., .)          +  D * V1 / N(., .) / vocab_size
    count(c, w): how often w follows c in the text; N(c, .): how many different words follow c; N(., w): how many different words w
    follows; N(., .): how many different pairs there are; V1: how many words have N(., w) > 0.
    """
    raise NotImplementedError
''',
    drive=drive_calling("kneser_ney", "ids", "vocab_size", "context", "discount"),
    reference=result(_kn_reference),
    checks=(
        Check(
            name="they sum to one",
            cases=lambda rng: _texts(rng)[:6],
            judge=lambda case, got: None if abs(sum(got["result"]) - 1) < 1e-9 else f"they sum to {sum(got['result']):.6f}, not to 1",
            hints=(
                "What is taken away by the discounts must be given out again, all of it.",
                "The weight of the lower order is D times the number of different followers, over the count of the context.",
                "left = D * len(after) / sum(after.values()), and the same one order down, with 1 / vocab_size below it.",
            ),
        ),
        Check(
            name="the probabilities are Kneser-Ney's",
            cases=_texts,
            hints=(
                "Which counts does the lower order use: how often, or after how many different words?",
                "P1 is made of continuation counts N(., w), not of counts of w.",
                "base = Counter(w for (c, w) in set(pairs)); P1(w) = max(base[w] - D, 0) / sum(base) + D * len(base) / sum(base) / V.",
            ),
            tolerance=1e-6,
        ),
    ),
    mistakes=(
        Mistake(name="the lower order counts words, not what they follow", outputs=result(lambda c: _kn(c, lower="unigram", floor=False)),
                hint="Continuation counts: after how many different words has w been seen?"),
        Mistake(name="the lower order is uniform", outputs=result(lambda c: _kn(c, lower="uniform", floor=False)),
                hint="P1 is made of continuation counts."),
        Mistake(name="the lower order is not discounted", outputs=result(lambda c: _kn(c, floor=False)),
                hint="N(., w) is discounted by D too, and what it gives up is spread over all words."),
        Mistake(name="the weight of the lower order lacks the number of followers", outputs=result(lambda c: _kn(c, weight="one")),
                hint="Each of the N(c, .) followers gave up D: the weight is D * N(c, .) / count(c, .)."),
        Mistake(name="the weight of the lower order is the discount itself", outputs=result(lambda c: _kn(c, weight="discount")),
                hint="D * N(c, .) / count(c, .)."),
    ),
    swap="groundup run recipes/ptb_kn5.yaml --swap model.smoothing={file}:MySmoothing   (as a class with estimate(trie))",
    sources=("Kneser and Ney 1995; Chen and Goodman 1998, section 4.1.6",),
)  # fmt: skip

# ----------------------------------------------------------------------------------------------------------- 2.1b perplexity


def _logprobs(rng: np.random.Generator) -> Sequence[Case]:
    cases = [{"logprobs": [[-math.log(8.0)]], "num_bytes": 3}]
    for n in (2, 3, 8):
        cases.append(
            {
                "logprobs": [list(-rng.exponential(3, size=rng.integers(1, 30))) for _ in range(n)],
                "num_bytes": int(rng.integers(50, 500)),
            }
        )
    return cases


def _score(case: Case) -> Outputs:
    from ...evals.text import TextScore

    flat = [value for text in case["logprobs"] for value in text]
    score = TextScore(nats=-math.fsum(flat), tokens=len(flat), bytes=case["num_bytes"])
    return {"perplexity": score.perplexity, "bits_per_byte": score.bits_per_byte}


def _other_score(
    per_text: bool = False, base: float = math.e, over: str = "bytes", sign: float = 1.0
) -> Callable[[Case], Outputs]:
    def outputs(case: Case) -> Outputs:
        flat = [value for text in case["logprobs"] for value in text]
        nats = -sum(flat)
        mean = -sum(sum(t) / len(t) for t in case["logprobs"]) / len(case["logprobs"]) if per_text else nats / len(flat)
        return {"perplexity": base ** (sign * mean),
                "bits_per_byte": nats / math.log(2) / (len(flat) if over == "tokens" else case["num_bytes"])}  # fmt: skip

    return outputs


PERPLEXITY = Exercise(
    id="2.1b",
    title="Perplexity and bits per byte",
    entry="measures",
    template='''"""Exercise 2.1b: how surprised a model is by texts."""

import math


def measures(logprobs, num_bytes):
    """logprobs: for each text, the natural log-probability of each of its tokens. num_bytes: of all texts together in UTF-8.

    -> {"perplexity": per token over all texts together, "bits_per_byte": bits of all tokens over num_bytes}.
    """
    raise NotImplementedError
''',
    drive="def drive(solution, case):\n    return solution.measures(case['logprobs'], case['num_bytes'])\n",
    reference=_score,
    checks=(
        Check(
            name="both figures",
            cases=_logprobs,
            hints=(
                "One token of probability 1/8 has perplexity 8.",
                "All tokens of all texts weigh the same; bits are nats over ln 2.",
                "perplexity = exp(-sum / number of tokens); bits_per_byte = -sum / ln 2 / num_bytes.",
            ),
            tolerance=1e-9,
        ),
    ),
    mistakes=(
        Mistake(name="texts are averaged, whatever their length", outputs=_other_score(per_text=True), hint="Add up all tokens first."),
        Mistake(name="the perplexity is 2 to the nats", outputs=_other_score(base=2.0), hint="Natural logarithms: exp."),
        Mistake(name="the sign is lost", outputs=_other_score(sign=-1.0), hint="exp of the mean of minus the log-probabilities."),
        Mistake(name="bits are divided by tokens, not by bytes", outputs=_other_score(over="tokens"),
                hint="Bytes do not depend on how a text is cut: that is what makes the figure comparable."),
        Mistake(name="nats are given, not bits", hint="A bit is ln 2 nats.",
                outputs=lambda c: {**_score(c), "bits_per_byte": _score(c)["bits_per_byte"] * math.log(2)}),
    ),
    sources=("Jelinek et al. 1977",),
)  # fmt: skip

# ------------------------------------------------------------------------------------------------------------ 2.3 LSTM cell


def _cells(rng: np.random.Generator) -> Sequence[Case]:
    cases = []
    for b, i, h in ((1, 1, 1), (2, 3, 2), (3, 5, 4)):
        cases.append({"x": rng.normal(size=(b, i)), "h": rng.normal(size=(b, h)), "c": rng.normal(size=(b, h)),
                      "w": rng.normal(size=(4 * h, i)), "u": rng.normal(size=(4 * h, h)), "bias": rng.normal(size=4 * h)})  # fmt: skip
    return cases


def _lstm(case: Case) -> Outputs:
    import torch

    from ...nn.mixers.rnn import step

    x, h, c, w, u, bias = (torch.tensor(case[n]) for n in ("x", "h", "c", "w", "u", "bias"))
    new_h, new_c = step("lstm", x @ w.T + bias, (h, c), u, None)
    return {"h": new_h.numpy(), "c": new_c.numpy()}


def _other_lstm(
    order: str = "ifgo", *, candidate: str = "tanh", squash: bool = True, forget_h: bool = False
) -> Callable[[Case], Outputs]:
    def outputs(case: Case) -> Outputs:
        gates = case["x"] @ case["w"].T + case["h"] @ case["u"].T + case["bias"]
        parts = dict(zip(order, np.split(gates, 4, axis=1)))

        def sigmoid(z: np.ndarray) -> np.ndarray:
            made: np.ndarray = 1 / (1 + np.exp(-z))
            return made

        g = np.tanh(parts["g"]) if candidate == "tanh" else sigmoid(parts["g"])
        c = sigmoid(parts["f"]) * (case["h"] if forget_h else case["c"]) + sigmoid(parts["i"]) * g
        return {"h": sigmoid(parts["o"]) * (np.tanh(c) if squash else c), "c": c}

    return outputs


LSTM = Exercise(
    id="2.3",
    title="One step of an LSTM",
    entry="lstm_step",
    template='''"""Exercise 2.3: one step of an LSTM (Hochreiter and Schmidhuber 1997, with the forget gate of Gers et al. 2000)."""

import torch


def lstm_step(x, h, c, w, u, bias):
    """x [B, I], h and c [B, H], w [4 H, I], u [4 H, H], bias [4 H] -> (h [B, H], c [B, H]).

    The four blocks of rows are, in this order: input gate, forget gate, candidate, output gate. Gates are sigmoids, the candidate a tanh;
    c = forget * c + input * candidate; h = output * tanh(c).
    """
    raise NotImplementedError
''',
    drive="""
def drive(solution, case):
    h, c = solution.lstm_step(*(torch.tensor(case[n]) for n in ("x", "h", "c", "w", "u", "bias")))
    return {"h": h, "c": c}
""",
    reference=_lstm,
    packages=TORCH,
    denied=("torch.lstm_cell", "torch.nn.LSTMCell", "torch.nn.LSTM", "torch.lstm", "torch.nn.functional.lstm_cell"),
    checks=(
        Check(
            name="h and c after one step",
            cases=_cells,
            hints=(
                "Compute the four gates of the smallest case by hand.",
                "Is the order input, forget, candidate, output? Which of them is a tanh?",
                "i, f, g, o = (x @ w.T + h @ u.T + bias).chunk(4, -1)",
            ),
            tolerance=1e-7,
        ),
    ),
    mistakes=(
        Mistake(name="input and forget gate are swapped", outputs=_other_lstm("figo"), hint="The first block is the input gate."),
        Mistake(name="candidate and output gate are swapped", outputs=_other_lstm("ifog"), hint="The third block is the candidate."),
        Mistake(name="the candidate is a sigmoid", outputs=_other_lstm(candidate="sigmoid"), hint="The candidate is a tanh."),
        Mistake(name="h is not squashed", outputs=_other_lstm(squash=False), hint="h = output * tanh(c)"),
        Mistake(name="the forget gate multiplies h", outputs=_other_lstm(forget_h=True), hint="What is remembered is c."),
    ),
    sources=("Hochreiter and Schmidhuber 1997; Gers et al. 2000",),
)  # fmt: skip

# ------------------------------------------------------------------------------------------------------------ 2.4 beam search


def _tables(rng: np.random.Generator) -> Sequence[Case]:
    """First-order models: the log-probabilities of the next token depend on the last one. Token 0 begins, token 1 ends."""
    cases: list[Case] = []
    for vocab, beams, longest in ((3, 1, 3), (4, 2, 4), (5, 3, 5), (6, 4, 6), (6, 2, 6)):
        for _ in range(12):
            logits = 1.5 * rng.normal(size=(vocab, vocab))
            logits[:, 0] = -30.0
            table = logits - np.log(np.exp(logits).sum(1, keepdims=True))
            case = {"table": table, "num_beams": beams, "max_tokens": longest}
            if _beam(case) == _plain_beam(case):  # else a near tie, which the search in float32 turned the other way
                cases.append(case)
    return cases


def _beam(case: Case) -> Any:
    """The library's own search, over a model that looks its next token up in the table."""
    from types import SimpleNamespace

    import torch

    from ...engine.seq2seq.search import beam_search

    table = torch.tensor(case["table"])

    class Looked:
        def begin(self, encoded: Any) -> Any:
            return encoded

        def decode(self, ids: Any, state: Any) -> Any:
            output = SimpleNamespace(hidden=table[ids], head=lambda hidden: hidden)
            return SimpleNamespace(output=output, state=state)

    class State:
        mask = torch.ones(1, 1, dtype=torch.bool)

        def repeated(self, times: int) -> State:
            return self

        def kept(self, rows: Any) -> State:
            return self

        def reordered(self, order: Any) -> State:
            return self

    ends = SimpleNamespace(start=0, eos=1)
    found = beam_search(Looked(), State(), ends, num_beams=case["num_beams"], max_tokens=[case["max_tokens"]],  # type: ignore[arg-type]
                        vocab_size=len(table), length_penalty=1.0, form="average")[0]  # fmt: skip
    return list(found[0].ids)


def _plain_beam(case: Case, *, normalise: bool = True, beams: int | None = None, keep_all: bool = True) -> list[int]:
    going: list[tuple[float, list[int]]]
    table, longest, k = case["table"], case["max_tokens"], beams or case["num_beams"]
    running, done = [(0.0, [0])], []
    for step in range(longest + 1):
        options = sorted(
            ((total + table[ids[-1]][t], ids, t) for total, ids in running for t in range(len(table))),
            key=lambda o: -o[0],
        )
        going = []
        for rank, (total, ids, t) in enumerate(options[: 2 * k]):
            if t == 1:
                if rank < k:
                    done.append((total / (step + 1) if normalise else total, ids[1:]))
            elif len(going) < k:
                going.append((total, [*ids, t]))
        if len(done) >= k or step >= longest or not going:
            if not done:
                done = [(total / max(1, step) if normalise else total, ids[1:]) for total, ids in running]
            break
        running = going
        if not keep_all and done:
            break
    return [int(i) for i in max(done, key=lambda d: d[0])[1]]


BEAM = Exercise(
    id="2.4",
    title="Beam search",
    entry="beam_search",
    template='''"""Exercise 2.4: the likeliest sequence that a narrow search finds."""


def beam_search(next_logprobs, num_beams, max_tokens):
    """next_logprobs(ids) -> list of log-probabilities of the next token after ids, a list that begins with 0. Token 1 ends a sequence.

    -> the ids of the best finished sequence, without the 0 and the 1.

    Each step continues every running sequence by every token and looks at the best 2 * num_beams of all (by the sum of log-probabilities):
    one that ends, and is among the best num_beams, is finished, with the score sum / number of tokens (the end counted); the best num_beams
    that do not end run on. Stop when num_beams have finished, or after step max_tokens (steps counted from 0). If none has finished by then,
    the running sequences as they were before that step are the candidates, with the score sum / number of tokens. The best score wins.
    """
    raise NotImplementedError
''',
    drive="""
def drive(solution, case):
    table = case["table"]
    made = solution.beam_search(lambda ids: [float(v) for v in table[ids[-1]]], case["num_beams"], case["max_tokens"])
    return {"result": [int(i) for i in made]}
""",
    reference=result(_beam),
    checks=(
        Check(
            name="the sequence found",
            cases=_tables,
            hints=(
                "With one beam it is greedy search. Is yours?",
                "Finished sequences are compared by their mean log-probability; unfinished ones by their sum.",
                "options = sorted((total + lp[t], ids, t) ...)[: 2 * num_beams]; ends among the first num_beams are set aside.",
            ),
            tolerance=0,
        ),
    ),
    mistakes=(
        Mistake(name="finished sequences are compared by their sums", outputs=result(lambda c: _plain_beam(c, normalise=False)),
                hint="Longer sequences have smaller sums: divide by the number of tokens, the end counted."),
        Mistake(name="it is greedy", outputs=result(lambda c: _plain_beam(c, beams=1)), hint="Keep num_beams sequences running."),
        Mistake(name="it stops at the first finished sequence", outputs=result(lambda c: _plain_beam(c, keep_all=False)),
                hint="Go on until num_beams have finished."),
    ),
    sources=("Graves 2012; Wu et al. 2016, section 7",),
)  # fmt: skip

# --------------------------------------------------------------------------------------------------------------- 2.4b BLEU

_LEXICON = ["the", "cat", "sat", "on", "a", "mat", "dog", "ran", "home"]


def _pairs(rng: np.random.Generator) -> Sequence[Case]:
    cases: list[Case] = [
        {"hypotheses": [text], "references": ["the cat sat on the mat"]}
        for text in ("the cat sat on the mat", "the cat sat on the", "the cat sat on the mat at home")
    ]
    for n in (1, 2, 4, 10):
        references = [" ".join(rng.choice(_LEXICON, size=rng.integers(6, 14))) for _ in range(n)]
        hypotheses = []
        for reference in references:
            words = reference.split()
            words = words[: max(5, len(words) - int(rng.integers(3)))]
            words[int(rng.integers(len(words)))] = str(rng.choice(_LEXICON))
            hypotheses.append(" ".join(words + list(rng.choice(_LEXICON, size=rng.integers(3)))))
        cases.append({"hypotheses": hypotheses, "references": references})
    return cases


def _bleu(
    case: Case, *, clip: bool = True, brevity: bool = True, mean: str = "geometric", corpus: bool = True, order: int = 4
) -> float:
    def counts(text: str, n: int) -> Counter[tuple[str, ...]]:
        words = text.split()
        return Counter(tuple(words[i : i + n]) for i in range(len(words) - n + 1))

    def of(pairs: Sequence[tuple[str, str]]) -> float:
        precisions = []
        for n in range(1, order + 1):
            hits = total = 0
            for hypothesis, reference in pairs:
                ours, theirs = counts(hypothesis, n), counts(reference, n)
                hits += sum(min(c, theirs[g]) if clip else c * (g in theirs) for g, c in ours.items())
                total += sum(ours.values())
            precisions.append(hits / total if total else 0.0)
        h, r = (sum(len(p[i].split()) for p in pairs) for i in (0, 1))
        penalty = min(1.0, math.exp(1 - r / h)) if brevity else 1.0
        if min(precisions) == 0:
            return 0.0
        value = math.exp(sum(map(math.log, precisions)) / order) if mean == "geometric" else sum(precisions) / order
        return 100 * penalty * value

    pairs = list(zip(case["hypotheses"], case["references"]))
    return of(pairs) if corpus else sum(of([pair]) for pair in pairs) / len(pairs)


def _own_bleu(case: Case) -> float:
    from ...text.bleu import corpus_bleu

    return corpus_bleu(case["hypotheses"], [[r] for r in case["references"]], tokenize="none", smoothing="none").score


BLEU = Exercise(
    id="2.4b",
    title="BLEU",
    entry="bleu",
    template='''"""Exercise 2.4b: the measure that translations are compared by (Papineni et al. 2002)."""

import math
from collections import Counter


def bleu(hypotheses, references):
    """Lists of texts, words split by spaces, one reference each -> 0 to 100.

    For n of 1 to 4: matches of n-grams over n-grams of the hypotheses, both added up over all texts; a hypothesis's n-gram matches at most
    as often as its reference has it. BLEU is 100 times the geometric mean of the four, times exp(1 - r / h) where the hypotheses' words h are
    fewer than the references' r. 0 where one of the four is 0.
    """
    raise NotImplementedError
''',
    drive=drive_calling("bleu", "hypotheses", "references"),
    reference=result(_own_bleu),
    checks=(
        Check(
            name="the score of a corpus",
            cases=_pairs,
            hints=(
                "A hypothesis that is its reference scores 100.",
                "Add counts up over the corpus before dividing; clip matches; take the geometric mean; punish short ones only.",
                "hits[n] += sum((counts(h, n) & counts(r, n)).values())",
            ),
            tolerance=1e-9,
        ),
        Check(
            name="a word said often matches only as often as it is there",
            cases=lambda rng: [{"hypotheses": ["the the the the the the the mat"], "references": ["the cat sat on the mat all day the day"]}],
            hints=("Count how often the reference has it.", "Clip: min(count, reference's count).", "Counter & Counter clips."),
            tolerance=1e-9,
        ),
    ),
    mistakes=(
        Mistake(name="matches are not clipped", outputs=result(lambda c: _bleu(c, clip=False)), hint="min(count, reference's count)"),
        Mistake(name="the brevity penalty is missing", outputs=result(lambda c: _bleu(c, brevity=False)),
                hint="Short hypotheses have it easy: multiply by exp(1 - r / h) where h < r."),
        Mistake(name="the mean is arithmetic", outputs=result(lambda c: _bleu(c, mean="arithmetic")), hint="Mean of the logarithms, then exp."),
        Mistake(name="sentences are scored one by one", outputs=result(lambda c: _bleu(c, corpus=False)),
                hint="Add up matches and totals over the corpus first."),
        Mistake(name="n-grams go to 3 only", outputs=result(lambda c: _bleu(c, order=3)), hint="n of 1 to 4."),
    ),
    sources=("Papineni et al. 2002",),
)  # fmt: skip
