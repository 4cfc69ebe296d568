"""Exercises of chapter 3: cutting text before merging, learning merges, encoding with them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np

from .exercise import Case, Check, Exercise, Growth, Mistake, drive_calling, result

_STEMS = ["low", "new", "wide", "fast", "read", "line"]
_ENDS = ["", "er", "est", "ly", "s", "ing"]

# ------------------------------------------------------------------------------------------------------- 3.1 pre-tokenizer


def _strings(rng: np.random.Generator) -> Sequence[Case]:
    fixed = [
        "",
        "a",
        "hello",
        "hello world",
        " hello",
        "a  b",
        "it's",
        "I'll we've",
        "12 345",
        "a1",
        "!?",
        "a, b",
        "x = 1;\n  y",
        "  ",
        "tail ",
    ]
    alphabet = list("abZ") + list("12") + list(".,!") + list("   \n") + ["'s", "'ll", "é", "日"]
    drawn = ["".join(str(c) for c in rng.choice(alphabet, size=rng.integers(2, 25))) for _ in range(25)]
    return [{"text": text} for text in fixed + sorted(drawn, key=len)]


def _pieces(case: Case) -> list[str]:
    """The library's own, under GPT-2's pattern."""
    from ...tokenizers.patterns import rule_of, split_text

    return split_text(rule_of("gpt2"), case["text"])


def _other_pieces(pattern: str) -> Callable[[Case], list[str]]:
    def pieces(case: Case) -> list[str]:
        import regex

        return list(regex.findall(pattern, case["text"]))

    return pieces


_GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"

_ASCII = _GPT2.replace(r"\p{L}+", "[a-zA-Z]+").replace(r"\p{L}", "a-zA-Z")

PRE_TOKENIZER = Exercise(
    id="3.1",
    title="GPT-2's pre-tokenizer",
    entry="pieces",
    template='''"""Exercise 3.1: where merges may not cross (Radford et al. 2019), without a library of patterns."""

import unicodedata


def pieces(text):
    """The text cut into pieces that, joined, are the text again. From the left, the first of these that fits is taken:

    1. one of 's 't 're 've 'm 'll 'd (small letters only)
    2. letters, as many as there are, with one space before them if there is one      (unicodedata.category begins with L)
    3. digits and other numbers, the same way                                          (category begins with N)
    4. what is neither white space, letter nor number, the same way
    5. white space, but without its last character if something that is no white space follows
    6. white space

    White space is what str.isspace() says.
    """
    raise NotImplementedError
''',
    drive=drive_calling("pieces", "text"),
    reference=result(_pieces),
    checks=(
        Check(
            name="pieces joined are the text",
            cases=_strings,
            judge=lambda case, got: None if "".join(got["result"]) == case["text"] else f"joined they are {''.join(got['result'])!r}",
            hints=("Is a character lost or doubled?", "Every character belongs to one piece.", "Take a piece, move on by its length."),
        ),
        Check(
            name="the pieces are GPT-2's",
            cases=_strings,
            hints=(
                "Which of the six rules makes the first piece that differs?",
                "One space goes with the word after it; of several, all but the last are a piece of their own.",
                "Rule 5: find the run of white space; if something follows it and it is longer than 1, leave its last character.",
            ),
        ),
    ),
    mistakes=(
        Mistake(name="spaces are pieces of their own", outputs=result(_other_pieces(_GPT2.replace("| ?", "|"))),
                hint="One space before letters, numbers or signs belongs to them."),
        Mistake(name="contractions are not cut off", outputs=result(_other_pieces(_GPT2.partition("'d|")[2])),
                hint="'s, 't, 're, 've, 'm, 'll, 'd come first of all rules."),
        Mistake(name="white space keeps its last character", outputs=result(_other_pieces(_GPT2.replace(r"\s+(?!\S)|", ""))),
                hint="The last white space before a word is left for the word."),
        Mistake(name="letters and numbers are one kind", outputs=result(_other_pieces(_GPT2.replace(r" ?\p{L}+| ?\p{N}+", r" ?[\p{L}\p{N}]+"))),
                hint="Letters and numbers are cut apart: a1 is two pieces."),
        Mistake(name="only ASCII letters are letters", outputs=result(_other_pieces(_ASCII)),
                hint="unicodedata.category(c)[0] == 'L'"),
    ),
    sources=("Radford et al. 2019; the pattern as published in tiktoken",),
)  # fmt: skip

# ---------------------------------------------------------------------------------------------------------- 3.2 BPE training


def _corpora(rng: np.random.Generator) -> Sequence[Case]:
    cases: list[Case] = [{"words": {"aa": 2}, "num_merges": 1}, {"words": {"ab": 3, "bc": 2}, "num_merges": 2}]
    for n, merges in ((4, 3), (8, 8), (15, 20), (30, 40)):
        words = Counter(str(rng.choice(_STEMS)) + str(rng.choice(_ENDS)) for _ in range(n * 4))
        cases.append({"words": {w: int(c) for w, c in words.items()}, "num_merges": merges})
    return cases


def _merges(
    case: Case, *, weighted: bool = True, tie: str = "bytes", overlap: bool = True, recount: bool = True
) -> list[tuple[str, str]]:
    symbols = {word: list(word) for word in case["words"]}
    made: list[tuple[str, str]] = []
    frozen: Counter[tuple[str, str]] = Counter()
    for word, count in case["words"].items():
        for pair in pairwise(word):
            frozen[pair] += count
    order = {c: i for i, c in enumerate(sorted({c for w in case["words"] for c in w}))}
    for _ in range(case["num_merges"]):
        counts: Counter[tuple[str, str]] = Counter()
        for word, parts in symbols.items():
            for pair in pairwise(parts):
                counts[pair] += case["words"][word] if weighted else 1
        if not recount:
            counts = Counter({p: c for p, c in frozen.items() if p not in made})
        if not counts:
            break
        best = max(counts.values())
        among = [pair for pair, count in counts.items() if count == best]
        first = (
            min(among, key=lambda p: (order[p[0]], order[p[1]]))
            if tie == "bytes"
            else max(among, key=lambda p: (order[p[0]], order[p[1]]))
        )
        if tie == "seen":
            first = among[0]
        made.append(first)
        order.setdefault("".join(first), len(order))
        for word, parts in symbols.items():
            merged, i = [], 0
            while i < len(parts):
                if i + 1 < len(parts) and (parts[i], parts[i + 1]) == first:
                    merged.append(parts[i] + parts[i + 1])
                    i += 2
                else:
                    merged.append(parts[i])
                    i += 1
            symbols[word] = merged
    return made


def _own_merges(case: Case) -> list[tuple[str, str]]:
    """The library's readable trainer, on words of ASCII."""
    from ...tokenizers.reference import train

    learned = train({w.encode(): c for w, c in case["words"].items()}, vocab_size=256 + case["num_merges"])
    text = [bytes(token).decode("latin-1") for token in learned.tokens]
    return [(text[a], text[b]) for a, b in learned.merges]


BPE_TRAIN = Exercise(
    id="3.2",
    title="Learning merges",
    entry="train_bpe",
    template='''"""Exercise 3.2: byte-pair encoding, trained (Gage 1994; Sennrich et al. 2016)."""

from collections import Counter


def train_bpe(words, num_merges):
    """words: how often each word is there, {"low": 5, ...} (ASCII). -> the merges in the order in which they are made, [(left, right), ...].

    A word begins as its characters. Each time, the pair of neighbours that is most frequent (each word counted as often as it is there) is
    joined everywhere, from the left. Of equally frequent pairs the one whose parts are older comes first, the left part deciding before the
    right: characters are as old as their codes say, and before all joined parts; those are as old as their merges. Ends early where no
    pair is left.
    """
    raise NotImplementedError
''',
    drive="""
def drive(solution, case):
    return {"result": [tuple(pair) for pair in solution.train_bpe(case["words"], case["num_merges"])]}
""",
    reference=result(_own_merges),
    checks=(
        Check(
            name="the merges, in order",
            cases=_corpora,
            hints=(
                "Count the pairs of the failing case by hand, up to the first merge that differs.",
                "Words weigh as often as they are there; counts change after each merge; ties go to the older parts.",
                "age = {char: ...}; best = min(pairs, key=lambda p: (-count[p], age[p[0]], age[p[1]])); age[joined] = len(age)",
            ),
        ),
    ),
    mistakes=(
        Mistake(name="every word counts once", outputs=result(lambda c: _merges(c, weighted=False)), hint="Add words[word], not 1."),
        Mistake(name="of equally frequent pairs the last is taken", outputs=result(lambda c: _merges(c, tie="last")),
                hint="Ties go to the pair whose parts are older."),
        Mistake(name="of equally frequent pairs the one seen first is taken", outputs=result(lambda c: _merges(c, tie="seen")),
                hint="Ties go to the pair whose parts are older, wherever they stand."),
        Mistake(name="pairs are counted once, at the beginning", outputs=result(lambda c: _merges(c, recount=False)),
                hint="A merge changes the pairs beside it: count again."),
    ),
    swap="groundup run recipes/tiny_gpt.yaml --swap tokenizer.trainer={file}:train_bpe tokenizer.vocab_size=600 tokenizer.max_bytes=100000",
    sources=("Gage 1994; Sennrich, Haddow, Birch 2016",),
)  # fmt: skip

# ---------------------------------------------------------------------------------------------------------- 3.2b encoding


def _encodings(rng: np.random.Generator) -> Sequence[Case]:
    """Words of few letters, in which several merges compete."""

    def word(longest: int) -> str:
        return "".join(str(c) for c in rng.choice(list("abc"), size=rng.integers(2, longest)))

    cases = []
    for merges in (1, 3, 6, 10, 20, 30):
        table = _merges({"words": dict(Counter(word(9) for _ in range(40))), "num_merges": merges})
        cases += [{"word": word(14), "merges": [tuple(pair) for pair in table]} for _ in range(6)]
    return sorted(cases, key=lambda c: len(c["word"]))


def _encode(case: Case, *, way: str = "rank") -> list[str]:
    parts, rank = list(case["word"]), {tuple(pair): r for r, pair in enumerate(case["merges"])}
    if way == "longest":
        known = {a + b for a, b in rank}
        made, i, word = [], 0, case["word"]
        while i < len(word):
            size = next(n for n in range(len(word) - i, 0, -1) if n == 1 or word[i : i + n] in known)
            made.append(word[i : i + size])
            i += size
        return made
    while True:
        found = [(rank[pair], i) for i, pair in enumerate(pairwise(parts)) if pair in rank]
        if not found:
            return parts
        best = (
            max(found)[1]
            if way == "newest"
            else min(found, key=lambda f: f[1])[1]
            if way == "leftmost"
            else min(found)[1]
        )
        parts[best : best + 2] = [parts[best] + parts[best + 1]]
        if way == "once":
            return parts


def _own_encoding(case: Case) -> list[str]:
    from ...tokenizers.reference import encode_piece

    word = case["word"].encode()
    tokens = [bytes([b]).decode("latin-1") for b in range(256)]
    number = {token: i for i, token in enumerate(tokens)}
    merge_of = {}
    for rank, (a, b) in enumerate(case["merges"]):
        number.setdefault(a + b, len(tokens))
        tokens.append(a + b)
        merge_of[number[a], number[b]] = (rank, number[a + b])
    return [tokens[i] for i in encode_piece(word, {b: b for b in range(256)}, merge_of)]


_FOUR = [("a", "a"), ("b", "b"), ("a", "b"), ("aa", "bb")]

BPE_ENCODE = Exercise(
    id="3.2b",
    title="Encoding with merges",
    entry="encode",
    template='''"""Exercise 3.2b: a word as the tokens of a trained byte-pair encoding."""


def encode(word, merges):
    """word: ASCII text; merges: [(left, right), ...] in the order in which they were learned. -> the word's parts, a list of texts.

    Begins as characters; joins the pair of neighbours that was learned first of all that are there, the leftmost of several, until
    none is left. Words may have thousands of characters.
    """
    raise NotImplementedError
''',
    drive="def drive(solution, case):\n    return {'result': list(solution.encode(case['word'], [tuple(pair) for pair in case['merges']]))}\n",
    reference=result(_own_encoding),
    checks=(
        Check(
            name="parts of words",
            cases=_encodings,
            hints=(
                "Which merge would the trainer have made first on this word?",
                "The order is that of learning, not of place in the word, nor of length.",
                "rank = {pair: i}; best = min((rank[p], i) for i, p in enumerate(pairs) if p in rank); join there; again.",
            ),
        ),
    ),
    mistakes=(
        Mistake(name="the leftmost pair is joined first", outputs=result(lambda c: _encode(c, way="leftmost")), hint="Lowest first."),
        Mistake(name="the pair learned last is joined first", outputs=result(lambda c: _encode(c, way="newest")),
                hint="Lowest rank first."),
        Mistake(name="the longest known part is taken", outputs=result(lambda c: _encode(c, way="longest")),
                hint="That is WordPiece's way; here merges are replayed."),
        Mistake(name="only one pair is joined", outputs=result(lambda c: _encode(c, way="once")), hint="Go on until no pair is left."),
    ),
    growth=Growth(case=lambda rng, n: {"word": "".join(rng.choice(list("ab"), size=n)), "merges": _FOUR},
                  start=300, exponent=2.0, hint="Look every pair up in a dict; do not search the list of merges for each."),
    sources=("Sennrich, Haddow, Birch 2016",),
)  # fmt: skip
