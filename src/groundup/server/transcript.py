"""A conversation as the page keeps it, and model text cut into prose and code. No user interface here."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from groundup.core.types import Message

FENCE = "```"


@dataclass(frozen=True)
class Segment:
    """A run of prose, or the inside of a fenced block with the word after its fence."""

    text: str
    code: bool = False
    language: str = ""


_UNSEEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
"""Terminal controls, and marks that turn the direction of what follows: they can only mislead a reader."""


def segments(text: str) -> list[Segment]:
    """Cut at lines that begin with a fence; an open fence at the end (the model is still writing) is code too."""
    found: list[Segment] = []
    lines: list[str] = []
    language: str | None = None

    def close(code: bool) -> None:
        body = "\n".join(lines)
        if body.strip() or code:
            found.append(Segment(body.strip("\n"), code, (language or "") if code else ""))
        lines.clear()

    for line in _UNSEEN.sub("", text).split("\n"):
        if line.lstrip().startswith(FENCE):
            close(language is not None)
            language = line.strip().strip("`")[:20] if language is None else None
        else:
            lines.append(line)
    if lines or language is not None:
        close(language is not None)
    return found


@dataclass
class Transcript:
    """What has been said, for the next request. `forget_oldest` makes room when it no longer fits the context."""

    messages: list[Message] = field(default_factory=list)

    def asked(self, text: str) -> None:
        self.messages.append({"role": "user", "content": text})

    def answered(self, text: str) -> None:
        self.messages.append({"role": "assistant", "content": text})

    def take_back(self) -> None:
        """The last question failed: forget it, so that the next request begins where this one did."""
        if self.messages and self.messages[-1]["role"] == "user":
            self.messages.pop()

    def forget_oldest(self) -> bool:
        """Drop the oldest question with its answer; False when only the question at hand is left."""
        later = [i for i, message in enumerate(self.messages) if message["role"] == "user" and i > 0]
        if not later:
            return False
        del self.messages[: later[0]]
        return True

    def prompt(self) -> Sequence[Message]:
        return tuple(self.messages)
