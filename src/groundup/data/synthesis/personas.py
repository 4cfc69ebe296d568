"""Instructions asked by many different people: a persona asks, the assistant answers (after Ge et al. 2024, Persona Hub).

Personas are combinations of fields written here, not a list of people: 30 x 12 x 24 x 8 x 8 = 552,960 of them, drawn without
repetition. Nothing in them says where somebody comes from, what they believe or how they look.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from math import prod
from typing import ClassVar, Literal

from ...core.errors import ConfigError
from ...core.protocols import Generator
from ...core.types import Message
from ...text.overlap import content_words
from .made import Asking, Attempts, Made, ask, seed_of, turn

FIELDS: Mapping[str, tuple[str, ...]] = {
    "occupation": (
        "baker", "bus driver", "carpenter", "chemist", "cook", "dentist", "electrician", "farmer", "fisher", "gardener",
        "glass blower", "judge", "librarian", "locksmith", "midwife", "musician", "nurse", "pharmacist", "photographer", "plumber",
        "postal worker", "primary school teacher", "programmer", "retired engineer", "shop owner", "student of biology",
        "surveyor", "tailor", "translator", "watchmaker",
    ),
    "stage": (
        "in the first week of a new job", "with twenty years of practice", "about to retire", "studying in the evenings",
        "who has just moved house", "who works alone", "who leads a small team", "who trains apprentices",
        "between two jobs", "who works night shifts", "who looks after two children", "who writes a small newspaper",
    ),
    "interest": (
        "astronomy", "bee keeping", "bicycles", "bird watching", "board games", "bread", "chess", "choirs", "cold-water swimming",
        "embroidery", "fermented food", "fountain pens", "hill walking", "house plants", "knots", "local history", "maps",
        "model railways", "mushrooms", "old radios", "puzzles", "sailing", "short stories", "weather",
    ),
    "manner": (
        "asks for numbers", "asks for examples", "wants the short version", "wants every step", "doubts the first answer",
        "asks about causes", "compares two things", "thinks aloud",
    ),
    "aim": (
        "to explain it to somebody else", "to decide before tomorrow", "to avoid an expensive mistake", "to plan a weekend",
        "to write a letter about it", "to learn it properly", "to check what a friend said", "to save time at work",
    ),
}  # fmt: skip
QUESTION = (
    "Write the one message that this person sends to an assistant. It is about something of their own life or work, can be "
    "answered in text, and does not introduce the person. Write the message only.\n\nThe person: {persona}"
)
_SMALL_TALK = 2


def persona(number: int) -> dict[str, str]:
    """Persona `number` of `num_personas()`: field -> value."""
    chosen = {}
    for name, values in FIELDS.items():
        number, place = divmod(number, len(values))
        chosen[name] = values[place]
    return chosen


def num_personas() -> int:
    return prod(len(values) for values in FIELDS.values())


def described(chosen: Mapping[str, str]) -> str:
    article = "an" if chosen["occupation"][0] in "aeiou" else "a"
    return (
        f"{article} {chosen['occupation']} {chosen['stage']}, interested in {chosen['interest']}; {chosen['manner']}, "
        f"{chosen['aim']}."
    )


@dataclass(frozen=True, kw_only=True)
class Personas:
    """One question of each persona, and its answer."""

    keep_persona: bool = False
    """Tell the assistant who is asking, in a system message of the row."""
    attempts_per_row: int = 4
    asking: Asking = field(default_factory=Asking)
    type: Literal["personas"] = "personas"
    needs_model: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if self.attempts_per_row < 1:
            raise ConfigError(f"must be at least 1, not {self.attempts_per_row}", path="attempts_per_row")

    def prompts(self) -> Mapping[str, str]:
        return {"question": QUESTION}

    def make(self, generator: Generator | None, *, count: int, seed: int) -> Iterator[Made]:
        assert generator is not None
        order = random.Random(seed_of(seed, self.type))
        numbers = order.sample(range(num_personas()), min(num_personas(), count * self.attempts_per_row))
        attempts = Attempts(count=count, per_row=self.attempts_per_row)
        while size := min(attempts.left(self.asking.batch_size), len(numbers) - attempts.tried):
            for made in self._batch(generator, numbers[attempts.tried : attempts.tried + size], seed):
                yield attempts.note(made)

    def _batch(self, generator: Generator, numbers: list[int], seed: int) -> list[Made]:
        people = [persona(number) for number in numbers]
        asked: list[list[Message]] = [[turn("user", QUESTION.format(persona=described(p)))] for p in people]
        draws = [seed_of(seed, self.type, "question", number) for number in numbers]
        questions = [c.text.strip().strip('"“”') for c in ask(generator, asked, self.asking, seeds=draws)]
        prompts: list[list[Message]] = []
        for person, question in zip(people, questions):
            system = [turn("system", f"The user is {described(person)}")] if self.keep_persona else []
            prompts.append([*system, turn("user", question)])
        draws = [seed_of(seed, self.type, "answer", number) for number in numbers]
        usable = [i for i, question in enumerate(questions) if len(content_words(question)) >= _SMALL_TALK]
        answers = dict(
            zip(usable, ask(generator, [prompts[i] for i in usable], self.asking, seeds=[draws[i] for i in usable]))
        )
        rows = []
        for i, (number, person, prompt) in enumerate(zip(numbers, people, prompts)):
            answer = answers.get(i)
            text = answer.text.strip() if answer is not None else ""
            made = Made(
                row={
                    "messages": [*prompt, turn("assistant", text)],
                    "kind": self.type,
                    "id": f"{self.type}/{seed}/{number}",
                    "persona": person,
                }
            )
            if answer is None:
                made = made.drop(self.type, "no question", questions[i][:60])
            elif not text:
                made = made.drop(self.type, "no answer")
            elif answer.finish_reason == "length":
                made = made.drop(self.type, "answer cut off")
            rows.append(made)
        return rows
