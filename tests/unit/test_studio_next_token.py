"""What the settings of sampling leave, from 20 log-probabilities: held against the engine's own distribution over the whole vocabulary."""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Iterator, Sequence

import pytest
import torch

from groundup.core.errors import RequestError
from groundup.core.types import Capabilities, Chunk, Request, SamplingParams, Usage
from groundup.engine import Engine, EngineConfig
from groundup.engine.sampling import RowSettings, SamplingPlan
from groundup.studio.next_token import (
    Branches,
    Candidate,
    Rules,
    Told,
    ask,
    begin,
    can_tell,
    continuations,
    narrow,
    shown,
)
from tiny_engine import ByteTokenizer, tiny_decoder

pytestmark = pytest.mark.row("L.8")


def told_of(logits: torch.Tensor, count: int = 20) -> Told:
    logprobs = logits.log_softmax(-1)
    best = logprobs.topk(min(count, len(logits)))
    made = [
        Candidate(token_id=i, shown=str(i), text=str(i), logprob=p)
        for i, p in zip(best.indices.tolist(), best.values.tolist())
    ]
    return Told(candidates=made, others=len(logits) - len(made))


def engine_says(logits: torch.Tensor, rules: Rules, made: Sequence[int] = ()) -> torch.Tensor:
    plan = SamplingPlan([RowSettings(rules.params(), seed=0, prompt_length=3)])
    if rules.temperature == 0:
        for rule in plan.shaping:
            logits = rule(logits[None], [[0, 0, 0, *made]])[0]
        return torch.nn.functional.one_hot(logits.argmax(), len(logits)).double()
    return plan.distribution(logits[None], [[0, 0, 0, *made]])[0]


def drawn_rules(rng: random.Random) -> Rules:
    def maybe(low: float, high: float, off: float) -> float:
        return rng.uniform(low, high) if rng.random() < 0.5 else off

    return Rules(
        temperature=rng.choice([1.0, 1.0, 0.0, rng.uniform(0.2, 2.0)]),
        top_k=rng.choice([0, 0, rng.randint(1, 20), 50]),
        top_p=maybe(0.05, 0.99, 1.0),
        min_p=maybe(0.001, 0.4, 0.0),
        presence_penalty=maybe(0, 2, 0.0),
        frequency_penalty=maybe(0, 2, 0.0),
    )


@pytest.mark.parametrize("trial", range(40))
def test_the_engines_distribution_lies_inside(trial: int) -> None:
    rng = random.Random(trial)
    exact = certain = 0
    for part in range(40):
        draws = torch.Generator().manual_seed(1000 * trial + part)
        size = rng.choice([12, 20, 21, 60, 900])
        logits = torch.randn(size, generator=draws) * rng.choice([0.3, 1.0, 3.0])
        logits = logits.double()
        rules = drawn_rules(rng)
        made = rng.choices(range(size), k=5) if rng.random() < 0.4 else []
        told = told_of(logits)
        got = narrow(told, rules, Counter(made))
        wanted = engine_says(logits, rules, made)
        if not got.exact_cuts:
            continue
        certain += 1
        exact += got.exact
        listed = wanted[[c.token_id for c in told.candidates]].tolist()
        rest = float(wanted.sum()) - sum(listed)
        message = f"{rules} size {size} made {made}"
        assert got.rest_low - 1e-6 <= rest <= got.rest_high + 1e-6, message
        for share, probability in zip(got.shares, listed, strict=True):
            assert (share.cut == "") == (probability > 0), f"{message} {share}"
            assert share.low - 1e-6 <= probability <= share.high + 1e-6, f"{message} {share}"
    assert certain >= 15 and exact >= 8  # it is not let off by being vague


def test_without_rules_it_is_what_the_model_says() -> None:
    told = told_of(torch.randn(300, generator=torch.Generator().manual_seed(0)) * 2)
    got = narrow(told, Rules())
    assert got.exact and got.rest == pytest.approx(told.rest) and 0 < told.rest < 1
    assert [s.after for s in got.shares] == pytest.approx([math.exp(c.logprob) for c in told.candidates])
    assert got.kept_mass == pytest.approx(1 - told.rest)


@pytest.mark.parametrize(
    "rules", [Rules(top_p=0.5), Rules(top_k=7), Rules(top_k=20, temperature=1.6), Rules(min_p=0.3, temperature=0.5),
              Rules(temperature=0.3, top_k=5, top_p=0.8), Rules(temperature=0.0)]
)  # fmt: skip
def test_where_the_rest_is_cut_the_numbers_are_exact(rules: Rules) -> None:
    logits = (torch.randn(500, generator=torch.Generator().manual_seed(2)) * 2.5).double()
    told = told_of(logits)
    got = narrow(told, rules)
    assert got.exact and got.rest == 0.0
    wanted = engine_says(logits, rules)[[c.token_id for c in told.candidates]].tolist()
    assert [s.after for s in got.shares] == pytest.approx(wanted, abs=1e-6)
    assert got.entropy_bits == pytest.approx(-sum(p * math.log2(p) for p in wanted if p > 0), abs=1e-5)
    assert rules.top_k == 20 or {s.cut for s in got.shares} - {""}


def test_what_is_not_known_is_an_interval() -> None:
    flat = told_of(torch.zeros(5000).double() + 0.01 * torch.randn(5000, generator=torch.Generator().manual_seed(3)))
    hot = narrow(flat, Rules(temperature=2.0))
    assert hot.rest_low < hot.rest_high and hot.shares[0].low < hot.shares[0].high
    # As if each of the others had the most that it can have: too low, but not by much where they are nearly alike.
    assert math.log2(5000) - 0.3 < narrow(flat, Rules()).entropy_bits < math.log2(5000)
    cold = narrow(told_of(torch.randn(5000).double()), Rules(temperature=0.05))
    assert cold.shares[0].high <= 1.0 and cold.rest_high >= cold.rest_low >= 0.0


def engine() -> Engine:
    return Engine(tiny_decoder(seed=2), ByteTokenizer(), config=EngineConfig(), eos_ids=(256,))


def test_the_engine_is_asked_and_gone_on_with_token_by_token() -> None:
    model = engine()
    try:
        prompt = begin(model, "hello")
        assert prompt == tuple(b"hello") and can_tell(model) == ""
        told = ask(model, prompt)
        assert len(told.candidates) == 20 and told.others == 257 + 63 - 20
        with torch.no_grad():
            logits = model._model(torch.tensor([list(b"hello")])).logits[0, -1]
        best = logits.log_softmax(-1)[:257].topk(20)
        assert [c.token_id for c in told.candidates] == best.indices.tolist()
        assert [c.logprob for c in told.candidates] == pytest.approx(best.values.tolist(), abs=1e-4)
        tree = Branches(prompt)
        tree.take(told.candidates[3])
        assert tree.prompt_here() == (*b"hello", told.candidates[3].token_id)
        again = ask(model, tree.prompt_here())
        assert [c.token_id for c in again.candidates] != [c.token_id for c in told.candidates]
        rules = Rules(temperature=0.9, top_k=12)
        five = continuations(model, prompt, rules, count=5, max_tokens=6, seed=40)
        assert len({c.token_ids for c in five}) > 1 and all(len(c.logprobs) == len(c.token_ids) for c in five)
        assert [c.token_ids for c in continuations(model, prompt, rules, count=2, max_tokens=6, seed=41)] == [
            c.token_ids for c in five[1:3]
        ]
    finally:
        model.close()


class Quiet:
    """A model that tells no log-probabilities, whatever it says that it can."""

    tokenizer = ByteTokenizer()

    def __init__(self, *abilities: str) -> None:
        self.capabilities = Capabilities(model="quiet", max_context_tokens=100, abilities=frozenset(abilities))

    def generate(self, requests: Sequence[Request]) -> Iterator[tuple[int, Chunk]]:
        for i, _ in enumerate(requests):
            yield i, Chunk(text="a", finish_reason="length", usage=Usage(prompt_tokens=1, completion_tokens=1))


def test_a_model_that_does_not_tell_is_an_error_or_said_before() -> None:
    with pytest.raises(RequestError, match="told no log-probabilities"):
        ask(Quiet("logprobs"), (1,))
    assert "does not tell" in can_tell(Quiet())
    assert "translator" in can_tell(Quiet("logprobs", "rewrites"))


def test_branches_are_a_tree_to_go_back_in() -> None:
    a, b, c = (Candidate(token_id=i, shown=t, text=t, logprob=-i / 10) for i, t in ((1, "a"), (2, "b"), (3, "c")))
    tree = Branches((9,))
    for candidate in (a, b, b):
        tree.take(candidate)
    end = tree.here
    assert tree.prompt_here() == (9, 1, 2, 2) and tree.counts() == {1: 1, 2: 2}
    assert tree.logprob(end) == pytest.approx(-0.5)
    tree.here = tree.path()[0].number
    tree.take(c)
    assert tree.prompt_here() == (9, 1, 3) and tree.leaves() == [end]
    tree.here = 0
    assert tree.taken() == [] and len(tree.leaves()) == 2
    tree.take(a)  # known: gone back to, not made again
    assert len(tree.all) == 5 and tree.here == 1


def test_tokens_are_shown_by_their_bytes_where_they_are_known() -> None:
    assert shown(ByteTokenizer(), 0xE6, "\N{REPLACEMENT CHARACTER}") == "⟨E6⟩"
    assert shown(ByteTokenizer(), 256, "") == "<eos>"
    assert shown(ByteTokenizer(), 9999, "") == "∅" and shown(ByteTokenizer(), 9999, " x") == "·x"
    assert SamplingParams(**{"top_k": 3}) == Rules(top_k=3).params()
