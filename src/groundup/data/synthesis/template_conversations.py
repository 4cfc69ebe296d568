"""Conversations from our own grammars, for models too small to be asked to invent any: each keeps a state that the answers
must follow, so that what is said is right by construction and an early turn is needed to answer a late one.

    list        a shopping list is written, changed, counted and read back
    introduction   a person says who they are and is asked about it later
    tally       things come and go, and how many there are is asked
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from ...core.config import did_you_mean
from ...core.errors import ConfigError
from ...core.protocols import Generator
from .made import Made, seed_of, turn

Turns = list[tuple[str, str]]
_THINGS = (
    "apples", "beans", "bread", "butter", "candles", "carrots", "cheese", "coffee", "eggs", "flour", "honey", "jam", "lemons",
    "lentils", "milk", "mushrooms", "noodles", "oats", "onions", "pears", "pepper", "potatoes", "rice", "salt", "soap", "sugar",
    "tea", "tomatoes", "walnuts", "yoghurt",
)  # fmt: skip
_NAMES = (
    "Ada", "Amir", "Bela", "Carla", "Chen", "Dana", "Elif", "Emil", "Farah", "Goran", "Hana", "Ines", "Ivo", "Jonas", "Kofi", "Lena",
    "Mara", "Nils", "Noor", "Olga", "Pia", "Ravi", "Rosa", "Sami", "Tara", "Tomas", "Uma", "Vera", "Wim", "Yuki",
)  # fmt: skip
_PLACES = (
    "Bergen", "Cork", "Dakar", "Graz", "Hanoi", "Kyoto", "Lima", "Lyon", "Malmo", "Nairobi", "Porto", "Quito", "Riga", "Turin",
    "Utrecht", "York",
)  # fmt: skip
_PETS = ("a cat", "a dog", "a goat", "a parrot", "a rabbit", "a tortoise", "two hens", "three goldfish")
_COLOURS = ("amber", "black", "blue", "green", "grey", "orange", "purple", "red", "white", "yellow")
_FACTS: Mapping[str, tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...], str, str]] = {
    "name": (
        _NAMES, ("My name is {x}.", "I am {x}."), ("What is my name?", "Who am I?"), "You are {x}.", "Nice to meet you, {x}.",
    ),
    "place": (
        _PLACES, ("I live in {x}.", "My home is in {x}."), ("Where do I live?", "Which town is mine?"), "You live in {x}.",
        "{x}, I shall remember that.",
    ),
    "pet": (
        _PETS, ("I have {x}.", "At home I keep {x}."), ("Which animals do I have?", "What pet did I tell you about?"),
        "You have {x}.", "I shall remember that.",
    ),
    "colour": (
        _COLOURS, ("I like the colour {x}.", "My favourite colour is {x}."),
        ("Which colour do I like?", "What is my favourite colour?"), "You like {x}.", "A good colour.",
    ),
}  # fmt: skip
"""What a person tells -> values, ways to tell it, ways to ask for it, the answer, and what is said when it is told."""
_HELD = ("books", "buttons", "chairs", "coins", "cups", "marbles", "shells", "spoons", "stamps", "stones")
_GOODBYES = (
    ("Thank you, that is all.", "You are welcome. Goodbye!"),
    ("Thanks!", "You are welcome."),
    ("Great, thank you. Bye!", "Goodbye!"),
    ("That helps, thanks a lot.", "Glad to help."),
)
_NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")


def _count(number: int) -> str:
    return _NUMBERS[number] if number < len(_NUMBERS) else str(number)


def _joined(things: list[str]) -> str:
    return things[0] if len(things) == 1 else f"{', '.join(things[:-1])} and {things[-1]}"


def _list(chance: random.Random, exchanges: int) -> Turns:
    left = list(_THINGS)
    chance.shuffle(left)
    items = [left.pop() for _ in range(chance.randint(1, 3))]
    opening = chance.choice(
        ("Start a shopping list with {x}.", "Please note for shopping: {x}.", "I need {x}. Make a list.")
    )
    said: Turns = [(opening.format(x=_joined(items)), f"Your list: {', '.join(items)}.")]
    for _ in range(exchanges - 1):
        what = chance.choice(("add", "add", "remove", "count", "read", "ask") if items else ("add", "count"))
        if what == "add":
            new = [left.pop() for _ in range(chance.randint(1, 2))]
            items += new
            asked = chance.choice(("Add {x}.", "Also {x}.", "Put {x} on the list too.")).format(x=_joined(new))
            said.append((asked, f"Your list: {', '.join(items)}."))
        elif what == "remove":
            gone = items.pop(chance.randrange(len(items)))
            asked = chance.choice(("Take {x} off.", "I have {x} already.", "No {x} after all.")).format(x=gone)
            said.append((asked, f"Your list: {', '.join(items)}." if items else "Your list is empty."))
        elif what == "count":
            noun = "thing" if len(items) == 1 else "things"
            asked = chance.choice(("How many things is that?", "How long is the list?", "How many are on it now?"))
            verb = "is" if len(items) == 1 else "are"
            _ask_once(said, asked, f"There {verb} {_count(len(items))} {noun} on your list.")
        elif what == "read":
            asked = chance.choice(("Read it to me.", "What do I need?", "What is on the list?"))
            _ask_once(said, asked, f"Your list: {', '.join(items)}.")
        else:
            thing = chance.choice([chance.choice(items), left[-1]])
            asked = chance.choice(("Is there {x} on it?", "Did I say {x}?")).format(x=thing)
            _ask_once(said, asked, f"Yes, {thing}." if thing in items else f"No, not {thing}.")
    return said


def _introduction(chance: random.Random, exchanges: int) -> Turns:
    order = list(_FACTS)
    chance.shuffle(order)
    values = {name: chance.choice(_FACTS[name][0]) for name in order}
    told: list[str] = []
    said: Turns = []
    for number in range(exchanges):
        untold = [name for name in order if name not in told]
        if untold and (not told or (number < exchanges // 2 and chance.random() < 0.7)):
            name = untold[0]
            told.append(name)
            greeting = chance.choice(("Hello! ", "Hi. ", "")) if number == 0 else ""
            asked = greeting + chance.choice(_FACTS[name][1]).format(x=values[name])
            said.append((asked, _FACTS[name][4].format(x=values[name])))
            continue
        unknown = [name for name in untold if chance.random() < 0.25]
        name = unknown[0] if unknown else chance.choice(told)
        answer = "You have not told me yet." if unknown else _FACTS[name][3].format(x=values[name])
        _ask_once(said, chance.choice(_FACTS[name][2]), answer)
    return said


def _tally(chance: random.Random, exchanges: int) -> Turns:
    thing, number = chance.choice(_HELD), chance.randint(2, 30)
    said: Turns = [(f"I have {number} {thing}.", f"You have {number} {thing}.")]
    for _ in range(exchanges - 1):
        what = chance.choice(("more", "less", "ask") if number > 3 else ("more", "ask"))
        if what == "more":
            change = chance.randint(2, 20)
            number += change
            asked = chance.choice(("I find {n} more.", "A friend gives me {n}.", "I buy {n} more.")).format(n=change)
            said.append((asked, f"Now you have {number} {thing}."))
        elif what == "less":
            change = chance.randint(2, number - 2)  # at least two are left: their name is a plural
            number -= change
            asked = chance.choice(("I lose {n}.", "I give away {n}.", "I sell {n} of them.")).format(n=change)
            said.append((asked, f"Now you have {number} {thing}."))
        else:
            asked = chance.choice(("How many do I have?", f"How many {thing} are left?", "What is the number now?"))
            _ask_once(said, asked, f"You have {number} {thing}.")
    return said


def _ask_once(said: Turns, asked: str, answer: str) -> None:
    """A question that changes nothing is not put twice in the same words."""
    if all(asked != earlier for earlier, _ in said):
        said.append((asked, answer))


GRAMMARS: Mapping[str, Callable[[random.Random, int], Turns]] = {
    "list": _list,
    "introduction": _introduction,
    "tally": _tally,
}


@dataclass(frozen=True, kw_only=True)
class TemplateConversations:
    """Conversations of several turns whose answers follow from what was said before."""

    grammars: tuple[str, ...] = tuple(GRAMMARS)
    min_turns: int = 2
    """Pairs of a user's and an assistant's message, the goodbye apart."""
    max_turns: int = 6
    goodbye_share: float = 0.3
    type: Literal["template_conversations"] = "template_conversations"
    needs_model: ClassVar[bool] = False

    def __post_init__(self) -> None:
        for name in self.grammars:
            if name not in GRAMMARS:
                raise ConfigError(f"no grammar {name!r}", path="grammars", hint=did_you_mean(name, list(GRAMMARS)))
        if not self.grammars:
            raise ConfigError("needs at least one grammar", path="grammars")
        if not 1 <= self.min_turns <= self.max_turns <= 12:
            raise ConfigError("must be at least 1, at most max_turns, and that at most 12", path="min_turns")
        if not 0 <= self.goodbye_share <= 1:
            raise ConfigError(f"must be between 0 and 1, not {self.goodbye_share}", path="goodbye_share")

    def prompts(self) -> Mapping[str, str]:
        return {}

    def make(self, generator: Generator | None, *, count: int, seed: int) -> Iterator[Made]:
        for number in range(count):
            chance = random.Random(seed_of(seed, self.type, number))
            name = chance.choice(self.grammars)
            said = GRAMMARS[name](chance, chance.randint(self.min_turns, self.max_turns))
            if chance.random() < self.goodbye_share:
                said.append(chance.choice(_GOODBYES))
            messages: list[dict[str, Any]] = []
            for asked, answer in said:
                messages += [turn("user", asked), turn("assistant", answer)]
            row = {"messages": messages, "kind": f"conversation_{name}", "id": f"{self.type}/{seed}/{number}"}
            yield Made(row=row)
