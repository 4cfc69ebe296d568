"""Opinions in a sentence or two, about films or a shop, from a grammar of our own: positive and negative, or with neutral between.

Built so that a count of words goes only so far: praise and blame are negated ("hardly a dull moment"), and conceded ("for all its charm, it
drags"), where what the sentence ends on is its opinion. Words of opinion are drawn from long lists with a few rare ones, so
that held-out texts have words that training had not. Neutral ones state facts, or weigh one thing against another without an end.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from ...core.errors import ConfigError
from .grammar import Grammar, alternatives, expand

_SHARED = {
    "good": """wonderful|delightful|charming|superb|clever|moving|brilliant|fresh|warm|gripping|sharp|elegant|honest|rich|lovely|fine
            smart|vivid
        a pleasure|a joy|well worth it|masterful|tender|witty|graceful|inspired|assured|spotless|splendid|first-rate""",
    "bad": """dull|tedious|clumsy|stale|flat|awful|lifeless|shallow|silly|bland|messy|tiresome|cold|weak|poor|sloppy|grating|cheap
        a chore|a waste|a mess|hollow|stilted|lazy|forgettable|overlong|wretched|second-rate|dreary|shoddy""",
    "very": "truly|really|quite|so|simply|utterly|just|rather|surprisingly|oddly",
    "not": "not|never|hardly|far from|anything but|nowhere near|not even",
}
_FILMS = {
    "part": """the plot|the script|the acting|the camera work|the ending|the dialogue|the score|the cast|the pace|the direction
            the first half|the humour""",
    "it": "the film|this picture|the movie|this sequel|the comedy|this drama|the director's debut|the thriller|the story",
    "is": "is|feels|proves|stays|turns out",
    "good_deed": "holds you to the end|earns its tears|makes you laugh out loud|rewards patience|stays with you|sparkles|flies by",
    "bad_deed": "falls apart|wears you out|goes nowhere|insults its audience|drags|runs out of ideas|never finds its feet",
    "fact": """{it} runs for {digits2} minutes | {it} opened on {digits2} screens | {it} was shot in {digits2} days in the north
        {part} was written by two brothers | {it} follows a family over {digits2} years | {it} is based on a novel""",
}
_SHOP = {
    "part": """the delivery|the packaging|the support team|the battery|the price|the return|the size|the sound|the website|the manual
            the finish|the refund""",
    "it": "the order|this phone|the jacket|this shop|the kettle|my parcel|the headset|this chair|the subscription|the camera",
    "is": "is|was|feels|looks|turned out",
    "good_deed": "arrived a day early|works like new after a year|saved me hours|fits perfectly|was replaced at once|exceeded what i hoped",
    "bad_deed": "arrived broken|stopped after a week|was never answered|cost me twice|went to the wrong address|came without a plug",
    "fact": """{it} arrived on day {digits1} | i ordered {it} in March | {it} comes in a box of {digits2}
            {part} is listed on page {digits1}
        i have had {it} for {digits1} weeks | {it} replaces one from last year""",
}
_OPINIONS = {
    "straight_positive": """{part} {is} {very} {good} | {it} {is} {good} and {good}
        {it} {good_deed} | {part} {is} {good}, and {it} {good_deed}
        {it} {is} {very} {good}, {part} {is} {good} | {good} and {good}: {it} {good_deed}""",
    "straight_negative": """{part} {is} {very} {bad} | {it} {is} {bad} and {bad} | {it} {bad_deed} | {part} {is} {bad}, and {it} {bad_deed}
        {it} {is} {very} {bad}, {part} {is} {bad} | {bad} and {bad}: {it} {bad_deed}""",
    "turned_positive": """{it} {is} {not} {bad} | {it} {is} {not} {bad} or {bad} | though {part} {is} {bad}, {it} {good_deed}
        {part} may be {bad}, but {it} {is} {very} {good} | for all that is {bad} about {part}, {it} {is} {good} | no one could call {it} {bad}
        i expected something {bad}; {it} {is} {good}""",
    "turned_negative": """{it} {is} {not} {good} | {it} {is} {not} {good} or {good} | though {part} {is} {good}, {it} {bad_deed}
        {part} may be {good}, but {it} {is} {very} {bad} | for all that is {good} about {part}, {it} {is} {bad} | no one could call {it} {good}
        i expected something {good}; {it} {is} {bad}""",
    "positive": "{straight_positive}|{straight_positive}|{straight_positive}|{turned_positive}|{turned_positive}",
    "negative": "{straight_negative}|{straight_negative}|{straight_negative}|{turned_negative}|{turned_negative}",
    "neutral": """{fact} | {fact}; {fact} | {part} {is} {good}, {part} {is} {bad} | some find {it} {good}, others {bad}
        {it} {is} neither {good} nor {bad} | {fact}, and {part} {is} as expected""",
}


@dataclass(frozen=True, kw_only=True)
class ReviewsConfig:
    about: Literal["films", "shop"] = "films"
    num_examples: int = 3000
    neutral: bool = False
    """A third label between positive and negative."""
    noise: float = 0.03
    """Share of texts whose label is drawn anew: people disagree, and no model can do better than this allows."""
    type: Literal["reviews"] = "reviews"

    def __post_init__(self) -> None:
        if self.num_examples < 20:
            raise ConfigError(f"must be at least 20, not {self.num_examples}", path="num_examples")
        if not 0 <= self.noise < 1:
            raise ConfigError(f"must be at least 0 and below 1, not {self.noise}", path="noise")

    def make(self, seed: int) -> Iterator[dict[str, str]]:
        rng = random.Random(f"reviews {self.about} {seed}")
        grammar = _grammar(self.about)
        labels = ["negative", "neutral", "positive"] if self.neutral else ["negative", "positive"]
        for _ in range(self.num_examples):
            label = rng.choice(labels)
            text = expand(grammar, label, rng)
            if rng.random() < 0.3:
                text = f"{expand(grammar, 'fact', rng)} . {text}"
            yield {"text": f"{text} .", "label": rng.choice(labels) if rng.random() < self.noise else label}


def _grammar(about: str) -> Grammar:
    domain = _FILMS if about == "films" else _SHOP
    return {name: alternatives(text) for name, text in {**_SHARED, **domain, **_OPINIONS}.items()}
