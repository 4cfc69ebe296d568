"""Short text messages, ham or spam, from a grammar of our own: a spam filter's default data, so that nothing has to be downloaded.

Written as people write them: short forms, missing letters, capitals, marks. What is hard is there on purpose: ham about prizes, money and
calls (people do win, and owe), and spam that reads like a friend. So no single word decides, and a filter that blocks "free" blocks friends.
A few messages could be either, and no filter gets them all.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from ...core.errors import ConfigError
from .grammar import alternatives, expand

_GRAMMAR = {
    name: alternatives(text)
    for name, text in {
        "name": "Anna|Ben|mum|dad|Carla|Dev|Ella|Faro|Gus|Hanne|Ines|Jo|Kim|Lev|Maya|Nils",
        "place": "the station|home|the library|the gym|school|the shop|town|the pub|work|the park|the cinema|your place",
        "when": "tonight|tomorrow|at eight|in ten minutes|later|on Friday|after work|at the weekend|around noon|now|next week",
        "thing": "milk|the tickets|my keys|bread|the charger|your jacket|the notes|cash|the book|an umbrella|your number",
        "deed": "call me|wait for me|pick me up|bring {thing}|come to {place}|text me back|meet me at {place}|save me a seat",
        "state": "running late|on my way|stuck in traffic|still at work|at {place}|so tired|nearly there|out of credit|ill today",
        "feeling": "ha ha|lol|love you|miss you|thanks|sorry|no worries|great|haha ok|cheers|good luck|hope you feel better",
        "ham": """{feeling}, {state}, {deed} {when}? | can you {deed} {when} | i am {state}, see you {when} | {name} says {feeling}
            are we still on for {when}? {name} will be at {place} | did you get {thing}? i left it at {place}
            ok, {deed} {when} then | {feeling}! how was {place}? | what time are you at {place} {when} | {name} is {state}, {feeling}
            happy birthday {name}! {feeling} | sorry, i missed your call, was at {place}. {deed} {when}? | nothing much, {state}. you?
            don't forget {thing} {when} | i'll be at {place} {when}, promise | where are you? {name} and i are {state}""",
        "hard_ham": """you won't believe it, {name} won a prize at {place}! | is it free to get in at {place} {when}?
            call me now, urgent, {name} is ill
            i got a voucher for {place}, want to use it {when}? | can you send £{digits2} for {thing}? will pay you back {when}
            my new number is 07{digits9}, text me {when} | your order is at {place}, {deed} {when} | congratulations on the exam {name}!
            bank says my account needs a code, did you text {digits5}? | the offer for the flat is {digits3} a week, call {name}
            win or lose we go to {place} {when}, tickets are free for {name}""",
        "prize": """£{digits3} cash|a £{digits4} prize|a holiday for two|the latest phone|{digits3} free texts|a gift voucher|a cruise
            a tablet""",
        "urge": """call 09{digits9} now|text WIN to {digits5}|reply YES to {digits5}|claim at www.{site}.example
            call free 0800{digits6}|txt GO to {digits5}""",
        "site": "prizeline|lucky7|getcash|topdeals|ringtones4u|dating-now",
        "terms": "T&Cs apply|18+ only|{digits3}p per min|reply STOP to end|cost {digits2}p|valid {digits2}hrs only||",
        "spam": """Congratulations! you have won {prize}. {urge}. {terms} | URGENT! your number was selected for {prize}, {urge} {terms}
            FREE entry to win {prize}! {urge} {terms} | final notice: {prize} is waiting, {urge} to claim. {terms}
            get {prize} today with our new offer, {urge}. {terms} | hot singles near {place} want to chat, {urge} {terms}
            new ringtone every week! {urge}. {terms} | your account has a refund of £{digits3}, confirm at www.{site}.example
            you are awarded {prize}! to claim {urge} {terms} | loan of £{digits4} approved, no checks, {urge}""",
        "either": """call me back on 07{digits9} {when} | your order is ready, call 0800{digits6} | free {when}? text {digits5}
            are you free {when}? call me on 09{digits9} | your code is {digits5}, reply YES to go on | get £{digits2} off {when} at {place}
            new number, text me on 07{digits9} | tickets for {place} from £{digits2}, reply YES {when}
            {name} left you a message, call 0800{digits6}""",
        "hard_spam": """hi it's {name}, new number! call me back on 09{digits9} {when} | hey, miss you, pics of me {when}? {urge}
            {name} left you a message, {urge} | are you free {when}? someone at {place} likes you, {urge}
            sorry i missed your call, {urge} | someone you know asked us to say {feeling}, find out who, call 09{digits9}
            your parcel is at {place}, pay £1 at www.{site}.example {when}""",
    }.items()
}  # fmt: skip
_SHORT = {
    "you": "u", "are": "r", "see": "c", "your": "ur", "for": "4", "to": "2", "tonight": "2nite", "tomorrow": "tmrw",
    "text": "txt", "please": "pls", "love": "luv", "ok": "k", "because": "cos", "before": "b4", "great": "gr8", "later": "l8r", "what": "wat",
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class MessagesConfig:
    num_examples: int = 3000
    spam: float = 0.2
    """Share of spam."""
    hard: float = 0.15
    """Share, within ham and within spam, of messages that look like the other kind."""
    ambiguous: float = 0.03
    """Share of messages that are written alike by friends and by others."""
    type: Literal["messages"] = "messages"

    def __post_init__(self) -> None:
        if self.num_examples < 20:
            raise ConfigError(f"must be at least 20, not {self.num_examples}", path="num_examples")
        if not (0 < self.spam < 1 and 0 <= self.hard <= 1 and 0 <= self.ambiguous <= 1):
            raise ConfigError(
                f"spam {self.spam} must be above 0 and below 1, hard {self.hard} and ambiguous {self.ambiguous} in 0 .. 1"
            )

    def make(self, seed: int) -> Iterator[dict[str, str]]:
        rng = random.Random(f"messages {seed}")
        for _ in range(self.num_examples):
            label = "spam" if rng.random() < self.spam else "ham"
            rule = f"hard_{label}" if rng.random() < self.hard else label
            text = expand(_GRAMMAR, "either" if rng.random() < self.ambiguous else rule, rng)
            if label == "ham" and rng.random() < 0.4:
                text += f". {expand(_GRAMMAR, 'ham', rng)}"
            yield {"text": _as_typed(text, rng, loud=label == "spam"), "label": label}


def _as_typed(text: str, rng: random.Random, *, loud: bool) -> str:
    """With short forms, a letter missing or doubled here and there, and capitals."""
    shortens, slips = rng.random() < 0.4, rng.random() < 0.3
    words = []
    for word in text.split():
        if shortens and word in _SHORT and rng.random() < 0.7:
            word = _SHORT[word]
        elif slips and len(word) > 3 and word.isalpha() and rng.random() < 0.12:
            at = rng.randrange(1, len(word))
            word = word[:at] + (word[at + 1 :] if rng.random() < 0.6 else word[at] + word[at:])
        if loud and rng.random() < 0.08:
            word = word.upper()
        words.append(word)
    made = " ".join(words)
    return made[:1].upper() + made[1:] if rng.random() < 0.5 else made
