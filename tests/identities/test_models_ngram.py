"""What must hold of any n-gram model: probabilities sum to one, scoring is the definition, ARPA files change no bit, sampling
and scoring agree.
"""

from __future__ import annotations

import math
import random
from pathlib import Path

import numpy as np
import pytest

from groundup.core.errors import ArtifactError, DataError
from groundup.core.protocols import complete
from groundup.core.types import Request, SamplingParams, ScoreRequest
from groundup.engine.ngram import NGramEngine
from groundup.evals.text import text_score
from groundup.models.ngram.arpa import read_arpa, write_arpa
from groundup.models.ngram.counting import count_ngrams, lay_out
from groundup.models.ngram.directory import load_ngram, save_ngram
from groundup.models.ngram.model import NGramModel
from groundup.models.ngram.smoothing import (
    AddK,
    GoodTuring,
    Katz,
    KneserNey,
    Laplace,
    MaximumLikelihood,
    ModifiedKneserNey,
    largest_error,
)
from groundup.tokenizers import CharTokenizer, WordTokenizer

EVERY = [
    MaximumLikelihood(), Laplace(), AddK(k=0.01), GoodTuring(), GoodTuring(method="turing"), Katz(), Katz(min_counts=(1,)),
    Katz(method="simple"), KneserNey(), KneserNey(discount=0.4, discount_units=False), ModifiedKneserNey(),
]  # fmt: skip


def words_text(seed: int | None = None) -> str:
    seed = random.SystemRandom().randrange(1 << 32) if seed is None else seed
    print(f"seed {seed}")
    rng = random.Random(seed)
    words = [f"w{i}" for i in range(25)]
    weights = [1 / (i + 1) for i in range(25)]
    return "".join(" ".join(rng.choices(words, weights, k=rng.randrange(0, 8))) + "\n" for _ in range(120))


def made(text: str, smoothing: object, order: int, *, lines_apart: bool = True) -> tuple[NGramModel, WordTokenizer]:
    tokenizer = WordTokenizer.train([text])
    end = tokenizer.end_of_line_id if lines_apart else None
    trie = count_ngrams(lay_out([tokenizer.encode(text)], tokenizer.vocab_size, end), order, tokenizer.vocab_size)
    found = smoothing.estimate(trie)  # type: ignore[attr-defined]
    assert largest_error(trie, found) < 1e-9
    return NGramModel.of(trie, found, end), tokenizer


@pytest.mark.row("2.1")
@pytest.mark.parametrize("smoothing", EVERY, ids=repr)
def test_every_distribution_sums_to_one_and_is_what_is_scored(smoothing: object) -> None:
    text = words_text()
    rng = random.Random(text)
    for order in (1, 2, 4, 7):
        model, tokenizer = made(text, smoothing, order, lines_apart=bool(rng.randrange(2)))
        for _ in range(8):
            context = [rng.randrange(tokenizer.vocab_size) for _ in range(rng.randrange(6))]
            if rng.random() < 0.7:
                ids = tokenizer.encode(text)
                at = rng.randrange(len(ids) - 7)
                context = ids[at : at + rng.randrange(7)]
            _, state = model.score(context)
            p = model.distribution(state)
            assert p.sum() == pytest.approx(1, abs=1e-5) and (p >= 0).all()
            units = rng.sample(range(tokenizer.vocab_size), 5)
            scores = [float(model.score([unit], state)[0][0]) for unit in units]
            assert np.exp(scores) == pytest.approx(p[units], rel=1e-6)
            # The definition walks the whole context; the state has forgotten what cannot matter.
            begin = max((i for i, u in enumerate(context) if u == model.end_of_line), default=-1) + 1
            whole = (model.vocab_size, *context[begin:])
            assert [model.probability(u, whole) for u in units] == pytest.approx(p[units], rel=1e-6)


@pytest.mark.row("2.1")
@pytest.mark.parametrize("smoothing", [ModifiedKneserNey(), Katz(), Laplace(), MaximumLikelihood()], ids=repr)
def test_arpa_changes_no_bit(smoothing: object, tmp_path: Path) -> None:
    text = words_text()
    model, tokenizer = made(text, smoothing, 4)
    write_arpa(model, tokenizer, tmp_path / "a.arpa")
    again, words = read_arpa(tmp_path / "a.arpa")
    assert again.num_ngrams == model.num_ngrams
    other = words_text()
    before, after = model.score(tokenizer.encode(other))[0], again.score(words.encode(other))[0]
    assert np.array_equal(before, after)
    write_arpa(again, words, tmp_path / "b.arpa")
    third, _ = read_arpa(tmp_path / "b.arpa")
    assert np.array_equal(third.score(words.encode(other))[0], before)


@pytest.mark.row("2.1")
def test_arpa_of_other_tools(tmp_path: Path) -> None:
    """Any order of lines, spaces for tabs, back-offs left out, contexts pruned away: what is not there is what back-off says."""
    file = tmp_path / "x.arpa"
    file.write_text(
        "\nsome words before\n\\data\\\nngram 1=5\nngram 2=1\nngram 3=1\n\n\\1-grams:\n-99 <s> -0.1\n-0.7 b\n-0.5\ta\t-0.3\n"
        "-0.6 </s>\n-1.5 <unk>\n\n\\2-grams:\n-0.2 <s> a\n\n\\3-grams:\n-0.05 a b b\n\\end\\\n"
    )
    model, words = read_arpa(file)
    a, b, end, unknown = words.encode("a b\nzzz")
    log10 = lambda ids: model.score(ids)[0] / math.log(10)  # noqa: E731
    assert log10([a, b, b]) == pytest.approx([-0.2, -0.3 - 0.7, -0.05], abs=1e-6)
    assert log10([b, b, end, a]) == pytest.approx([-0.1 - 0.7, -0.7, -0.6, -0.2], abs=1e-6)
    assert log10([unknown]) == pytest.approx([-0.1 - 1.5], abs=1e-6)
    whole = file.read_text()
    for old, new, message in (
        ("\\end\\", "", "was cut"),
        ("-0.7 b", "0.7 b", "is no 1-gram"),
        ("-0.7 b", "-0.7 b c d", "is no 1-gram"),
        ("-0.7 b", "-0.7 a", "twice"),
        ("-0.05 a b b", "-0.05 a b q", "not among the 1-grams"),
        ("\\3-grams", "\\4-grams", "where"),
        ("\\1-grams:", "", "where"),
    ):
        file.write_text(whole.replace(old, new, 1))
        with pytest.raises(DataError, match=message):
            read_arpa(file)


@pytest.mark.row("2.1")
def test_arpa_is_for_words(tmp_path: Path) -> None:
    tokenizer = CharTokenizer.train(["ab"])
    trie = count_ngrams(lay_out([[0, 1]], 2, None), 2, 2)
    model = NGramModel.of(trie, Laplace().estimate(trie))
    with pytest.raises(ArtifactError, match="not of words"):
        write_arpa(model, tokenizer, tmp_path / "c.arpa")


@pytest.mark.row("2.1")
def test_a_model_directory_changes_no_bit(tmp_path: Path) -> None:
    text = words_text()
    model, tokenizer = made(text, ModifiedKneserNey(), 5)
    save_ngram(model, tmp_path, tokenizer=tokenizer)
    again = load_ngram(tmp_path)
    ids = tokenizer.encode(words_text())
    assert np.array_equal(model.score(ids)[0], again.score(ids)[0])
    assert (again.order, again.end_of_line) == (5, tokenizer.end_of_line_id)


@pytest.mark.row("2.1")
def test_what_is_generated_has_the_log_probabilities_it_is_scored_with() -> None:
    model, tokenizer = made(words_text(), ModifiedKneserNey(), 4)
    engine = NGramEngine(model, tokenizer)
    params = SamplingParams(max_tokens=20, seed=5, logprobs=3)
    requests = [Request(prompt=p, params=params) for p in ("w0 w1", "", "w3\n", (5, 2))]
    for request, done in zip(requests, complete(engine, requests)):
        prompt = tuple(engine.prompt_ids(request))
        (scored,) = engine.logprobs([ScoreRequest(context=prompt, continuation=done.token_ids)])
        assert [t.logprob for t in done.logprobs] == pytest.approx(scored.logprobs, abs=1e-4)
        assert all(len(t.top) == 3 and t.top[0][2] >= t.logprob - 1e-6 for t in done.logprobs)
        assert done.text == tokenizer.decode(done.token_ids) and scored.unit == "word"


@pytest.mark.row("2.1")
def test_samples_are_drawn_from_the_distribution() -> None:
    model, tokenizer = made(words_text(), Katz(), 3)
    engine = NGramEngine(model, tokenizer)
    p = model.distribution(model.score(tokenizer.encode("w0"))[1])
    params = [SamplingParams(max_tokens=1, seed=s) for s in range(1500)]
    drawn = [c.token_ids[0] for c in complete(engine, [Request(prompt="w0", params=q) for q in params])]
    shares = np.bincount(drawn, minlength=len(p)) / len(drawn)
    # Five standard deviations of the commonest unit's share: never by chance (seeds are fixed, the model is not).
    assert abs(shares - p).max() < 5 * math.sqrt(p.max() * (1 - p.max()) / len(drawn)) + 1e-3
    (greedy,) = complete(engine, [Request(prompt="w0", params=SamplingParams(max_tokens=1, temperature=0))])
    assert greedy.token_ids[0] == int(p.argmax())
    (stopped,) = complete(engine, [Request(prompt="w0", params=SamplingParams(max_tokens=500, seed=1, stop=("\n",)))])
    assert stopped.finish_reason == "stop" and "\n" not in stopped.text


@pytest.mark.row("2.1")
def test_perplexity_of_a_text_is_that_of_its_words_and_line_ends() -> None:
    text, other = words_text(), words_text() * 60
    model, tokenizer = made(text, ModifiedKneserNey(), 3)
    score = text_score(NGramEngine(model, tokenizer), other)
    direct, _ = model.score(tokenizer.encode(other))
    assert score["unit"] == "word" and score["tokens"] == len(direct) == len(other.split()) + other.count("\n")
    assert score["perplexity"] == pytest.approx(math.exp(-direct.mean()), rel=1e-9)
    with pytest.raises(DataError, match="no word"):
        text_score(NGramEngine(model, tokenizer), "   ")
