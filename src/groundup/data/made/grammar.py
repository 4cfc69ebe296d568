"""Sentences from a small grammar: each rule is a list of patterns, {name} in a pattern is any expansion of the rule of that name."""

from __future__ import annotations

import random
import re
from collections.abc import Mapping, Sequence

_SLOT = re.compile(r"\{(\w+)\}")
Grammar = Mapping[str, Sequence[str]]


def expand(grammar: Grammar, rule: str, rng: random.Random) -> str:
    """One sentence; a rule `digits<n>` (n digits) needs not be written."""
    if rule.startswith("digits") and rule not in grammar:
        return "".join(rng.choices("0123456789", k=int(rule.removeprefix("digits"))))
    return _SLOT.sub(lambda slot: expand(grammar, slot[1], rng), rng.choice(grammar[rule]))


def alternatives(text: str) -> list[str]:
    """Patterns written one after another, divided by | or a line end."""
    return [" ".join(part.split()) for part in re.split(r"[|\n]", text) if part.strip()]
