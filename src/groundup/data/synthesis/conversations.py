"""Conversations of several turns: a model plays both sides, each with its own prompt, and the flow is checked.

The user's side sees the conversation with the roles exchanged, so that what it is to write next is an answer too (as in
UltraChat, Ding et al. 2023). `flow_fault` is the check, usable on any conversation.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from ...core.errors import ConfigError
from ...core.protocols import Generator
from ...core.types import Message
from ...text.overlap import content_words, rouge_l
from .made import Asking, Attempts, Made, ask, seed_of, turn
from .personas import described, num_personas, persona

END = "[end]"
USER_SIDE = (
    "You play a person who talks with an assistant about {topic}. The person is {persona} Write only what the person says "
    "next: one short message in their own voice, each time about something new within the subject. When nothing is left to "
    "ask, thank the assistant and write " + END + "."
)
ASSISTANT_SIDE = "You are a helpful assistant. Answer in a few sentences, and say so when you do not know."
_OPENING = "(The assistant is ready. Write the first message.)"
TOPICS = (
    "baking bread", "bicycle repair", "birds in the garden", "buying a used car", "choosing a book for a child", "cleaning windows",
    "cooking with beans", "first aid at home", "fixing a dripping tap", "growing tomatoes", "how bridges stand", "how tides work",
    "keeping a diary", "learning to swim", "letters to an office", "maps and compasses", "moving house", "naming files and folders",
    "packing for a week of rain", "planning a small party", "reading a train timetable", "saving electricity", "sharpening knives",
    "sleep and habits", "sorting old photographs", "the phases of the moon", "the water cycle", "writing a short speech",
)  # fmt: skip
_FAREWELL = re.compile(
    r"\b(thank|thanks|bye|goodbye|good night|see you|cheers|welcome|glad|all i needed|that is all)\b", re.IGNORECASE
)


def flow_fault(
    messages: Sequence[Mapping[str, Any]], *, max_similarity: float = 0.8, min_carry: float = 0.0
) -> tuple[str, str] | None:
    """(reason, what was measured) of the first fault in how a conversation flows; None for a good one.

    Roles must alternate from user to assistant (after an optional system message; tools may speak between a call and the
    answer); no turn may be empty, or like an earlier one of the same side (ROUGE-L above max_similarity; short turns only
    where they are the same); `carried_share` must be at least min_carry.
    """
    said = list(messages)
    if said and said[0]["role"] in ("system", "developer"):
        said = said[1:]
    if not said or said[0]["role"] != "user" or said[-1]["role"] != "assistant":
        return "roles", "must begin with the user and end with the assistant"
    earlier: dict[str, list[str]] = {"user": [], "assistant": []}
    before: Mapping[str, Any] = {"role": "assistant"}
    for number, message in enumerate(said):
        role, text = message["role"], (message.get("content") or "").strip()
        after_tools = before["role"] == "tool" or (before["role"] == "assistant" and before.get("tool_calls"))
        allowed = {"tool", "assistant"} if after_tools else {"assistant"} if before["role"] == "user" else {"user"}
        if before["role"] == "assistant" and before.get("tool_calls"):
            allowed = {"tool"}
        if role not in allowed:
            return "roles", f"turn {number} is the {role}'s after the {before['role']}'s"
        before = message
        if role == "tool":
            continue
        if not text and not message.get("tool_calls"):
            return "empty turn", f"turn {number}"
        for old in earlier[role]:
            if text and (text == old or (len(text.split()) > 4 and rouge_l(text, old) > max_similarity)):
                return "repeated turn", f"turn {number}: {text[:60]}"
        earlier[role].append(text)
    carried = carried_share(said)
    if carried < min_carry:
        return "drifts", f"a turn carries over {carried:.2f} of its words, at least {min_carry}"
    return None


def carried_share(messages: Sequence[Mapping[str, Any]]) -> float:
    """How well a conversation stays with its subject: of each turn after the second, the share of its content words that
    stood in an earlier turn; the mean over turns. 1 where there is no such turn.
    """
    seen: set[str] = set()
    shares = []
    for number, message in enumerate(m for m in messages if m["role"] in ("user", "assistant") and m.get("content")):
        here = content_words(message["content"])
        if number >= 2 and here:
            shares.append(len(here & seen) / len(here))
        seen |= here
    return sum(shares) / len(shares) if shares else 1.0


def ends_politely(text: str) -> bool:
    return bool(_FAREWELL.search(text))


@dataclass(frozen=True, kw_only=True)
class Conversations:
    """Simulated conversations about given topics, by persons of `personas`."""

    topics: tuple[str, ...] = TOPICS
    min_turns: int = 2
    """Pairs of a user's and an assistant's message."""
    max_turns: int = 5
    max_similarity: float = 0.8
    min_carry: float = 0.1
    """See flow_fault and carried_share."""
    attempts_per_row: int = 4
    asking: Asking = field(default_factory=Asking)
    type: Literal["conversations"] = "conversations"
    needs_model: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if not self.topics:
            raise ConfigError("needs at least one topic", path="topics")
        if not 1 <= self.min_turns <= self.max_turns:
            raise ConfigError("min_turns must be at least 1 and at most max_turns", path="min_turns")
        if self.attempts_per_row < 1:
            raise ConfigError(f"must be at least 1, not {self.attempts_per_row}", path="attempts_per_row")

    def prompts(self) -> Mapping[str, str]:
        return {"user's side": USER_SIDE, "assistant's side": ASSISTANT_SIDE}

    def make(self, generator: Generator | None, *, count: int, seed: int) -> Iterator[Made]:
        assert generator is not None
        attempts = Attempts(count=count, per_row=self.attempts_per_row)
        while size := attempts.left(self.asking.batch_size):
            first = attempts.tried
            for made in self._batch(generator, range(first, first + size), seed):
                yield attempts.note(made)

    def _batch(self, generator: Generator, numbers: Sequence[int], seed: int) -> list[Made]:
        talks = [_Talk.begin(number, seed, self.topics) for number in numbers]
        for turn_number in range(self.max_turns):
            live = [talk for talk in talks if not talk.done]
            for side in ("user", "assistant"):
                asked = [talk for talk in live if talk.fault is None]
                prompts = [talk.prompt(side) for talk in asked]
                draws = [seed_of(seed, self.type, talk.number, turn_number, side) for talk in asked]
                answers = ask(generator, prompts, self.asking, seeds=draws) if asked else []
                for talk, answer in zip(asked, answers):
                    talk.hear(side, answer.text, cut=answer.finish_reason == "length")
        return [self._judged(talk, seed) for talk in talks]

    def _judged(self, talk: _Talk, seed: int) -> Made:
        made = Made(
            row={
                "messages": list(talk.messages),
                "kind": self.type,
                "id": f"{self.type}/{seed}/{talk.number}",
                "topic": talk.topic,
                "persona": talk.persona,
                "carried_share": round(carried_share(talk.messages), 3),
                "ended_politely": talk.done,
            }
        )
        if talk.fault is not None:
            return made.drop(self.type, talk.fault)
        turns = sum(m["role"] == "user" for m in talk.messages)
        if turns < self.min_turns:
            return made.drop(self.type, "too few turns", f"{turns}, at least {self.min_turns}")
        fault = flow_fault(talk.messages, max_similarity=self.max_similarity, min_carry=self.min_carry)
        return made.drop(self.type, *fault) if fault else made


@dataclass
class _Talk:
    """One conversation under way."""

    number: int
    topic: str
    persona: dict[str, str]
    messages: list[dict[str, Any]] = field(default_factory=list)
    done: bool = False
    """The user has said goodbye; the assistant may still answer."""
    fault: str | None = None

    @classmethod
    def begin(cls, number: int, seed: int, topics: Sequence[str]) -> _Talk:
        chance = random.Random(seed_of(seed, "conversation", number))
        return cls(number, chance.choice(topics), persona(chance.randrange(num_personas())))

    def prompt(self, side: str) -> list[Message]:
        if side == "assistant":
            return [turn("system", ASSISTANT_SIDE), *self.messages]
        exchanged = {"user": "assistant", "assistant": "user"}
        system = USER_SIDE.format(topic=self.topic, persona=described(self.persona))
        heard = [turn(exchanged[m["role"]], m["content"]) for m in self.messages]
        return [turn("system", system), turn("user", _OPENING), *heard]

    def hear(self, side: str, text: str, *, cut: bool) -> None:
        if side == "user" and self.messages:
            # Goodbye by the agreed mark, or in words where a model forgets the mark.
            self.done = END in text or (ends_politely(text) and "?" not in text)
        text = text.replace(END, "").strip()
        if cut:
            self.fault = "turn cut off"
        elif not text:
            self.fault = "empty turn"
        self.messages.append(turn(side, text))
