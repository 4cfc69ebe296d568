"""What may come next, and what the settings of sampling leave of it: from the log-probabilities that a Generator gives.

A Generator tells its 20 likeliest tokens; of the others only their number and their mass together are known, and that none is likelier than
the last of the 20. So what the engine would do (engine/sampling.py: penalties, temperature, top-k, top-p, min-p, in this order) is worked
out as an interval: exact wherever the rest is cut or the temperature is 1, and as narrow as what is known allows where it is not. A test
holds the engine's own distribution to lie inside.

Left out: the repetition penalty. It divides or multiplies raw logits by their sign, and log-probabilities do not tell where the zero of
the logits was; the presence and frequency penalties only subtract, which log-probabilities are as good for.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from groundup.core.errors import RequestError
from groundup.core.protocols import Tokenizer, complete
from groundup.core.types import Completion, Request, SamplingParams

from .token_pieces import piece_of, visible

TOLD = 20
"""Tokens told of: the most that the engine, OpenAI and vLLM allow."""
_CLOSE = 0.005
"""Intervals narrower than this are shown as a number."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A token that may come next."""

    token_id: int
    shown: str
    text: str
    logprob: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What a Generator says of the next token."""

    candidates: Sequence[Candidate]
    """The likeliest first."""
    others: int
    """How many more tokens there are, at most."""

    @property
    def rest(self) -> float:
        """Probability of all others together."""
        return max(0.0, 1.0 - sum(math.exp(c.logprob) for c in self.candidates)) if self.others else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """Settings of sampling, as `SamplingParams` has them."""

    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0

    def params(self, **more: Any) -> SamplingParams:
        return SamplingParams(
            temperature=self.temperature, top_k=self.top_k, top_p=self.top_p, min_p=self.min_p,
            presence_penalty=self.presence_penalty, frequency_penalty=self.frequency_penalty, **more,
        )  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """One candidate, before and after."""

    candidate: Candidate
    before: float
    low: float
    high: float
    """Its probability when sampled lies between these."""
    cut: str = ""
    """The rule that removed it."""

    @property
    def after(self) -> float:
        return (self.low + self.high) / 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Narrowed:
    """The distribution that is sampled from."""

    shares: Sequence[Share]
    """In the order of the candidates."""
    rest_low: float
    rest_high: float
    """Probability of all others together lies between these."""
    rest_peak: float
    """None of the others is likelier than this."""
    exact_cuts: bool
    """Whether it is certain which candidates are kept."""

    @property
    def exact(self) -> bool:
        return self.exact_cuts and self.rest_high - self.rest_low < _CLOSE

    @property
    def rest(self) -> float:
        return (self.rest_low + self.rest_high) / 2

    @property
    def kept_mass(self) -> float:
        """How much of the model's own probability the kept candidates have."""
        return sum(s.before for s in self.shares if not s.cut)

    @property
    def entropy_bits(self) -> float:
        """Exact where the others are cut; where they are not, as if each of them had the most that it can have: a little too low."""
        listed = -sum(s.after * math.log2(s.after) for s in self.shares if s.after > 0)
        return listed - (
            self.rest * math.log2(min(1.0, self.rest_peak)) if self.rest > 0 and self.rest_peak > 0 else 0.0
        )


def narrow(told: Told, rules: Rules, counts: Mapping[int, int] | None = None) -> Narrowed:
    """What `rules` leave. counts: how often each token id has been sampled already (penalties)."""
    counts = counts or {}
    logs = [c.logprob - _penalty(rules, counts.get(c.token_id, 0)) for c in told.candidates]
    ceiling = told.candidates[-1].logprob if told.others else -math.inf  # no other token is likelier
    rest = told.rest
    unseen = [_penalty(rules, n) for i, n in counts.items() if i not in {c.token_id for c in told.candidates}]
    rest_least = rest * math.exp(-max([0.0, *unseen]))
    before = [math.exp(c.logprob) for c in told.candidates]
    best = max(range(len(logs)), key=lambda i: (logs[i], -i))
    if rules.temperature == 0:
        certain = logs[best] >= ceiling
        return Narrowed(
            shares=[_share(c, b, float(i == best), float(i == best), "" if i == best else "greedy")
                    for i, (c, b) in enumerate(zip(told.candidates, before, strict=True))],
            rest_low=0.0, rest_high=0.0, rest_peak=0.0, exact_cuts=certain,
        )  # fmt: skip
    top = logs[best]
    weights = [math.exp((log - top) / rules.temperature) for log in logs]
    highest = math.exp(min(700.0, (ceiling - top) / rules.temperature)) if told.others else 0.0
    low, high = _tail(rest_least, rest, ceiling, told.others, rules.temperature, top)
    cut = [""] * len(weights)
    exact = top >= ceiling  # else a token that is not told of may be the likeliest by now

    if rules.top_k:
        if rules.top_k <= len(weights):
            least = sorted(weights, reverse=True)[rules.top_k - 1]
            exact = exact and least >= highest  # else another token may be among the k
            cut = ["top-k" if w < least else "" for w in weights]
            low = high = highest = 0.0
        elif rules.top_k < len(weights) + told.others:
            exact = exact and min(weights) >= highest
            low, high = 0.0, min(high, (rules.top_k - len(weights)) * highest)
    if rules.top_p < 1.0:
        kept = sorted((w for w, how in zip(weights, cut, strict=True) if not how), reverse=True)
        total = sum(kept)
        first, last = (_nucleus(kept, rules.top_p * (total + tail)) for tail in (low, high))
        exact = exact and first == last and kept[min(last, len(kept) - 1)] >= highest
        end = _nucleus(kept, rules.top_p * (total + (low + high) / 2))
        if end < len(kept):
            cut = [how or ("top-p" if w < kept[end] else "") for w, how in zip(weights, cut, strict=True)]
        reach = [rules.top_p * (total + tail) - total for tail in (low, high)]
        low = max(0.0, reach[0]) if first == len(kept) else 0.0
        # The one that reaches top_p is kept whole.
        high = min(high, max(0.0, reach[1]) + highest) if last == len(kept) or not exact else 0.0
    if rules.min_p > 0.0:
        cut = [how or ("min-p" if w < rules.min_p else "") for w, how in zip(weights, cut, strict=True)]
        low, high = 0.0, (high if highest >= rules.min_p else 0.0)
    kept_weight = sum(w for w, c in zip(weights, cut, strict=True) if not c)
    shares = [
        _share(c, b, 0.0 if how else w / (kept_weight + high), 0.0 if how else w / (kept_weight + low), how)
        for c, b, w, how in zip(told.candidates, before, weights, cut, strict=True)
    ]
    return Narrowed(
        shares=shares,
        rest_low=low / (kept_weight + low),
        rest_high=high / (kept_weight + high),
        rest_peak=highest / (kept_weight + low) if high > 0 else 0.0,
        exact_cuts=exact,
    )


def _penalty(rules: Rules, count: int) -> float:
    return rules.presence_penalty * (count > 0) + rules.frequency_penalty * count


def _share(candidate: Candidate, before: float, low: float, high: float, cut: str) -> Share:
    return Share(candidate=candidate, before=before, low=low, high=high, cut=cut)


def _nucleus(descending: Sequence[float], wanted: float) -> int:
    """Index of the last weight of the fewest that reach `wanted`; their number where all together do not."""
    so_far = 0.0
    for i, weight in enumerate(descending):
        so_far += weight
        if so_far >= wanted * (1 - 1e-12):
            return i
    return len(descending)


def _tail(
    least: float, mass: float, ceiling: float, others: int, temperature: float, top: float
) -> tuple[float, float]:
    """Bounds of the sum of exp((log q - top) / temperature) over the others, of which only the mass (from `least` to `mass`), the number
    and the ceiling of log q are known.

    q ** (1 / temperature) is convex in q below temperature 1: the sum is least with the mass spread evenly, and greatest with as much of
    it as possible at the ceiling. Above 1 it is the other way round.
    """
    if others == 0 or mass <= 0.0:
        return 0.0, 0.0
    power = 1.0 / temperature

    def weight(log: float) -> float:
        return math.exp(min(700.0, (log - top) * power))

    def even(mass: float) -> float:
        return others * weight(math.log(mass / others)) if mass > 0 else 0.0

    def at_ceiling(mass: float) -> float:
        # math.exp(ceiling) may be 0 where nothing else is likely at all.
        whole = min(float(others), math.floor(mass / max(math.exp(ceiling), 1e-300)))
        over = mass - whole * math.exp(ceiling)
        return whole * weight(ceiling) + (weight(math.log(over)) if over > 0 else 0.0)

    if temperature == 1.0:
        return least * math.exp(-top), mass * math.exp(-top)
    if temperature < 1.0:
        low, high = even(least), at_ceiling(mass)
    else:
        low, high = at_ceiling(least), even(mass)
    return min(low, high), max(low, high)


# --- asking, and the branches that are taken


def can_tell(generator: Any) -> str:
    """Why the next token of a Generator cannot be looked at; "" if it can."""
    abilities = generator.capabilities.abilities
    if "logprobs" not in abilities:
        return "This model does not tell how likely its tokens are."
    if "rewrites" in abilities:
        return "This model rewrites a text (a translator, say); the view is of models that continue one."
    return ""


def begin(generator: Any, text: str) -> tuple[int, ...]:
    """The ids that a text is to the model, so that what is picked later is the token and not its text. generator: of `Openers.model`."""
    return tuple(generator.prompt_ids(Request(prompt=text)))


def ask(generator: Any, prompt: tuple[int, ...]) -> Told:
    """The likeliest next tokens. Raises RequestError as generating does."""
    params = SamplingParams(max_tokens=1, temperature=0.0, logprobs=TOLD, ignore_eos=True)
    completion = complete(generator, [Request(prompt=prompt, params=params)])[0]
    if not completion.logprobs or not completion.logprobs[0].top:
        raise RequestError("the model told no log-probabilities of its next token")
    tokenizer = generator.tokenizer
    first = completion.logprobs[0]
    made = [Candidate(token_id=i, shown=shown(tokenizer, i, text), text=text, logprob=p) for i, text, p in first.top]
    size = tokenizer.vocab_size
    return Told(
        candidates=sorted(made, key=lambda c: -c.logprob),
        # A model may have up to 63 more outputs than tokens (models/stages.py rounds up).
        others=0 if size <= len(made) else size + 63 - len(made),
    )


def shown(tokenizer: Tokenizer, token_id: int, text: str) -> str:
    """A token for the eye."""
    if 0 <= token_id < tokenizer.vocab_size:
        return piece_of(tokenizer.token_bytes(token_id)).shown
    return visible(text) or "∅"


def continuations(
    generator: Any, prompt: tuple[int, ...], rules: Rules, *, count: int, max_tokens: int, seed: int
) -> list[Completion]:
    """`count` ways to go on, with seeds from `seed` on, and the probability of each token."""
    requests = [
        Request(prompt=prompt, params=rules.params(max_tokens=max_tokens, seed=seed + i, logprobs=0))
        for i in range(count)
    ]
    return complete(generator, requests)


@dataclass(slots=True)
class Branch:
    """One token that was taken after another."""

    number: int
    parent: int | None
    candidate: Candidate | None = None
    """None: the text that one began with."""
    children: list[int] = field(default_factory=list)


class Branches:
    """Which tokens were taken, and where one is: a tree that only grows."""

    def __init__(self, prompt: tuple[int, ...]) -> None:
        self.prompt = prompt
        self.all: list[Branch] = [Branch(0, None)]
        self.here = 0

    def take(self, candidate: Candidate) -> None:
        """Go on with a token; one that was taken here before is gone back to."""
        for child in self.all[self.here].children:
            known = self.all[child].candidate
            if known is not None and (known.token_id, known.text) == (candidate.token_id, candidate.text):
                self.here = child
                return
        made = Branch(len(self.all), self.here, candidate)
        self.all.append(made)
        self.all[self.here].children.append(made.number)
        self.here = made.number

    def path(self, end: int | None = None) -> list[Branch]:
        """The branches from the beginning (left out) to `end`, else to where one is."""
        found = []
        at: int | None = self.here if end is None else end
        while at:
            found.append(self.all[at])
            at = self.all[at].parent
        return found[::-1]

    def taken(self, end: int | None = None) -> list[Candidate]:
        return [b.candidate for b in self.path(end) if b.candidate is not None]

    def prompt_here(self) -> tuple[int, ...]:
        """What the Generator is asked with."""
        return (*self.prompt, *(c.token_id for c in self.taken()))

    def counts(self) -> dict[int, int]:
        """How often each token id was taken on the way here."""
        made: dict[int, int] = {}
        for candidate in self.taken():
            made[candidate.token_id] = made.get(candidate.token_id, 0) + 1
        return made

    def leaves(self) -> list[int]:
        """Ends of branches that are not on the way here, the newest first."""
        here = {b.number for b in self.path()} | {0}
        return [b.number for b in reversed(self.all) if not b.children and b.number not in here]

    def logprob(self, end: int) -> float:
        """Of all tokens of a branch together."""
        return sum(c.logprob for c in self.taken(end))
