"""Counting: a letter in words, vowels, things of one colour or one group in a list."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Literal

from .kind import Problem, check_pair, check_weight, dial, listed
from .vocabulary import COLOURS, GROUPS, WORDS

Question = Literal["letter", "vowels", "colour", "group"]
_LETTER = (
    "How many times is the letter {x} in {w}?",
    "Count the letter {x} in {w}.",
    "How often does {x} come up in {w}?",
)
_VOWELS = ("How many vowels (a, e, i, o, u) are in {w}?", "Count the vowels (a, e, i, o, u) in {w}.")
_THINGS = ("How many {x} are there: {w}?", "Count the {x}: {w}.", "In a box are {w}. How many {x} are in it?")


@dataclass(frozen=True, kw_only=True)
class CountingConfig:
    """Counting letters and things. Difficulty: how many words or things there are."""

    questions: tuple[Question, ...] = ("letter", "vowels", "colour", "group")
    num_words: tuple[int, int] = (1, 5)
    """Words that letters are counted in, at difficulty 1 and at 10."""
    num_items: tuple[int, int] = (4, 14)
    """Things that are counted, at difficulty 1 and at 10."""
    weight: float = 1.0
    type: Literal["counting"] = "counting"

    def __post_init__(self) -> None:
        check_weight(self.weight)
        check_pair(self.num_words, "num_words", most=20)
        check_pair(self.num_items, "num_items", least=2, most=40)

    def make(self, rng: random.Random, difficulty: int) -> Problem:
        asked = rng.choice(self.questions)
        if asked in ("letter", "vowels"):
            return self._letters(rng, asked, dial(self.num_words, difficulty))
        return self._things(rng, asked, dial(self.num_items, difficulty))

    def _letters(self, rng: random.Random, asked: str, count: int) -> Problem:
        words = rng.sample(WORDS, count)
        if asked == "vowels":
            sought, named = "aeiou", "vowels"
        else:
            # Mostly a letter that is there.
            sought = rng.choice(rng.choice(words)) if rng.random() < 0.85 else rng.choice("abcdefghijklmnopqrstuvwxyz")
            named = sought
        counts = [sum(letter in sought for letter in word) for word in words]
        total = str(sum(counts))
        quoted = listed([f'"{word}"' for word in words])
        steps = [f"{word}: {_spelled(word, sought)} {n}" for word, n in zip(words, counts)]
        long = [
            f'"{word}" is spelled {" ".join(word)}; {_spelled(word, sought)} makes {n}.'
            for word, n in zip(words, counts)
        ]
        if count > 1:
            steps.append(f"{' + '.join(map(str, counts))} = {total}")
            long.append(f"Together: {' + '.join(map(str, counts))} = {total}.")
        question = rng.choice(_VOWELS if asked == "vowels" else _LETTER).format(x=f'"{named}"', w=quoted)
        return Problem(
            question=question,
            answer=total,
            key=f"counting {named} {' '.join(words)}",
            steps=tuple(steps),
            long_steps=tuple(long),
        )

    def _things(self, rng: random.Random, asked: str, count: int) -> Problem:
        things = [(rng.choice(COLOURS), *self._thing(rng)) for _ in range(count)]
        texts = [f"a {colour} {thing}" for colour, thing, _ in things]
        pick = rng.choice(things)
        if asked == "colour":
            named, wanted = f"{pick[0]} things", [t for t, thing in zip(texts, things) if thing[0] == pick[0]]
        else:
            named, wanted = pick[2], [t for t, thing in zip(texts, things) if thing[2] == pick[2]]
        short = [text[2:] for text in wanted]
        steps = tuple(f"{number} {text}" for number, text in enumerate(short, start=1))
        long = tuple(f"{text} is number {number}." for number, text in enumerate(short, start=1))
        return Problem(
            question=rng.choice(_THINGS).format(x=named, w=listed(texts)),
            answer=str(len(wanted)),
            key=f"counting {named}: {' '.join(texts)}",
            steps=steps,
            long_steps=long,
        )

    def _thing(self, rng: random.Random) -> tuple[str, str]:
        group = rng.choice(tuple(GROUPS))
        return rng.choice(GROUPS[group]), group


def _spelled(word: str, sought: str) -> str:
    """The letters of a word with those that are sought set off: b(o)(o)k."""
    return "".join(f"({letter})" if letter in sought else letter for letter in word)
